"""Re-rank the first photos of a search by pair scores."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sketch_prompt.data.reading import UnreadableImageError, unprocessable_is_unreadable
from sketch_prompt.embedding.pairs import Prepared, prepare_pairs, score_pairs
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import Domain, SketchPromptProcessor
from sketch_prompt.top_k import best_places

from .collection import PhotoCollection
from .hits import Hit

_KEPT = 512  # photos: at ViT-B/16's size 2 MB each
_BATCH = 32


class PairReranker:
    """Scores pairs of a sketch and a photo, and caches what it computed for the latest photos.

    Args:
        model: A model with `has_reranker`.
        processor: Its processor.

    Raises:
        ValueError: The model has no re-ranker.
    """

    def __init__(self, model: SketchPromptPreTrainedModel, processor: SketchPromptProcessor):
        if not model.has_reranker:
            raise ValueError(
                f"{model.method} has no re-ranker: it compares embeddings only. Search without rerank"
            )
        self.model = model
        self.processor = processor
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._lock = threading.Lock()

    @torch.inference_mode()
    def rank(self, sketch: Image.Image, hits: Sequence[Hit], collection: PhotoCollection) -> list[Hit]:
        """Sort hits by their similarity and pair scores, fused by the model (`fuse_scores`).

        Photos that cannot be read any more come last.

        Args:
            sketch: The drawing.
            hits: Photos of the collection.
            collection: The collection, to open them.
        """
        drawn = self._prepare([self.processor.preprocess(sketch, "sketch")], "sketch")
        scores = np.full(len(hits), np.nan, np.float32)
        for start in range(0, len(hits), _BATCH):
            photos = self._photos(hits[start : start + _BATCH], collection)
            if photos:
                batch = {
                    name: torch.cat([photo[name] for photo in photos.values()]).to(value.device)
                    for name, value in drawn.items()
                }
                scores[[start + place for place in photos]] = score_pairs(self.model, drawn, batch)[0]
        scores = self.model.fuse_scores(np.array([hit.score for hit in hits], np.float32), scores)
        scores = np.where(np.isnan(scores), np.nanmin(scores, initial=0.0), scores)
        return [
            replace(hits[place], rank=rank, score=float(scores[place]))
            for rank, place in enumerate(best_places(scores, len(hits)), 1)
        ]

    def _photos(self, hits: Sequence[Hit], collection: PhotoCollection) -> dict[int, Prepared]:
        """The tensors for scoring the readable photos, by their position among the hits."""
        digests = [collection.photos.digests[collection.row_of(hit)] for hit in hits]
        found, new = {}, {}
        with self._lock:
            for place, digest in enumerate(digests):
                if digest in self._prepared:
                    self._prepared.move_to_end(digest)
                    found[place] = self._prepared[digest]
        for place, hit in enumerate(hits):
            if place not in found:
                try:
                    with unprocessable_is_unreadable(hit.path):
                        new[place] = self.processor.preprocess(collection.image(hit), "photo")
                except UnreadableImageError:
                    continue
        if new:
            prepared = self._prepare(list(new.values()), "photo")
            for row, place in enumerate(new):
                found[place] = {name: value[row : row + 1].cpu() for name, value in prepared.items()}
            with self._lock:
                self._prepared |= {digests[place]: found[place] for place in new}
                while len(self._prepared) > _KEPT:
                    self._prepared.popitem(last=False)
        return dict(sorted(found.items()))

    def _prepare(self, pixel_values: list[Tensor], domain: Domain) -> Prepared:
        place = next(self.model.parameters())
        _, prepared = prepare_pairs(
            self.model, torch.stack(pixel_values).to(place.device, place.dtype), domain
        )
        return prepared
