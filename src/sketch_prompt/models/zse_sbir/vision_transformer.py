"""The vision transformer of the reference code, in the shape of a CLIP vision tower."""

import os

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModel

from .vit_weights import read_vit


class VisionTransformer(CLIPVisionModel):
    """ViT (Dosovitskiy et al., ICLR 2021): a CLIP vision tower, but patches have a bias and no norm before layer 1.

    `encode_vision` runs it as it runs a CLIP's.

    Args:
        config: sizes of the tower.
        dropout: while training, of the tokens before layer 1, after each layer's attention, and after both linear
            layers of its MLP, as in the reference code; attention weights are not dropped.
    """

    def __init__(self, config: CLIPVisionConfig, dropout: float = 0.0):
        super().__init__(config)
        patch, width = config.patch_size, config.hidden_size
        self.embeddings.patch_embedding = nn.Conv2d(config.num_channels, width, patch, patch)
        self.pre_layrnorm = nn.Dropout(dropout)
        for layer in self.encoder.layers:
            layer.self_attn.out_proj = _DroppingLinear(width, width, after=dropout)
            layer.mlp.fc2 = _DroppingLinear(config.intermediate_size, width, before=dropout, after=dropout)

    @classmethod
    def from_vit(cls, source: str | os.PathLike, revision: str | None = None) -> "VisionTransformer":
        """With the weights of a published ViT; arguments and errors are those of `read_vit`."""
        config, weights = read_vit(source, revision)
        model = cls(config)
        model.load_state_dict(weights)
        return model.eval()


class _DroppingLinear(nn.Linear):
    """A linear layer with dropout of its input, its output, or both. Its parameters are those of the layer alone."""

    def __init__(self, inputs: int, outputs: int, before: float = 0.0, after: float = 0.0):
        super().__init__(inputs, outputs)
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(x, self.before, self.training)
        return F.dropout(super().forward(x), self.after, self.training)
