"""The sketch lens: the frozen CLIP with a linear map on the sketch side alone."""

from ..auto import SketchPromptModel
from .configuration_sketch_lens import SketchLensConfig
from .modeling_sketch_lens import SketchLensModel

__all__ = ["SketchLensConfig", "SketchLensModel"]

SketchPromptModel.register(SketchLensModel)
