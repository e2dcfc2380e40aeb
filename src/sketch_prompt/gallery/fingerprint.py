"""What the features of a gallery depend on, so that sketches of another model are never compared with them."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from sketch_prompt.checksums import are_same_weights, text_checksum

if TYPE_CHECKING:
    from sketch_prompt.exported import ExportedModel, PictureProcessor
    from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
    from sketch_prompt.processing import SketchPromptProcessor

AnyModel = Union["SketchPromptPreTrainedModel", "ExportedModel"]
AnyProcessor = Union["SketchPromptProcessor", "PictureProcessor"]

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
_EPSILONS = {"float64": 2**-52, "float32": 2**-23, "float16": 2**-10, "bfloat16": 2**-7}


def describe_model(
    model: AnyModel, processor: AnyProcessor, by_category: bool = False, dtype: str | None = None
) -> dict[str, Any]:
    """The model and its preprocessing of photos as plain values; see `describe_weights` of the model.

    Args:
        model: A sketch-prompt model with its active adapter, or an exported model.
        processor: Its processor.
        by_category: Whether photos are embedded with their categories.
        dtype: The type that the model computes with, if it is not that of the weights.
    """
    known = model.describe_weights()
    del known["lens"]  # it changes only queries
    if dtype not in (None, known["dtype"]):
        known["computed_in"] = dtype
    photos = {name: getattr(processor.image_processor, name) for name in _PHOTO_FIELDS}
    return {**known, "by_category": by_category, "photos": photos}


def computed_in(description: dict[str, Any]) -> str:
    """The type of the numbers that a described model computes with."""
    return description.get("computed_in", description["dtype"])


def describe_engine(description: dict[str, Any]) -> dict[str, str]:
    """The "engine" (torch or onnx) of a described model, and the "dtype" that it computes with."""
    return {"engine": description.get("engine", "torch"), "dtype": computed_in(description)}


def query_key(model: AnyModel, processor: AnyProcessor, dtype: str | None = None) -> str:
    """A key for how drawings are embedded: the model with its lens, and the preprocessing of drawings."""
    description = describe_model(model, processor, dtype=dtype) | {"lens": model.describe_weights()["lens"]}
    description.pop("engine", None)  # it changes only the last digits
    description["sketches"] = getattr(processor.image_processor, "settings", None)
    text = json.dumps(description, sort_keys=True, default=str)
    return text_checksum(text)


def describe_differences(saved: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """The differences of two descriptions, in words. Empty if features of one can be searched with the other."""
    if saved["method"] != ours["method"]:
        return [f"its method is {saved['method']}, this model's {ours['method']}"]
    if saved["by_category"] != ours["by_category"]:
        return [
            "its photos are " + ("" if saved["by_category"] else "not ") + "embedded with their categories"
        ]
    for side in (saved, ours):
        if side["dtype"] not in _EPSILONS:
            raise ValueError(f"there are no features of type {side['dtype']!r}")
    epsilons = (_EPSILONS[side["dtype"]] for side in (saved, ours))
    if not are_same_weights(ours["weights"], saved["weights"], *epsilons):
        return [f"the weights are others (base model then: {saved['base_model']}, now: {ours['base_model']})"]
    return [
        f"{name} was {saved['photos'].get(name)!r} and is {value!r}"
        for name, value in ours["photos"].items()
        if saved["photos"].get(name) != value
    ]


def check_same_model(saved: dict[str, Any], ours: dict[str, Any], place: str | Path) -> str | None:
    """Compare a saved gallery's model with ours, and warn if it computed in numbers of another type.

    Args:
        saved: "fingerprint", and "source" if it is known.
        ours: `describe_model` of our model.
        place: where the gallery is, for the message.

    Returns:
        Why photos cannot be added with our model; None if they can.

    Raises:
        ValueError: the features are another model's.
    """
    problems = describe_differences(saved["fingerprint"], ours)
    source = f" ({saved['source']})" if saved.get("source") else ""
    if problems:
        raise ValueError(
            f"the gallery in {place} was made with another model: {'; '.join(problems)}. Use the model it was "
            f"made with{source}, or index the photos into another folder."
        )
    then, now = computed_in(saved["fingerprint"]), computed_in(ours)
    if then == now:
        return None
    warnings.warn(
        f"the photos in {place} were embedded in {then}, drawings are in {now}: scores differ in the last digits",
        stacklevel=2,
    )
    return (
        f"the photos in {place} were embedded in {then}, and this model embeds in {now}: add photos with the model "
        f"that it was made with{source}, or index them into another folder"
    )
