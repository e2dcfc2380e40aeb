"""DP-CLIP (Gao et al., 2024)."""

from ..auto import SketchPromptModel
from .configuration_dp_clip import DpClipConfig
from .modeling_dp_clip import DpClipCondition, DpClipModel

__all__ = ["DpClipCondition", "DpClipConfig", "DpClipModel"]

SketchPromptModel.register(DpClipModel)
