"""The vision transformer of the reference code, in the shape of a CLIP vision tower."""

import re

from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, ViTModel

from ...sources import find_checkpoint

_NAMES_IN_VIT = {
    "embeddings.patch_embedding": "embeddings.patch_embeddings.projection",
    "post_layernorm": "layernorm",
    "layer_norm1": "layernorm_before",
    "layer_norm2": "layernorm_after",
    "self_attn.out_proj": "attention.o_proj",
    "self_attn": "attention",
    "encoder.layers": "layers",
}
_SHARED_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)


class VisionTransformer(CLIPVisionModel):
    """ViT (Dosovitskiy et al., ICLR 2021): a CLIP vision tower, but patches have a bias and no norm before layer 1.

    `encode_vision` runs it as it runs a CLIP's.
    """

    def __init__(self, config: CLIPVisionConfig):
        super().__init__(config)
        patch = config.patch_size
        self.embeddings.patch_embedding = nn.Conv2d(config.num_channels, config.hidden_size, patch, patch)
        self.pre_layrnorm = nn.Identity()

    @classmethod
    def from_vit(cls, source, revision: str | None = None) -> "VisionTransformer":
        """With the weights of a `ViTModel`, such as `"google/vit-base-patch16-224-in21k"`.

        Raises:
            FileNotFoundError: if it cannot be found.
            ValueError: if what is there is not a ViT.
        """
        directory = find_checkpoint(source, revision=revision)
        vit = ViTModel.from_pretrained(directory, add_pooling_layer=False, local_files_only=True)
        if vit.config.model_type != "vit":
            raise ValueError(
                f"{source} is a {vit.config.model_type!r} model; backbone='vit' starts from a ViT"
            )
        fields = {name: getattr(vit.config, name) for name in _SHARED_FIELDS}
        model = cls(CLIPVisionConfig(**fields))
        theirs = vit.state_dict()
        model.load_state_dict({name: _from_vit(name, theirs) for name in model.state_dict()})
        return model.eval()


def _from_vit(name: str, theirs: dict[str, Tensor]) -> Tensor:
    if name == "embeddings.class_embedding":
        return theirs["embeddings.cls_token"].flatten()
    if name == "embeddings.position_embedding.weight":
        return theirs["embeddings.position_embeddings"][0]
    pattern = "|".join(re.escape(part) for part in _NAMES_IN_VIT)
    return theirs[re.sub(pattern, lambda match: _NAMES_IN_VIT[match[0]], name)]
