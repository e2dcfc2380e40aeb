"""ZSE-SBIR (Lin et al., CVPR 2023)."""

from ..auto import SketchPromptModel
from .configuration_zse_sbir import ZseSbirConfig
from .modeling_zse_sbir import ZseSbirModel

__all__ = ["ZseSbirConfig", "ZseSbirModel"]

SketchPromptModel.register(ZseSbirModel)
