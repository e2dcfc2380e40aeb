"""The baseline every table needs: a frozen CLIP, without any adapter."""

from torch import Tensor, nn

from ...processing import Domain
from ..modeling_base import SketchPromptPreTrainedModel
from ..prompted_clip import encode_vision, patch_keys
from .configuration_frozen_clip import FrozenClipConfig


class FrozenClipModel(SketchPromptPreTrainedModel):
    """Sketches and photos embedded alike, by CLIP's own vision tower. Nothing trains."""

    config_class = FrozenClipConfig

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """Embed sketches as CLIP embeds images: (B, 3, H, W) -> (B, D), L2-normalised."""
        self._activate()
        pooled = encode_vision(self.clip.vision_model, pixel_values).pooled
        return nn.functional.normalize(self.clip.visual_projection(pooled), dim=-1)

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        """Embed photos: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self.get_sketch_features(pixel_values)

    def get_patch_features(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Keys of the last layer, (B, P, d)."""
        self._activate()
        tower = encode_vision(self.clip.vision_model, pixel_values)
        return patch_keys(self.clip.vision_model, tower)
