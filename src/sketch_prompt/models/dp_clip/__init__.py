"""DP-CLIP (Gao et al., 2024)."""

from ..auto import SketchPromptModel
from .configuration_dp_clip import DpClipConfig
from .modeling_dp_clip import DpClipAdapter, DpClipCondition, DpClipModel

__all__ = ["DpClipAdapter", "DpClipCondition", "DpClipConfig", "DpClipModel"]

SketchPromptModel.register(DpClipModel)
