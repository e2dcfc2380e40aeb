"""The baseline: a frozen CLIP without adapter."""

from torch import Tensor

from ...processing import Domain
from ..modeling_base import SketchPromptPreTrainedModel
from ..prompted_clip import encode_vision, patch_keys, project_image
from .configuration_frozen_clip import FrozenClipConfig


class FrozenClipModel(SketchPromptPreTrainedModel):
    """Embeds sketches and photos with the vision tower of a CLIP. Nothing is trained.

    Example:
        ```python
        model = FrozenClipModel.from_base_model("openai/clip-vit-base-patch32")
        ```
    """

    config_class = FrozenClipConfig
    paper_text = (
        "A frozen CLIP without adapter, which embeds sketches as it embeds photos: the baseline that every method is "
        "compared with."
    )

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """Embed sketches as CLIP embeds images: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self.through_lens(self._embed(pixel_values))

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        """Embed photos: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self._embed(pixel_values)

    def _embed(self, pixel_values: Tensor) -> Tensor:
        return project_image(self.clip, encode_vision(self.clip.vision_model, pixel_values).pooled)

    def get_patch_features(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Keys of the last layer, (B, P, d)."""
        vision = self.clip.vision_model
        return patch_keys(vision, encode_vision(vision, pixel_values))
