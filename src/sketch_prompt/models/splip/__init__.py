"""SpLIP (Singha et al., ECCV 2024)."""

from ..auto import SketchPromptModel
from .configuration_splip import SplipConfig
from .modeling_splip import SplipAdapter, SplipModel, SplipPrompts

__all__ = ["SplipAdapter", "SplipConfig", "SplipModel", "SplipPrompts"]

SketchPromptModel.register(SplipModel)
