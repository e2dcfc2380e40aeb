"""The ways to rank photos for sketches: by embedding, by embedding and then by pairs, or by every pair."""

import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator

from sketch_prompt.embedding.pairs import Prepared, score_pairs
from sketch_prompt.expansion import expand_queries
from sketch_prompt.metrics.pair_scores import FeatureScores, MatrixScores, PairScores, RerankedScores
from sketch_prompt.metrics.ranking import rank
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.vocabulary import Domain, Ranking

from .pairwise import PairStore, Piece, ScoringJob, Stores

_TILE = 64  # images a side: at ViT-B/16's size 300 MB of prepared images, minutes of a CPU, seconds of a GPU
_PREPARED_BYTES = 2**29  # a domain: at ViT-B/16's size 220 prepared images
_EXPANDED_AT_ONCE = 1024


class Table(Protocol):
    """Embedded images: their `features` (N, D), and their `rows` (N,) in the table that they came from."""

    features: np.ndarray
    rows: np.ndarray


class Ranker(Protocol):
    """Scores photos for sketches.

    Attributes:
        name: Name of the ranking.
        shortlist: Number of photos that are scored again for each sketch; None if there is no shortlist.
        pairs: Number of pairs that the last call scored by more than their embeddings.
    """

    name: Ranking
    shortlist: int | None
    pairs: int

    def __call__(
        self,
        sketches: Table,
        photos: Table,
        sketch_groups: np.ndarray | None = None,
        photo_groups: np.ndarray | None = None,
    ) -> PairScores:
        """Scores of every sketch with every photo. With groups, only scores within a group count."""


class EmbeddingRanker:
    """Ranks by the inner product of embeddings.

    Args:
        expand: Search a second time, with every sketch joined with its first so many hits; None searches once.
    """

    name = "embedding"
    shortlist = None
    pairs = 0

    def __init__(self, expand: int | None = None):
        self.expand = expand

    def __call__(self, sketches, photos, sketch_groups=None, photo_groups=None) -> PairScores:
        """See `Ranker`."""
        first = FeatureScores(sketches.features, photos.features)
        if self.expand is None:
            return first
        queries = np.array(sketches.features, np.float32)
        for rows, columns in _groups(sketches, photos, sketch_groups, photo_groups):
            mean = photos.features[columns].mean(0)
            for start in range(0, len(rows), _EXPANDED_AT_ONCE):
                some = rows[start : start + _EXPANDED_AT_ONCE]
                hits = columns[rank(first, self.expand, some, columns).indices]
                queries[some] = expand_queries(queries[some], photos.features[hits], mean)
        return FeatureScores(queries, photos.features)


class PreparedImages:
    """Images of a store as `model.prepare_pairs` makes them ready for scoring; those used last are kept.

    A store keeps tokens. What is prepared of them takes four times the space, and is quickly made.

    Args:
        model: A method that scores pairs.
        store: The encoded images.
        domain: Theirs.
    """

    def __init__(self, model: SketchPromptPreTrainedModel, store: PairStore, domain: Domain):
        self.model, self.store, self.domain = model, store, domain
        self._kept: OrderedDict[int, Prepared] = OrderedDict()
        self._bytes = 0

    @torch.inference_mode()
    def take(self, rows: np.ndarray) -> Prepared:
        """The images in these rows of the table, in this order, on the model's device."""
        rows = np.asarray(rows).tolist()
        missing = [row for row in dict.fromkeys(rows) if row not in self._kept]
        found = {row: self._kept[row] for row in rows if row in self._kept}
        for start in range(0, len(missing), _TILE):
            some = missing[start : start + _TILE]
            found |= zip(some, self._prepare(some))
        for row in rows:
            self._keep(row, found[row])
        names = found[rows[0]]
        return {name: torch.stack([found[row][name] for row in rows]) for name in names}

    def _prepare(self, rows: list[int]) -> list[Prepared]:
        weight = next(self.model.parameters())
        tokens = self.store.take(np.array(rows), weight.device)["tokens"].to(weight.dtype)
        prepared = self.model.prepare_pairs(tokens, self.domain)
        if self.store.dtype == torch.bfloat16:  # which the device may multiply faster
            prepared = {
                name: value.to(self.store.dtype) if value.is_floating_point() else value
                for name, value in prepared.items()
            }
        return [{name: value[place] for name, value in prepared.items()} for place in range(len(rows))]

    def _keep(self, row: int, prepared: Prepared) -> None:
        if row in self._kept:
            self._kept.move_to_end(row)
            return
        # Rows are views of a batch, which would live as long as any of them.
        self._kept[row] = {name: value.clone() for name, value in prepared.items()}
        self._bytes += _size(prepared)
        while self._bytes > _PREPARED_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(prepared: Prepared) -> int:
    return sum(value.nbytes for value in prepared.values())


class _PairwiseRanker:
    """What the rankers that score pairs have in common.

    Args:
        model: A method that scores pairs.
        sketches: The encoded sketches.
        photos: The encoded photos.
        folder: Where scores are saved, so that a run that was stopped can continue; None keeps them in memory.
        accelerator: Shares the pairs among processes.
        progress: Show a progress bar on stderr.
    """

    def __init__(
        self,
        model: SketchPromptPreTrainedModel,
        sketches: PairStore,
        photos: PairStore,
        *,
        folder: Path | None = None,
        accelerator: Accelerator | None = None,
        progress: bool = True,
    ):
        self.model = model
        self.sketches = PreparedImages(model, sketches, "sketch")
        self.photos = PreparedImages(model, photos, "photo")
        self.options = {"folder": folder, "accelerator": accelerator, "progress": progress}
        self.pairs = 0

    def _job(self, pieces: list[Piece]) -> ScoringJob:
        job = ScoringJob(pieces, self._score, **self.options)
        self.pairs = job.pairs
        return job

    def _score(self, piece: Piece) -> np.ndarray:
        if piece.photos.ndim == 1:
            photos = self.photos.take(piece.photos)
        else:
            photos = (self.photos.take(own) for own in piece.photos)
        return score_pairs(self.model, self.sketches.take(piece.sketches), photos)


class ShortlistScores(RerankedScores):
    """A ranking whose first photos were scored again, with what their new scores were made of.

    Args:
        first: The scores of the first ranking.
        shortlist: (N, k) photos that were scored again.
        similarities: (N, k) what they have in the first ranking.
        pair_scores: (N, k) what they have as pairs.
        fuse: Makes one score of the two.
    """

    def __init__(
        self,
        first: PairScores,
        shortlist: np.ndarray,
        similarities: np.ndarray,
        pair_scores: np.ndarray,
        fuse: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ):
        super().__init__(first, shortlist, fuse(similarities, pair_scores))
        self.similarities, self.pair_scores = similarities, pair_scores

    def fused(self, fuse: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> "ShortlistScores":
        """The same, fused in another way."""
        return ShortlistScores(self.first, self.shortlist, self.similarities, self.pair_scores, fuse)


class Reranker(_PairwiseRanker):
    """Ranks by embedding, and then the first photos of each sketch again, by `model.fuse_scores`.

    Args:
        args, kwargs: As in `ExhaustiveRanker`.
        shortlist: Number of photos that are scored again for each sketch.
        plain: Rank these by the scores of the pairs alone.
    """

    name = "rerank"

    def __init__(self, *args, shortlist: int = 100, plain: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        if shortlist < 1:
            raise ValueError(f"shortlist must be at least 1, not {shortlist}.")
        self.shortlist, self.plain = shortlist, plain
        if plain:
            self.name = "rerank-plain"

    def __call__(self, sketches, photos, sketch_groups=None, photo_groups=None) -> PairScores:
        """See `Ranker`. In a group with fewer photos than the shortlist has places, all photos are scored again."""
        first = FeatureScores(sketches.features, photos.features)
        shortlist = np.empty((len(sketches.rows), min(self.shortlist, len(photos.rows))), np.int64)
        pieces, places = [], []
        for rows, columns in _groups(sketches, photos, sketch_groups, photo_groups):
            best = columns[rank(first, shortlist.shape[1], rows, columns).indices]
            # a shorter list is padded with its last photo, which does not change the ranking
            shortlist[rows, : best.shape[1]], shortlist[rows, best.shape[1] :] = best, best[:, -1:]
            for start in range(0, len(rows), _TILE):
                some = slice(start, start + _TILE)
                pieces.append(Piece(sketches.rows[rows[some]], photos.rows[best[some]]))
                places.append(rows[some])
        scores = np.empty(shortlist.shape, np.float32)
        for place, (_, values) in zip(places, self._job(pieces).run()):
            width = values.shape[1]
            scores[place, :width], scores[place, width:] = values, values[:, -1:]
        fuse = _by_pairs if self.plain else self.model.fuse_scores
        return ShortlistScores(first, shortlist, _similarities(sketches, photos, shortlist), scores, fuse)


def _by_pairs(similarities: np.ndarray, pair_scores: np.ndarray) -> np.ndarray:
    return pair_scores


def _similarities(sketches: Table, photos: Table, shortlist: np.ndarray) -> np.ndarray:
    """(N, k) inner products of each sketch with its photos."""
    found = np.empty(shortlist.shape, np.float32)
    for row, (sketch, own) in enumerate(zip(sketches.features, shortlist)):
        found[row] = photos.features[own] @ sketch
    return found


class ExhaustiveRanker(_PairwiseRanker):
    """Ranks by scoring every pair. The arguments are those of `_PairwiseRanker`."""

    name = "exhaustive"
    shortlist = None

    def __call__(self, sketches, photos, sketch_groups=None, photo_groups=None) -> PairScores:
        """See `Ranker`."""
        pieces, places = [], []
        for rows, columns in _groups(sketches, photos, sketch_groups, photo_groups):
            # photos in the outer loop, so that a tile of them stays in memory until all sketches are scored
            for column in range(0, len(columns), _TILE):
                for row in range(0, len(rows), _TILE):
                    place = rows[row : row + _TILE], columns[column : column + _TILE]
                    pieces.append(Piece(sketches.rows[place[0]], photos.rows[place[1]]))
                    places.append(np.ix_(*place))
        matrix = self._empty(len(sketches.rows), len(photos.rows))
        matrix[:] = -np.inf  # for pairs across groups, which are not scored
        for place, (_, values) in zip(places, self._job(pieces).run()):
            matrix[place] = values
        return MatrixScores(matrix)

    def _empty(self, n_sketches: int, n_photos: int) -> np.ndarray:
        """A matrix in memory, or in a temporary file in the folder: QuickDraw's matrix takes 20 GB."""
        if self.options["folder"] is None:
            return np.empty((n_sketches, n_photos), np.float32)
        file = tempfile.TemporaryFile(dir=self.options["folder"])  # noqa: SIM115 - lives as long as the matrix
        return np.memmap(file, np.float32, "w+", shape=(n_sketches, n_photos))


def build_ranker(
    ranking: Ranking,
    model: SketchPromptPreTrainedModel,
    stores: Stores | None,
    shortlist: int,
    expand: int | None = None,
    **options,
) -> Ranker:
    """The ranker for a ranking; `options` are those of `ExhaustiveRanker`."""
    if ranking == "embedding":
        return EmbeddingRanker(expand)
    if ranking in ("rerank", "rerank-plain"):
        plain = ranking == "rerank-plain"
        return Reranker(model, stores["sketch"], stores["photo"], shortlist=shortlist, plain=plain, **options)
    return ExhaustiveRanker(model, stores["sketch"], stores["photo"], **options)


def _groups(
    sketches: Table, photos: Table, sketch_groups, photo_groups
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The indices of the sketches and of the photos in each group."""
    if sketch_groups is None:
        return [(np.arange(len(sketches.rows)), np.arange(len(photos.rows)))]
    return [
        (np.flatnonzero(sketch_groups == group), np.flatnonzero(photo_groups == group))
        for group in np.unique(sketch_groups)
    ]
