"""SpLIP: Elevating All Zero-Shot SBIR Through Multimodal Prompt Learning (Singha et al., ECCV 2024).

The towers of a frozen CLIP exchange prompts in both directions. B_t maps image patches to m tokens of each text layer.
B_v maps the words "sketch of a" or "photo of a" to tokens of each vision layer (V^tg, the same in all layers). B_vt
maps the features of the seen classes in the layers of the text tower to n more tokens (V^ms, different in each layer).
Besides these mappings, only LayerNorms and the jigsaw solver are trained. The margin of the triplet loss grows with
the similarity of the two classes. The classification losses pull sketches and photos towards the text of their class.
In the jigsaw, the photo must help more than the negative to solve the shuffled sketch.

After training, the prompts do not depend on the image. They are computed once and cached. (With
`text_prompt_source="image"`, V^ms depends on the image, and each image costs a pass of the text tower.)
"""

import itertools
from collections.abc import Collection, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from ... import losses
from ...processing import Domain, SketchPromptProcessor
from ..derived import TensorState
from ..inputs import check_input_ids
from ..modeling_base import SketchPromptPreTrainedModel
from ..outputs import TripletBatch
from ..prompted_clip import (
    TEXT_LAYER_NORMS,
    VISION_LAYER_NORMS,
    TowerOutput,
    embed_patches,
    encode_text,
    encode_vision,
    end_of_text_positions,
    patch_keys,
    project_image,
    project_text,
)
from ..tiles import shuffle_tiles, two_orders
from ..whole_batch import n_processes
from .configuration_splip import SplipConfig
from .jigsaw import permutation_bank
from .prompting import SplipAdapter, SplipPrompts

SKETCH, PHOTO = 0, 1  # places of the two modalities in every tensor that holds both
_DOMAINS: dict[Domain, int] = {"sketch": SKETCH, "photo": PHOTO}


class SplipModel(SketchPromptPreTrainedModel):
    """SpLIP in all its settings: zero-shot, generalised zero-shot, and fine-grained (with instance-level triplets).

    Where the paper is silent:

    - alpha and beta (`classification_weight`, `jigsaw_weight`) are chosen on held-out seen classes;
    - B_t sees mean patches, of the batch in training and of all training images after it (`patch_mean_momentum`), or
      each image's own, as in the paper's figure (`text_prompt_source`);
    - B_t and B_vt have a GELU after the layer that narrows to `mapping_hidden_size`; B_v is one linear layer;
    - B_vt reads the end-of-text token of every class (`text_readout`) and their mean (`class_aggregation`);
    - LayerNorms of both towers train (`layer_norms`);
    - the margin compares the classes' texts in the frozen CLIP (`margin_text`, `class_prompt`);
    - within a class (fine-grained) that cosine is 1; another margin can be set (`same_class_margin`);
    - B_t's tokens precede the words (`text_prompt_placement`); in layer 1 alone they get positions;
    - the classification losses are at the CLIP's temperature (`temperature`);
    - the jigsaw has the 72 permutations that differ most (`n_permutations`); its hinge is taken for each sketch;
    - the solver sees L2-normalised features (`solver_heads`, `solver_feedforward`).

    Before `set_classes` there are no texts to make visual prompts from, and images are embedded without them. See
    also the module's docstring, `SplipConfig`, and the contract in the base class.

    Example:
        ```python
        model = SplipModel.from_pretrained("mini-splip")
        fresh = SplipModel.from_base_model("openai/clip-vit-base-patch32", jigsaw_weight=0.5)
        fresh.set_classes(["cat", "hot air balloon"], processor)
        ```
    """

    config_class = SplipConfig
    paper_text = (
        "SpLIP: prompts that the text and vision towers of a frozen CLIP exchange layer by layer. Singha et al., "
        "[*Elevating All Zero-Shot Sketch-Based Image Retrieval Through Multimodal Prompt Learning*]"
        "(https://arxiv.org/abs/2407.04207), ECCV 2024."
    )
    bibtex = """\
@inproceedings{singha2024elevating,
  title = {Elevating All Zero-Shot Sketch-Based Image Retrieval Through Multimodal Prompt Learning},
  author = {Singha, Mainak and Jha, Ankit and Gupta, Divyam and Singla, Pranav and Banerjee, Biplab},
  booktitle = {ECCV},
  year = {2024}
}"""
    loss_needs: ClassVar[dict[str, tuple[str, ...]]] = {
        "triplet": ("negatives", "classes"),
        "classification_sketch": ("labels", "classes"),
        "classification_photo": ("labels", "classes"),
        "classification_negative": ("negatives", "negative_labels", "classes"),
        "jigsaw": ("negatives", "classes"),
        "patch_shuffling": ("classes",),
    }
    _kept: tuple[TensorState, SplipPrompts] | None = None

    def tuned_modules(self, config: SplipConfig) -> str | None:
        """The LayerNorms in `layer_norms` that get a gradient from the losses."""
        if config.layer_norms == "none":
            return None
        patterns = [VISION_LAYER_NORMS]
        if config.layer_norms == "both" and config.uses_text_tower:
            patterns.append(TEXT_LAYER_NORMS)
            if config.classification_weight:
                patterns.append(r"text_model\.final_layer_norm")
        return "|".join(patterns)

    def build_adapter(self, config: SplipConfig) -> SplipAdapter:
        """The mappings and the solver of the configuration, newly initialised."""
        return SplipAdapter(config, self.clip)

    @torch.no_grad()
    def set_classes(self, class_names: list[str], processor: SketchPromptProcessor) -> None:
        """Set the training classes: store their sentences and embed them with the frozen CLIP.

        Raises:
            ValueError: The words before the class have different numbers of tokens for sketches and photos, or are too
                few to be replaced.
        """
        config, adapter = self.config, self.adapter

        def tokenize(sentences: list[str]) -> Tensor:
            return processor(text=sentences, return_tensors="pt")["input_ids"].to(self.device)

        templates = [
            prompt.partition("{}")[0].strip() for prompt in (config.sketch_prompt, config.photo_prompt)
        ]
        ids = [tokenize([words])[0] for words in templates]
        ends = [int(end_of_text_positions(self.clip.text_model, row[None])) for row in ids]
        if ends[0] != ends[1]:
            raise ValueError(
                f"{templates[0]!r} is {ends[0] - 1} tokens and {templates[1]!r} {ends[1] - 1}: sketch_prompt and "
                "photo_prompt must have equally many before the class"
            )
        replaced = config.n_text_prompts if config.text_prompt_placement == "replace" else 0
        if replaced >= ends[0]:
            raise ValueError(
                f"text_prompt_placement='replace' puts {replaced} prompts in the place of words, but there are only "
                f"{ends[0] - 1} before the class: lower n_text_prompts, or lengthen sketch_prompt and photo_prompt"
            )
        adapter.template_ids = torch.stack([row[:end] for row, end in zip(ids, ends)])
        sentences = [
            p.format(name) for p in (config.sketch_prompt, config.photo_prompt) for name in class_names
        ]
        adapter.class_ids = tokenize(sentences).unflatten(0, (2, -1))
        frozen = tokenize([config.class_prompt.format(name) for name in class_names])
        pooled = torch.cat([encode_text(self.clip.text_model, part).pooled for part in frozen.split(64)])
        adapter.class_embeddings = project_text(self.clip, pooled)
        config.class_names = list(class_names)

    # Prompts

    def prompts(self) -> SplipPrompts:
        """The prompts for embedding images. Without gradients, they are computed once and cached.

        They are computed again if a tensor that they depend on was replaced, moved or written to. Each training step
        writes to one of them, the mean patches. A compiled or exported graph has the cached prompts of the time when
        it was made, or computes them if there were none.
        """
        if torch.compiler.is_compiling() and self._kept is not None and not self.training:
            return self._kept[1]
        if torch.is_grad_enabled():
            return self._make_prompts(self.adapter.patch_means)
        if self._kept is None or not self._kept[0].holds(self._prompt_sources()):
            # Ordinary tensors in full precision, in whatever mode the first call is made.
            with (
                torch.inference_mode(False),
                torch.no_grad(),
                torch.autocast(self.device.type, enabled=False),
            ):
                made = self._make_prompts(self.adapter.patch_means)
            self._kept = TensorState(self._prompt_sources()), made
        return self._kept[1]

    def _prompt_sources(self) -> Iterator[Tensor]:
        adapter, clip = self.adapter, self.adapter.clip
        return itertools.chain(
            adapter.parameters(),
            adapter.buffers(),
            clip.text_model.parameters(),
            clip.text_projection.parameters(),
        )

    def _make_prompts(self, patches: Tensor) -> SplipPrompts:
        """All prompts, from mean patches (2, P, d_v) of sketches and photos."""
        adapter = self.adapter
        text = None if adapter.patches_to_text is None else adapter.patches_to_text(patches)
        guided = semantic = classes = None
        if adapter.words_to_vision is not None and adapter.template_ids is not None:
            words = adapter.clip.text_model.embeddings.token_embedding(adapter.template_ids)
            guided = adapter.words_to_vision(words)
        if self.config.uses_text_tower and adapter.class_ids is not None:
            layers, classes = self._encode_classes(text, adapter.class_ids)
            if adapter.layers_to_vision is not None:
                semantic = adapter.layers_to_vision(layers)
        return SplipPrompts(text, guided, semantic, classes)

    def _encode_classes(self, prompts: Tensor | None, ids: Tensor) -> tuple[list[Tensor], Tensor]:
        """Sentences ids (R, C, T) under prompts (R, m, d_t): the C classes combined in each text layer, L_t times
        (R, d_t), and each class's embedding, (R, C, D)."""
        config, clip = self.config, self.adapter.clip
        shape, n_prompts, ids = ids.shape[:2], 0, ids.flatten(0, 1)
        if prompts is not None:
            n_prompts = prompts.shape[1]
            prompts = prompts.repeat_interleave(shape[1], dim=0)
        placement = config.text_prompt_placement
        output = self._encode_prompted(ids, prompts, output_hidden_states=True, placement=placement)
        embeds = project_text(clip, output.pooled)
        ends = end_of_text_positions(clip.text_model, ids) + (n_prompts if placement == "precede" else 0)
        places = torch.arange(int(ends.max()) + 1, device=ends.device)
        read = places == ends[:, None] if config.text_readout == "end" else places <= ends[:, None]
        share = (read / read.sum(1, keepdim=True)).to(embeds.dtype)
        joined = []
        for layer in output.hidden_states[1:]:
            classes = torch.einsum("bt,btd->bd", share, layer.to(share.dtype)).unflatten(0, shape)
            joined.append(classes.mean(1) if config.class_aggregation == "mean" else classes.amax(1))
        return joined, embeds.unflatten(0, shape)

    def _encode_prompted(self, input_ids: Tensor, prompts: Tensor | None, **options):
        """The text tower with the same prompts, (B, m, d_t), after the start token of each layer."""
        tower = self.adapter.clip.text_model
        deep = None if prompts is None else self._first_layers([prompts] * len(tower.encoder.layers))
        return encode_text(tower, input_ids, deep, **options)

    def _first_layers(self, prompts: list[Tensor]) -> list[Tensor | None]:
        """Prompts of the layers up to `prompt_depth`, and None for those after it."""
        return [
            part if i < (self.config.prompt_depth or len(prompts)) else None for i, part in enumerate(prompts)
        ]

    # Embedding

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, domain: Domain = "photo"
    ) -> Tensor:
        """Embed texts with the text prompts that B_t computes from photos, or from sketches.

        Args:
            input_ids: (B, T)
            attention_mask: Ignored. The text tower is causal and needs no mask.
            domain: `"photo"` or `"sketch"`.

        Returns:
            (B, D), L2-normalised.
        """
        check_input_ids(input_ids, self.clip.config.text_config.vocab_size)
        prompts = self.prompts().text
        if prompts is not None:
            prompts = prompts[_DOMAINS[domain]].expand(input_ids.shape[0], -1, -1)
        return project_text(self.adapter.clip, self._encode_prompted(input_ids, prompts).pooled)

    def get_sketch_features(self, pixel_values: Tensor) -> Tensor:
        """Embed sketches: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self.through_lens(self._embed(pixel_values, self.prompts(), SKETCH))

    def get_photo_features(self, pixel_values: Tensor) -> Tensor:
        """Embed photos: (B, 3, H, W) -> (B, D), L2-normalised."""
        return self._embed(pixel_values, self.prompts(), PHOTO)

    def get_patch_features(self, pixel_values: Tensor, domain: Domain) -> Tensor:
        """Keys of the last layer with the prompts of the domain, (B, P, d)."""
        tower = self._encode(pixel_values, self.prompts(), _DOMAINS[domain])
        return patch_keys(self.adapter.clip.vision_model, tower)

    def _encode(self, pixel_values: Tensor, prompts: SplipPrompts, domains: int | Tensor) -> TowerOutput:
        vision, semantic = self.adapter.clip.vision_model, None
        if self.config.text_prompt_source == "image" and prompts.semantic is not None:
            semantic = self._semantic_of_images(pixel_values, domains)
        layers = len(vision.encoder.layers)
        visual = prompts.visual(domains, layers, semantic, self.adapter.prompt_offsets)
        return encode_vision(vision, pixel_values, visual and self._first_layers(visual))

    def _semantic_of_images(self, pixel_values: Tensor, domains: int | Tensor) -> list[Tensor]:
        """V^ms_l of every image, (B, n, d_v): B_t sees its own patches, B_vt some of the classes under its prompts."""
        adapter, count = self.adapter, self.config.image_prompt_classes
        rows = torch.as_tensor(domains, device=pixel_values.device).expand(len(pixel_values))
        with torch.no_grad():
            patches = embed_patches(adapter.clip.vision_model, pixel_values)[:, 1:]
        classes = torch.linspace(0, adapter.class_ids.shape[1] - 1, count).round().long().unique()
        ids = adapter.class_ids[:, classes.to(rows.device)][rows]
        return adapter.layers_to_vision(self._encode_classes(adapter.patches_to_text(patches), ids)[0])

    def _embed(self, pixel_values: Tensor, prompts: SplipPrompts, domains: int | Tensor) -> Tensor:
        return project_image(self.adapter.clip, self._encode(pixel_values, prompts, domains).pooled)

    # Training

    @torch.no_grad()
    def _mean_patches(self, images: list[Tensor]) -> Tensor:
        """E_0 of the batch, (2, P, d_v), which is also added to the running mean."""
        adapter, momentum = self.adapter, self.config.patch_mean_momentum
        sketches, photos = images[0], torch.cat(images[1:])
        # The patch embedding is affine: the mean of the patches is the patches of the mean image.
        averages = self.of_whole_batch(torch.stack([sketches.mean(0), photos.mean(0)])[None]).mean(0)
        means = embed_patches(self.adapter.clip.vision_model, averages)[:, 1:]
        added = torch.tensor([len(sketches), len(photos)], device=means.device) * n_processes()
        adapter.images_seen += added
        share = (added / adapter.images_seen).clamp(min=momentum or 0)[:, None, None]
        adapter.patch_means.lerp_(means.to(adapter.patch_means), share.to(adapter.patch_means))
        return means

    @property
    def loss_weights(self) -> dict[str, float]:
        """1, alpha for each classification loss, and beta in the paper."""
        config = self.config
        return {
            "triplet": config.triplet_weight,
            "classification_sketch": config.classification_weight,
            "classification_photo": config.classification_weight,
            "classification_negative": config.classification_weight * config.classify_negatives,
            "jigsaw": config.jigsaw_weight,
            "patch_shuffling": config.patch_shuffling_weight,
        }

    def whole_batch_needs(self) -> list[str]:
        """The patches from which B_t computes text prompts."""
        return [] if self.adapter.patches_to_text is None else ["B_t takes a mean"]

    def process_triplets(
        self, batch: TripletBatch, terms: Collection[str]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Embed aligned triplets and compute the losses `terms`; see the base class.

        In training mode B_t sees the patches of this batch. Without `negative_labels` the margin is `fixed_margin`.
        """
        images, config = batch.images, self.config
        parts = dict(zip(("sketch", "photo", "negative"), images))
        prompts = self._make_prompts(self._mean_patches(images)) if self.training else self.prompts()
        if "jigsaw" in terms:
            permutations = torch.randint(config.n_permutations, (len(batch.sketches),))
            orders = permutation_bank(config.n_permutations)[permutations]
            parts["shuffled"] = shuffle_tiles(batch.sketches, orders)
        if "patch_shuffling" in terms:
            first, second = two_orders(len(batch.sketches), config.patch_shuffling_tiles**2)
            parts["sketch_tiles"] = shuffle_tiles(batch.sketches, first)
            parts["photo_tiles"] = shuffle_tiles(batch.photos, first)
            parts["photo_other_tiles"] = shuffle_tiles(batch.photos, second)
        embeds, values = self._embed_parts(parts, prompts), {}
        if "triplet" in terms:
            margins = self._margins(prompts, batch.labels, batch.negative_labels)
            if isinstance(margins, Tensor):
                batch.statistics["margin"] = margins.mean()
                batch.statistics["margin_share_above_0"] = (margins > 0).to(margins).mean()
            values["triplet"] = losses.squared_triplet_loss(
                embeds["sketch"], embeds["photo"], embeds["negative"], margins
            )
        classified = {"sketch": batch.labels, "photo": batch.labels, "negative": batch.negative_labels}
        for name, labels in classified.items():
            if f"classification_{name}" in terms:
                temperature = config.temperature or torch.exp(-self.clip.logit_scale)
                classes = prompts.class_embeddings[SKETCH if name == "sketch" else PHOTO]
                values[f"classification_{name}"] = losses.classification_loss(
                    embeds[name], classes, labels, temperature
                )
        if "jigsaw" in terms:
            clues = (embeds[name] for name in ("sketch", "photo", "negative"))
            logits = [self.adapter.solver(clue, embeds["shuffled"]) for clue in clues]
            values["jigsaw"] = losses.conditional_jigsaw_loss(*logits, permutations.to(logits[0].device))
        if "patch_shuffling" in terms:
            tiles = (embeds[name] for name in ("sketch_tiles", "photo_tiles", "photo_other_tiles"))
            values["patch_shuffling"] = losses.patch_shuffling_loss(*tiles, config.patch_shuffling_margin)
        return [embeds[name] for name in ("sketch", "photo", "negative")[: len(images)]], values

    def _embed_parts(self, parts: dict[str, Tensor], prompts: SplipPrompts) -> dict[str, Tensor]:
        """All parts of a batch in one pass of the tower, each row with the prompts of its modality."""
        sizes = [len(part) for part in parts.values()]
        domains = [SKETCH if name.startswith(("sketch", "shuffled")) else PHOTO for name in parts]
        rows = torch.tensor(domains).repeat_interleave(torch.tensor(sizes)).to(self.device)
        embeds = self._embed(torch.cat(list(parts.values())), prompts, rows)
        return dict(zip(parts, embeds.split(sizes)))

    def _margins(
        self, prompts: SplipPrompts, labels: Tensor | None, negative_labels: Tensor | None
    ) -> Tensor | float:
        """mu of every triplet: the cosine of the two classes' texts where there are two classes to compare."""
        config = self.config
        if not config.adaptive_margin or labels is None or negative_labels is None:
            return config.fixed_margin
        classes = self.adapter.class_embeddings
        if config.margin_text == "prompted":
            classes = prompts.class_embeddings[PHOTO].detach()
        margins = losses.class_margins(classes, labels, negative_labels, config.same_class_margin)
        return margins if config.least_margin is None else margins.clamp(min=config.least_margin)
