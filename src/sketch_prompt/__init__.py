"""sketch-prompt: zero-shot sketch-based image retrieval on a frozen CLIP. You draw; it finds the photo.

Example:
    ```python
    from sketch_prompt import SketchPromptModel, SketchPromptProcessor

    model = SketchPromptModel.from_pretrained("mini-clip-at")
    processor = SketchPromptProcessor.from_pretrained("mini-clip-at")
    inputs = processor(sketches=["drawing.png"], photos=["cat.jpg", "dog.jpg"])
    scores = processor.score(
        model.get_sketch_features(inputs.sketch_pixel_values), model.get_photo_features(inputs.photo_pixel_values)
    )
    ```
"""

from importlib import import_module
from typing import Any

from .auto_classes import register_with_transformers
from .models import class_prefix, method_folders

__version__ = "0.1.0"

# Public names and where they live.
_PUBLIC = {
    "Gallery": ".gallery",
    "SketchPromptConfig": ".models.auto",
    "SketchPromptModel": ".models.auto",
    "SketchPromptProcessor": ".processing",
    "load_benchmark": ".data.benchmarks",
}
for _folder in method_folders().values():
    _PUBLIC |= {f"{class_prefix(_folder)}{kind}": f".models.{_folder}" for kind in ("Config", "Model")}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    return __all__


register_with_transformers()
