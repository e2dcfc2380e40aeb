"""SpLIP's mappings between the towers, the adapter that holds them, and the prompts they make."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from ..modeling_base import MethodAdapter
from ..prompted_clip import mean_tokens
from .configuration_splip import SplipConfig
from .jigsaw import JigsawSolver


class PatchesToText(nn.Module):
    """B_t: patches (R, P, d_v) -> text prompts (R, m, d_t), in three linear layers.

    The first mixes the patches into m tokens, the other two map each token from d_v to d_t. The prompts follow the
    start token.
    """

    def __init__(self, config: SplipConfig):
        super().__init__()
        vision, text = config.clip_config.vision_config, config.clip_config.text_config
        n_patches = (vision.image_size // vision.patch_size) ** 2
        self.mix = nn.Linear(n_patches, config.n_text_prompts)
        self.down = nn.Linear(vision.hidden_size, config.mapping_hidden_size)
        self.up = nn.Linear(config.mapping_hidden_size, text.hidden_size)

    def forward(self, patches: Tensor) -> Tensor:
        """(R, P, d_v) -> (R, m, d_t)"""
        tokens = self.mix(patches.transpose(1, 2)).transpose(1, 2)
        return self.up(nn.functional.gelu(self.down(tokens)))


class LayersToVision(nn.Module):
    """B_vt: the classes in the text tower's layers -> visual prompts V^ms of every vision layer.

    Each vision layer has its own mapping. Layer l of L_v reads text layer ceil(l L_t / L_v), which is layer l if the
    towers are equally deep.
    """

    def __init__(self, config: SplipConfig):
        super().__init__()
        vision, text = config.clip_config.vision_config, config.clip_config.text_config
        depth, text_depth = vision.num_hidden_layers, text.num_hidden_layers
        prompted = range(depth)[: config.prompt_depth]
        self.text_layers = [-(-(layer + 1) * text_depth // depth) - 1 for layer in prompted]
        hidden, out = config.mapping_hidden_size, config.n_semantic_prompts * vision.hidden_size
        self.mappings = nn.ModuleList(
            nn.Sequential(nn.Linear(text.hidden_size, hidden), nn.GELU(), nn.Linear(hidden, out))
            for _ in prompted
        )
        self.shape = (config.n_semantic_prompts, vision.hidden_size)

    def forward(self, classes: list[Tensor]) -> list[Tensor]:
        """(R, d_t) of each text layer -> (R, n, d_v) of each vision layer."""
        outputs = [mapping(classes[i]) for i, mapping in zip(self.text_layers, self.mappings)]
        return [output.unflatten(-1, self.shape) for output in outputs]


class SplipAdapter(MethodAdapter):
    """The mappings, the solver, and their inputs. Parts that the configuration removes are None.

    Buffers: `class_ids` (2, C, T), the token ids of sentences for the seen classes, for sketches and for photos;
    `template_ids` (2, J - 1), those of the words before the class, with the start token; `patch_means` (2, P, d_v),
    the running mean of patch embeddings; `images_seen` (2,), the number of images in this mean; `class_embeddings`
    (C, D), the text features of the classes by the frozen CLIP, for the margin. `prompt_offsets` (L, d_v) are added to
    the prompts of each layer that has its own.
    """

    data_buffers = (*MethodAdapter.data_buffers, "class_ids", "template_ids")

    class_ids: Tensor | None
    template_ids: Tensor | None

    def __init__(self, config: SplipConfig, clip: CLIPModel):
        super().__init__()
        vision, text = config.clip_config.vision_config, config.clip_config.text_config
        self.prompt_offsets: nn.Parameter | None = None
        if config.prompt_init == "mean_token":
            self.prompt_offsets = nn.Parameter(mean_tokens(clip.vision_model)[: config.prompt_depth])
        self.patches_to_text: PatchesToText | None = None
        self.words_to_vision: nn.Linear | None = None  # B_v: every word (d_t) -> a visual prompt (d_v)
        self.layers_to_vision: LayersToVision | None = None
        self.solver: JigsawSolver | None = None
        if config.n_text_prompts and config.uses_text_tower:
            self.patches_to_text = PatchesToText(config)
        if config.text_guided_prompts:
            self.words_to_vision = nn.Linear(text.hidden_size, vision.hidden_size)
        if config.n_semantic_prompts:
            self.layers_to_vision = LayersToVision(config)
        if config.jigsaw_weight:
            self.solver = JigsawSolver(
                config.clip_config.projection_dim,
                config.n_permutations,
                config.solver_heads,
                config.solver_feedforward,
            )
        n_patches = (vision.image_size // vision.patch_size) ** 2
        self.register_buffer("class_ids", None)
        self.register_buffer("template_ids", None)
        self.register_buffer("patch_means", torch.zeros(2, n_patches, vision.hidden_size))
        self.register_buffer("images_seen", torch.zeros(2, dtype=torch.int64))


@dataclass(frozen=True)
class SplipPrompts:
    """Everything that depends on the model alone; the first dimension is the modality (`SKETCH`, `PHOTO`).

    Attributes:
        text: T, (2, m, d_t), or None without B_t.
        text_guided: V^tg, (2, J - 1, d_v), the same in every layer, or None without B_v.
        semantic: V^ms_l, (2, n, d_v) for every vision layer, or None without B_vt.
        class_embeddings: (2, C, D), L2-normalised: the seen classes' prompted texts, or None if nothing needs them.
    """

    text: Tensor | None
    text_guided: Tensor | None
    semantic: list[Tensor] | None
    class_embeddings: Tensor | None

    def visual(
        self,
        domains: int | Tensor,
        n_layers: int,
        semantic: list[Tensor] | None = None,
        offsets: Tensor | None = None,
    ) -> list[Tensor] | None:
        """[V^tg, V^ms_l] of every layer: (J - 1 + n, d_v) for a modality, (B, J - 1 + n, d_v) for one in each row.

        Args:
            domains: a modality, or one for each row.
            n_layers: of the vision tower.
            semantic: V^ms_l of each row, (B, n, d_v), instead of those of its modality.
            offsets: (L, d_v), added to the prompts of the first L layers.
        """
        guided = [] if self.text_guided is None else [self.text_guided[domains]]
        if semantic is None and self.semantic is not None:
            semantic = [layer[domains] for layer in self.semantic]
        if semantic is None:
            visual = guided * n_layers
        else:
            visual = [
                torch.cat([*(part.expand(*layer.shape[:-2], -1, -1) for part in guided), layer], dim=-2)
                for layer in semantic
            ]
            visual += visual[-1:] * (n_layers - len(visual))
        if offsets is not None and visual:
            visual[: len(offsets)] = [part + offset for part, offset in zip(visual, offsets)]
        return visual or None
