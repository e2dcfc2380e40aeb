"""SpLIP (Singha et al., ECCV 2024)."""

from ..auto import SketchPromptModel
from .configuration_splip import SplipConfig
from .modeling_splip import SplipModel

__all__ = ["SplipConfig", "SplipModel"]

SketchPromptModel.register(SplipModel)
