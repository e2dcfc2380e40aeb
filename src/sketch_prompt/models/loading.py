"""Load a model and its processor by name."""

import torch

from sketch_prompt.models.auto import MODELS, SketchPromptModel
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor

_UNTRAINED = "frozen-clip"


def load_model(
    source: str, base_model: str | None = None, device: str | None = None
) -> tuple[SketchPromptPreTrainedModel, SketchPromptProcessor]:
    """Load a model in eval mode and its processor, which is also `model.processor`.

    Example:
        ```python
        model, processor = load_model("mini-clip-at")
        baseline, processor = load_model("frozen-clip", base_model="openai/clip-vit-base-patch32")
        ```

    Args:
        source: Hub id, folder or bundled name of a checkpoint; or "frozen-clip", which is not trained and is built on
            `base_model`.
        base_model: Hub id, folder or bundled name of the CLIP, instead of the one that the checkpoint names.
        device: "cpu", "cuda", ... The default is a GPU if there is one.

    Raises:
        FileNotFoundError: The checkpoint or the base model was not found.
        ValueError: The checkpoint does not fit, the device is not available, or the name is that of a method.
    """
    if source in MODELS:
        if source != _UNTRAINED:
            raise ValueError(
                f"{source} is a method, not a checkpoint: give the directory, Hub id or bundled name of a trained "
                f"{source} (only {_UNTRAINED} can be evaluated untrained, with --base-model)."
            )
        if base_model is None:
            raise ValueError(f"{_UNTRAINED} needs --base-model: the CLIP to evaluate.")
        model = SketchPromptModel.from_base_model(source, base_model)
    else:
        model = SketchPromptModel.from_pretrained(source, base_model=base_model)
    if model.processor is None:
        model.processor = SketchPromptProcessor.from_base_model(model.config.base_model)
    return model.to(_choose_device(device)).eval(), model.processor


def _choose_device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"Device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device
