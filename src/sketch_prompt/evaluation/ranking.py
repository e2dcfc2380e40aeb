"""Ways to rank photos for sketches: by embeddings, by embeddings and then pairwise, or by every pair."""

import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np
from accelerate import Accelerator

from sketch_prompt.metrics.pair_scores import FeatureScores, MatrixScores, PairScores, RerankedScores
from sketch_prompt.metrics.ranking import rank_scores
from sketch_prompt.pairs import score_pairs
from sketch_prompt.vocabulary import Ranking

from .pairwise import PairStore, Piece, ScoringJob, Stores

_TILE = 64  # images a side: at ViT-B/16's size 300 MB of prepared images, minutes of a CPU, seconds of a GPU


class Table(Protocol):
    """Embedded images: `features` (N, D), and their `rows` (N,) in the table they came from."""

    features: np.ndarray
    rows: np.ndarray


class Ranker(Protocol):
    """Scores photos for sketches.

    Attributes:
        name: of the ranking.
        shortlist: number of photos that are scored again for each sketch; None if there is no shortlist.
        pairs: number of pairs that the last call scored, by more than their embeddings.
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
        """Scores of every sketch with every photo; with groups, of those pairs alone that share one count."""


class EmbeddingRanker:
    """By the inner product of embeddings."""

    name = "embedding"
    shortlist = None
    pairs = 0

    def __call__(self, sketches, photos, sketch_groups=None, photo_groups=None) -> PairScores:
        """See `Ranker`."""
        return FeatureScores(sketches.features, photos.features)


class _PairwiseRanker:
    """What the pairwise rankers share.

    Args:
        model: one with `has_reranker`.
        sketches: its `prepare_pairs` of the sketches.
        photos: likewise.
        folder: where scores are kept, so that a run that was cut off goes on.
        accelerator: shares the pairs among processes.
        progress: show a bar on stderr.
    """

    def __init__(
        self,
        model,
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
    """By embeddings, and then the first photos of every sketch pair by pair.

    Args:
        args, kwargs: as in `ExhaustiveRanker`.
        shortlist: how many photos are scored again.
    """

    name = "rerank"

    def __init__(self, *args, shortlist: int = 100, **kwargs):
        super().__init__(*args, **kwargs)
        if shortlist < 1:
            raise ValueError(f"shortlist must be at least 1, not {shortlist}.")
        self.shortlist = shortlist

    def __call__(self, sketches, photos, sketch_groups=None, photo_groups=None) -> PairScores:
        """See `Ranker`. In a group with fewer photos than the shortlist is long, all are scored again."""
        first = FeatureScores(sketches.features, photos.features)
        shortlist = np.empty((len(sketches.rows), min(self.shortlist, len(photos.rows))), np.int64)
        pieces, places = [], []
        for rows, columns in _groups(sketches, photos, sketch_groups, photo_groups):
            best = columns[rank_scores(first, shortlist.shape[1], rows, columns).indices]
            # a short list is filled up with its last photo, which changes nothing
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
    """By scoring every pair; see `_PairwiseRanker` for the arguments."""

    name = "exhaustive"
    shortlist = None

    def __call__(self, sketches, photos, sketch_groups=None, photo_groups=None) -> PairScores:
        """See `Ranker`."""
        pieces, places = [], []
        for rows, columns in _groups(sketches, photos, sketch_groups, photo_groups):
            # photos in the outer loop: their tile stays in memory while the sketches pass
            for column in range(0, len(columns), _TILE):
                for row in range(0, len(rows), _TILE):
                    place = rows[row : row + _TILE], columns[column : column + _TILE]
                    pieces.append(Piece(sketches.rows[place[0]], photos.rows[place[1]]))
                    places.append(np.ix_(*place))
        matrix = self._empty(len(sketches.rows), len(photos.rows))
        matrix[:] = -np.inf  # what pairs across groups keep
        for place, (_, values) in zip(places, self._job(pieces).run()):
            matrix[place] = values
        return MatrixScores(matrix)

    def _empty(self, n_sketches: int, n_photos: int) -> np.ndarray:
        """In memory, or in a nameless file of the folder: QuickDraw's matrix takes 20 GB."""
        if self.options["folder"] is None:
            return np.empty((n_sketches, n_photos), np.float32)
        file = tempfile.TemporaryFile(dir=self.options["folder"])  # noqa: SIM115 - lives as long as the matrix
        return np.memmap(file, np.float32, "w+", shape=(n_sketches, n_photos))


def build_ranker(ranking: Ranking, model, stores: Stores | None, shortlist: int, **options) -> Ranker:
    """The ranker of a name; `options` are those of `ExhaustiveRanker`."""
    if ranking == "embedding":
        return EmbeddingRanker()
    if ranking == "rerank":
        return Reranker(model, stores["sketch"], stores["photo"], shortlist=shortlist, **options)
    return ExhaustiveRanker(model, stores["sketch"], stores["photo"], **options)


def _groups(
    sketches: Table, photos: Table, sketch_groups, photo_groups
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The sketches and the photos of every group, by number."""
    if sketch_groups is None:
        return [(np.arange(len(sketches.rows)), np.arange(len(photos.rows)))]
    return [
        (np.flatnonzero(sketch_groups == group), np.flatnonzero(photo_groups == group))
        for group in np.unique(sketch_groups)
    ]
