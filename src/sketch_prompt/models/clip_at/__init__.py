"""CLIP-AT (Sain et al., CVPR 2023)."""

from ..auto import SketchPromptModel
from .configuration_clip_at import ClipAtConfig
from .modeling_clip_at import ClipAtModel

__all__ = ["ClipAtConfig", "ClipAtModel"]

SketchPromptModel.register(ClipAtModel)
