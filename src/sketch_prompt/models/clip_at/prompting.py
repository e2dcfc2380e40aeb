"""The prompts of CLIP-AT, and those of the baselines in its paper."""

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from ..modeling_base import MethodAdapter
from ..prompted_clip import mean_tokens
from .configuration_clip_at import ClipAtConfig

Prompts = list[Tensor]
"""For each layer with its own prompts, (n, d_v), or (B, n, d_v) if each row has its own."""

_NARROWING = 16  # factor by which CoCoOp's meta network narrows the features


class CoupledPrompts(nn.Module):
    """Multimodal prompts (MaPLe, Khattak et al., CVPR 2023): text prompts, from which linear maps compute visual ones.

    `text` (L, n, d_t) are the learned tokens of each layer. A linear layer computes the visual prompts of that layer.
    """

    def __init__(self, config: ClipAtConfig, depth: int):
        super().__init__()
        vision, text = config.clip_config.vision_config, config.clip_config.text_config
        self.text = nn.Parameter(
            torch.randn(depth, config.n_prompts, text.hidden_size) * config.prompt_init_std
        )
        self.couplings = nn.ModuleList(nn.Linear(text.hidden_size, vision.hidden_size) for _ in range(depth))

    def visual(self) -> Prompts:
        """(n, d_v) of each layer."""
        return [coupling(prompts) for coupling, prompts in zip(self.couplings, self.text)]


class ClipAtAdapter(MethodAdapter):
    """Prompts of each modality, or common ones: (n, d_v) or, if deep, (L, n, d_v), from N(0, `prompt_init_std`^2).

    Baselines have other parts: `meta_net` adds features of the image from the frozen CLIP to its prompts;
    `sketch_coupled` and `photo_coupled` (`CoupledPrompts`) replace the prompts; `probe` is a linear layer on the
    features. The buffer `class_ids` (C, T) has the class sentences, for prompts of the text tower.
    """

    data_buffers = (*MethodAdapter.data_buffers, "class_ids")

    class_ids: Tensor | None

    def __init__(self, config: ClipAtConfig, clip: CLIPModel):
        super().__init__()
        vision, width = config.clip_config.vision_config, config.clip_config.projection_dim
        self.depth = min(config.prompt_depth, vision.num_hidden_layers)
        self.sketch_prompts = self.photo_prompts = None
        self.sketch_coupled = self.photo_coupled = None
        if config.n_prompts and config.prompt_kind == "multimodal":
            self.sketch_coupled = self.photo_coupled = CoupledPrompts(config, self.depth)
            if not config.common_prompts:
                self.photo_coupled = CoupledPrompts(config, self.depth)
        elif config.n_prompts:
            self.sketch_prompts = self.photo_prompts = self._new_prompts(config, clip)
            if not config.common_prompts:
                self.photo_prompts = self._new_prompts(config, clip)
        self.meta_net: nn.Sequential | None = None
        if config.prompt_kind == "conditional":
            hidden = max(width // _NARROWING, 1)
            self.meta_net = nn.Sequential(
                nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, vision.hidden_size)
            )
        self.probe: nn.Linear | None = None
        if config.linear_probe:
            self.probe = nn.Linear(width, width, bias=False)
            nn.init.eye_(self.probe.weight)
        self.register_buffer("class_ids", None)
        # Trainable parameters of the CLIP outside of the copied modules.
        self.class_embedding: nn.Parameter | None = None
        self.logit_scale: nn.Parameter | None = None
        if config.trainable == "reference":
            self.class_embedding = nn.Parameter(clip.vision_model.embeddings.class_embedding.detach().clone())
            self.logit_scale = nn.Parameter(clip.logit_scale.detach().clone())

    def _new_prompts(self, config: ClipAtConfig, clip: CLIPModel) -> nn.Parameter:
        width = config.clip_config.vision_config.hidden_size
        sizes = (config.n_prompts, width) if self.depth == 1 else (self.depth, config.n_prompts, width)
        prompts = torch.randn(*sizes) * config.prompt_init_std
        if config.prompt_init == "mean_token":
            start = mean_tokens(clip.vision_model)[: self.depth, None].to(prompts)
            prompts = prompts + (start[0] if self.depth == 1 else start)
        return nn.Parameter(prompts)

    def visual_prompts(self, is_sketch: bool, features: Tensor | None = None) -> Prompts:
        """The prompts of a modality in each layer that has its own. Empty for a model without prompts.

        Args:
            is_sketch: Whether they are for sketches, or for photos.
            features: (B, D) of the frozen CLIP, for conditional prompts.
        """
        coupled = self.sketch_coupled if is_sketch else self.photo_coupled
        if coupled is not None:
            return coupled.visual()
        prompts = self.sketch_prompts if is_sketch else self.photo_prompts
        if prompts is None:
            return []
        layers = [prompts] if self.depth == 1 else list(prompts)
        if self.meta_net is None:
            return layers
        bias = self.meta_net(features)[:, None]
        return [layer + bias for layer in layers]
