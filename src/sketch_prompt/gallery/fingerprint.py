"""What the features of a gallery depend on, so that sketches of another model are never compared with them."""

import json
from typing import Any

import torch

from sketch_prompt.checksums import text_checksum
from sketch_prompt.models.backbone import are_same_weights, sample_weights
from sketch_prompt.models.backbone import fingerprint as backbone_fingerprint
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor

_PROBES_PER_TENSOR = 4
# Preprocessing of photos. That of sketches may change without embedding the photos again.
_PHOTO_FIELDS = (
    "size",
    "photo_resize",
    "photo_pad_color",
    "do_normalize",
    "image_mean",
    "image_std",
    "resample",
)
# A lens changes only queries.
_OF_SKETCHES = ("adapter.lens_mean", "adapter.lens_map")

_DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "float16", "bfloat16")}


def describe_model(
    model: SketchPromptPreTrainedModel, processor: SketchPromptProcessor, by_category: bool = False
) -> dict[str, Any]:
    """The model and its preprocessing of photos as plain values.

    Weights are identified by samples, a dozen of the CLIP and a few of each tensor of the adapter, so that the same
    model is recognised in another precision.

    Args:
        model: A sketch-prompt model with its active adapter.
        processor: A `SketchPromptProcessor`.
        by_category: Whether photos are embedded with their categories.
    """
    weights = backbone_fingerprint(model.clip) or []
    # A method that embeds photos as another one does is known by the CLIP alone.
    tensors = model.adapter_tensors() if model.photo_method == model.method else {}
    for name, tensor in sorted(tensors.items()):
        if name not in _OF_SKETCHES:
            at = torch.linspace(0, tensor.numel() - 1, _PROBES_PER_TENSOR, dtype=torch.float64).round().long()
            weights += sample_weights(tensor, at)
    return {
        "method": model.photo_method,
        "by_category": by_category,
        "base_model": model.config.base_model,
        "dtype": str(model.dtype).removeprefix("torch."),
        "weights": weights,
        "photos": {name: getattr(processor.image_processor, name) for name in _PHOTO_FIELDS},
    }


def query_key(model: SketchPromptPreTrainedModel, processor: SketchPromptProcessor) -> str:
    """A key for how drawings are embedded: the model with its lens, and the preprocessing of drawings."""
    at = torch.linspace(0, 1, _PROBES_PER_TENSOR, dtype=torch.float64)
    tensors = model.adapter_tensors()
    lens = {
        name: sample_weights(tensors[name], (at * (tensors[name].numel() - 1)).round().long())
        for name in _OF_SKETCHES
        if name in tensors
    }
    description = describe_model(model, processor) | {"lens": lens}
    description["sketches"] = getattr(processor.image_processor, "settings", None)
    text = json.dumps(description, sort_keys=True, default=str)
    return text_checksum(text)


def describe_differences(saved: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """The differences of two descriptions, in words. Empty if features of one can be searched with the other."""
    if saved["method"] != ours["method"]:
        return [f"its method is {saved['method']}, this model's {ours['method']}"]
    if saved["by_category"] != ours["by_category"]:
        return [
            "its photos are " + ("" if saved["by_category"] else "not ") + "embedded under their categories"
        ]
    for side in (saved, ours):
        if side["dtype"] not in _DTYPES:
            raise ValueError(f"there are no features of type {side['dtype']!r}")
    dtypes = (_DTYPES[side["dtype"]] for side in (saved, ours))
    if not are_same_weights(ours["weights"], saved["weights"], *dtypes):
        return [f"the weights are others (base model then: {saved['base_model']}, now: {ours['base_model']})"]
    return [
        f"{name} was {saved['photos'].get(name)!r} and is {value!r}"
        for name, value in ours["photos"].items()
        if saved["photos"].get(name) != value
    ]
