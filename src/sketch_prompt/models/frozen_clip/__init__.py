"""The frozen CLIP baseline."""

from ..auto import SketchPromptModel
from .configuration_frozen_clip import FrozenClipConfig
from .modeling_frozen_clip import FrozenClipModel

__all__ = ["FrozenClipConfig", "FrozenClipModel"]

SketchPromptModel.register(FrozenClipModel)
