"""The ways to rank photos for sketches: by embedding, by embedding and then by pairs, or by every pair."""

import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np
from accelerate import Accelerator

from sketch_prompt.embedding.pairs import score_pairs
from sketch_prompt.expansion import expand_queries
from sketch_prompt.metrics.pair_scores import FeatureScores, MatrixScores, PairScores, RerankedScores
from sketch_prompt.metrics.ranking import rank
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.vocabulary import Ranking

from .pairwise import PairStore, Piece, ScoringJob, Stores

_TILE = 64  # images a side: at ViT-B/16's size 300 MB of prepared images, minutes of a CPU, seconds of a GPU
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


class _PairwiseRanker:
    """What the rankers that score pairs have in common.

    Args:
        model: A method that scores pairs.
        sketches: The encoded sketches.
        photos: The encoded photos.
        folder: Where scores are saved, so that a run that was stopped can go on; None keeps them in memory.
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
        self.model, self.sketches, self.photos = model, sketches, photos
        self.options = {"folder": folder, "accelerator": accelerator, "progress": progress}
        self.pairs = 0

    def _job(self, pieces: list[Piece]) -> ScoringJob:
        job = ScoringJob(pieces, self._score, **self.options)
        self.pairs = job.pairs
        return job

    def _score(self, piece: Piece) -> np.ndarray:
        device = next(self.model.parameters()).device
        if piece.photos.ndim == 1:
            photos = self.photos.take(piece.photos, device)
        else:
            photos = (self.photos.take(own, device) for own in piece.photos)
        return score_pairs(self.model, self.sketches.take(piece.sketches, device), photos)


class Reranker(_PairwiseRanker):
    """Ranks by embedding, and then the first photos of each sketch again, pair by pair.

    Args:
        args, kwargs: As in `ExhaustiveRanker`.
        shortlist: Number of photos that are scored again for each sketch.
    """

    name = "rerank"

    def __init__(self, *args, shortlist: int = 100, **kwargs):
        super().__init__(*args, **kwargs)
        if shortlist < 1:
            raise ValueError(f"shortlist must be at least 1, not {shortlist}.")
        self.shortlist = shortlist

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
        return RerankedScores(first, shortlist, scores)


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
    if ranking == "rerank":
        return Reranker(model, stores["sketch"], stores["photo"], shortlist=shortlist, **options)
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
