"""Methods of a dozen lines: with them, tests of what is built on the contract need no CLIP."""

from types import SimpleNamespace

import numpy as np
import torch
from huggingface_hub.dataclasses import strict

from fakes.benchmarks import SEEN
from fakes.clip import WordProcessor
from sketch_prompt.models.configuration_base import SketchPromptPreTrainedConfig
from sketch_prompt.models.modeling_base import MethodAdapter, SketchPromptPreTrainedModel


@strict
class TinyConfig(SketchPromptPreTrainedConfig):
    """Configuration of `TinyModel`."""

    model_type = "tiny"
    method = "tiny"

    @property
    def uses_clip(self):
        return False


class TinyAdapter(MethodAdapter):
    """Random projections of the 192 values of an image: for its embedding, and for scoring it in a pair."""

    def __init__(self, seed: int):
        super().__init__()
        self.projection = torch.nn.Parameter(_random(0))
        self.pair_projection = torch.nn.Parameter(_random(seed))


class TinyModel(SketchPromptPreTrainedModel):
    """The whole contract without a re-ranker or categories: embeds an image by a projection of its pixels.

    `batches` holds the size of every batch that was embedded.
    """

    config_class = TinyConfig

    def __init__(self, class_names=tuple(SEEN), seed=1):
        self.seed, self.batches = seed, []
        super().__init__(self.config_class(base_model=None, class_names=list(class_names)))
        self.config.name_or_path = "tiny-checkpoint"
        self.dropout = torch.nn.Dropout(0.5)

    def build_adapter(self, config):
        return TinyAdapter(self.seed)

    def get_photo_features(self, pixel_values):
        self.batches.append(len(pixel_values))
        features = self.dropout(pixel_values.flatten(1)) @ self.adapter.projection
        return torch.nn.functional.normalize(features, dim=-1)

    def get_sketch_features(self, pixel_values):
        return self.get_photo_features(pixel_values)


@strict
class TinyPairConfig(TinyConfig):
    """Configuration of `TinyPairModel`."""

    model_type = "tiny-pairs"
    method = "tiny-pairs"


class TinyPairModel(TinyModel):
    """Also scores pairs, by another projection of the same pixels, and counts what it is asked."""

    config_class = TinyPairConfig
    has_reranker = True

    def __init__(self, **options):
        super().__init__(**options)
        self.encoded, self.pairs = 0, 0

    def encode_tokens(self, pixel_values, domain):
        self.encoded += len(pixel_values)
        return pixel_values.flatten(2)

    def pool_tokens(self, tokens, domain):
        return self.get_photo_features(tokens)

    def prepare_pairs(self, tokens, domain):
        projected = tokens.flatten(1) @ self.adapter.pair_projection
        return {"projected": torch.nn.functional.normalize(projected, dim=-1)}

    def score_prepared(self, sketches, photos):
        self.pairs += len(sketches["projected"]) * len(photos["projected"])
        return sketches["projected"] @ photos["projected"].T


@strict
class TinyFusedConfig(TinyPairConfig):
    """Configuration of `TinyFusedModel`."""

    model_type = "tiny-fused"
    method = "tiny-fused"
    rerank_weight: float | int | None = 0.5


class TinyFusedModel(TinyPairModel):
    """Re-ranks by the similarity of embeddings plus a weight times the score of the pair."""

    config_class = TinyFusedConfig

    def fuse_scores(self, similarities, pair_scores):
        weight = self.config.rerank_weight
        return pair_scores if weight is None else similarities + weight * pair_scores


class TinyProcessor(WordProcessor):
    """Its processor: 8 x 8 pixels in 0..1, and one id for each word."""

    image_processor = SimpleNamespace(to_dict=lambda: {"size": 8})

    def preprocess(self, image, domain):
        pixels = np.asarray(image.convert("RGB").resize((8, 8)), np.float32) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1)


def _random(seed: int) -> torch.Tensor:
    return torch.randn(3 * 8 * 8, 16, generator=torch.Generator().manual_seed(seed))
