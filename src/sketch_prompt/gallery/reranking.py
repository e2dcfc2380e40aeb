"""The first photos of a search, scored once more: pair by pair, by models that can."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sketch_prompt.data.reading import UnreadableImageError

_KEPT = 512  # photos: at ViT-B/16's size 2 MB each
_BATCH = 32


class PairReranker:
    """Scores pairs of a sketch and a photo, and keeps what it has computed of the photos it saw last.

    Args:
        model: one with `has_reranker`.
        processor: its processor.

    Raises:
        ValueError: the model has no re-ranker.
    """

    def __init__(self, model, processor):
        if not model.has_reranker:
            raise ValueError(
                f"{model.method} has no re-ranker: it compares embeddings only. Search without rerank"
            )
        self.model = model
        self.processor = processor
        self._prepared: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    @torch.inference_mode()
    def scores(
        self, sketch: Image.Image, digests: Sequence[str], read: Callable[[int], Image.Image]
    ) -> np.ndarray:
        """Scores (n,) of a sketch with photos; NaN for those that cannot be read.

        Args:
            sketch: the drawing.
            digests: of the photos' contents.
            read: the photo of a place in `digests`; raises UnreadableImageError.
        """
        pixels = self.processor.preprocess(sketch, "sketch")[None]
        drawn = self.model.prepare_pairs(self._encode(pixels, "sketch"), "sketch")
        scores = np.full(len(digests), np.nan, np.float32)
        for start in range(0, len(digests), _BATCH):
            photos = self._photos(range(start, min(start + _BATCH, len(digests))), digests, read)
            if photos:
                batch = {
                    name: torch.cat([photo[name] for photo in photos.values()]).to(value.device)
                    for name, value in drawn.items()
                }
                scores[list(photos)] = self.model.score_prepared(drawn, batch)[0].float().cpu().numpy()
        return scores

    def _photos(
        self, places: range, digests: Sequence[str], read: Callable[[int], Image.Image]
    ) -> dict[int, dict[str, Tensor]]:
        """What scoring needs of the photos that can be read, by place."""
        found, new = {}, {}
        with self._lock:
            for place in places:
                if digests[place] in self._prepared:
                    self._prepared.move_to_end(digests[place])
                    found[place] = self._prepared[digests[place]]
        for place in places:
            if place not in found:
                try:
                    new[place] = self.processor.preprocess(read(place), "photo")
                except (UnreadableImageError, ValueError, OSError):
                    continue
        if new:
            tokens = self._encode(torch.stack(list(new.values())), "photo")
            prepared = self.model.prepare_pairs(tokens, "photo")
            for row, place in enumerate(new):
                found[place] = {name: value[row : row + 1].cpu() for name, value in prepared.items()}
            with self._lock:
                self._prepared |= {digests[place]: found[place] for place in new}
                while len(self._prepared) > _KEPT:
                    self._prepared.popitem(last=False)
        return dict(sorted(found.items()))

    def _encode(self, pixels: Tensor, domain: str) -> Tensor:
        parameter = next(self.model.parameters())
        return self.model.encode_tokens(pixels.to(parameter.device, parameter.dtype), domain)
