"""The sketch lens: a frozen CLIP with a linear map of the sketch features."""

from ..auto import SketchPromptModel
from .configuration_sketch_lens import SketchLensConfig
from .modeling_sketch_lens import SketchLensModel

__all__ = ["SketchLensConfig", "SketchLensModel"]

SketchPromptModel.register(SketchLensModel)
