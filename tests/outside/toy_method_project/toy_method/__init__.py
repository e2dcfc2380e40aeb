"""A method as someone else would publish it: a package of its own, which names it in its entry points."""

from collections.abc import Collection
from typing import ClassVar

import torch
from torch import Tensor, nn

from sketch_prompt import losses
from sketch_prompt.models.configuration_base import SketchPromptPreTrainedConfig, strict
from sketch_prompt.models.modeling_base import MethodAdapter, SketchPromptPreTrainedModel
from sketch_prompt.models.prompted_clip import encode_vision, patch_keys, project_image


@strict
class ToyMethodConfig(SketchPromptPreTrainedConfig):
    """One learned vector is added to every sketch's embedding, and the last LayerNorm is tuned."""

    model_type = "toy-method"

    margin: float | int = 0.3
    triplet_weight: float | int = 1.0


class ToyAdapter(MethodAdapter):
    """The vector, which starts at zero."""

    def __init__(self, config: ToyMethodConfig):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(config.clip_config.projection_dim))


class ToyMethodModel(SketchPromptPreTrainedModel):
    """Its sketches are moved towards its photos."""

    config_class = ToyMethodConfig
    loss_needs: ClassVar[dict[str, tuple[str, ...]]] = {"triplet": ("negatives",)}

    def tuned_modules(self, config):
        return r"vision_model\.post_layernorm"

    def build_adapter(self, config):
        return ToyAdapter(config)

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        moved = self.get_photo_features(pixel_values) + self.adapter.offset
        return self.through_lens(nn.functional.normalize(moved, dim=-1))

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        clip = self.adapter.clip
        return project_image(clip, encode_vision(clip.vision_model, pixel_values).pooled)

    def get_patch_features(self, pixel_values: Tensor, domain: str) -> Tensor:
        vision = self.adapter.clip.vision_model
        return patch_keys(vision, encode_vision(vision, pixel_values))

    @property
    def loss_weights(self) -> dict[str, float]:
        return {"triplet": self.config.triplet_weight}

    def process_triplets(self, batch, terms: Collection[str]):
        embeds, _ = super().process_triplets(batch, ())
        values = {}
        if "triplet" in terms:
            values["triplet"] = losses.triplet_loss(*embeds, self.config.margin)
        return embeds, values
