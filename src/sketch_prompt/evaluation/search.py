"""Searching a gallery with every query, at category level or at instance level."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import datasets
import numpy as np

from sketch_prompt.checksums import text_checksum
from sketch_prompt.data.reading import UnreadableImage
from sketch_prompt.embedding.tables import EmbeddingTable
from sketch_prompt.metrics import (
    PairScores,
    QueryScores,
    chance_level,
    instance_chance_level,
    instance_details,
    instance_ranks,
    retrieval_details,
)
from sketch_prompt.metrics.core import RECALL_LEVELS
from sketch_prompt.metrics.instance import distinct_photos
from sketch_prompt.metrics.scores import mean_name
from sketch_prompt.vocabulary import TEST_SPLITS, Convention, GalleryPhotos, Level

from .ranking import EmbeddingRanker, Ranker
from .task import DEFAULT_KS

_LONGEST_CURVE = 100
_BY_EMBEDDING = EmbeddingRanker()
_NAMED = 5


@dataclass(frozen=True)
class Search:
    """The results of searching a gallery with every query.

    Example:
        ```python
        sketches, photos = embed_benchmark(model, processor, benchmark)
        search = search_categories(sketches, photos, "standard", ks=[100])
        search.details.mean(), search.chance
        ```

    Attributes:
        level: "category" (photos of the sketch's class are right) or "instance" (only its own photo is).
        gallery: Which photos are ranked for a query: "all", or those of its "category".
        convention: "standard" or "interpolated" at category level; None at instance level.
        sketches: The N queries.
        photos: The gallery. At instance level it holds each photo once.
        scores: Scores of every query with every photo that is ranked for it.
        details: Metrics of each query.
        chance: Metrics of a random ranking, with the names of `details.mean()`.
        curve: {x: values, y: values, "chance": values}: precision over recall, or accuracy over k.
        quality: (N,) how well each query did, to choose the best and the worst ones; NaN if a query does not count.
        captions: (N,) the same in words.
        own_ranks: (N,) at instance level, the rank (0 = first) of each query's own photo; None at category level.
        left_out: Queries without a readable photo of their own.
        ceilings: {metric: the most it can reach}, of metrics that cannot reach 1.
    """

    level: Level
    gallery: GalleryPhotos
    convention: Convention | None
    sketches: EmbeddingTable
    photos: EmbeddingTable
    scores: PairScores
    details: QueryScores
    chance: dict[str, float]
    curve: dict[str, list[float]]
    quality: np.ndarray
    captions: list[str]
    own_ranks: np.ndarray | None = None
    left_out: tuple[UnreadableImage, ...] = ()
    ceilings: dict[str, float] = field(default_factory=dict)

    @property
    def query_set(self) -> str:
        """A checksum of the queries: their rows, labels and instances."""
        columns = (self.sketches.rows, self.sketches.labels, self.sketches.instance_ids)
        return text_checksum("\n".join(f"{row} {label} {id}" for row, label, id in zip(*columns)))

    def query_scores(self) -> dict[str, list[float | None]]:
        """{metric: its value for each query}; None where a query does not count."""
        return {
            mean_name(name): [None if np.isnan(value) else round(float(value), 6) for value in values]
            for name, values in self.details.values.items()
        }

    def gallery_of(self, query: int) -> np.ndarray:
        """Rows of `photos` that are ranked for a query."""
        if self.gallery == "all":
            return np.arange(len(self.photos.rows))
        return np.flatnonzero(self.photos.labels == self.sketches.labels[query])

    def is_right(self, query: int, photos: np.ndarray) -> np.ndarray:
        """Whether these rows of `photos` are right for a query."""
        right = self.photos.labels[photos] == self.sketches.labels[query]
        if self.level == "instance":
            right &= self.photos.instance_ids[photos] == self.sketches.instance_ids[query]
        return right


def search_categories(
    sketches: EmbeddingTable,
    photos: EmbeddingTable,
    convention: Convention = "standard",
    ks: Sequence[int] = DEFAULT_KS["category"],
    progress: bool = True,
    ranker: Ranker = _BY_EMBEDDING,
) -> Search:
    """Rank all photos for every sketch, at category level. The errors are those of `evaluate_retrieval`."""
    scores = ranker(sketches, photos)
    details = retrieval_details(
        scores,
        sketches.labels,
        photos.labels,
        convention,
        ks,
        progress=None if progress else False,
    )
    quality = details.values["AP@all"]
    prevalence = float(details.relevant.mean() / len(photos.rows))
    return Search(
        level="category",
        gallery="all",
        convention=convention,
        sketches=sketches,
        photos=photos,
        scores=scores,
        details=details,
        chance=chance_level(sketches.labels, photos.labels, convention, ks),
        curve={
            "recall": RECALL_LEVELS.tolist(),
            "precision": details.precision.tolist(),
            "chance": [prevalence] * len(RECALL_LEVELS),
        },
        quality=quality,
        captions=[f"AP {100 * value:.1f} %" for value in quality],
        ceilings=precision_ceilings(details.relevant, ks) if convention == "standard" else {},
    )


def precision_ceilings(relevant: np.ndarray, ks: Sequence[int]) -> dict[str, float]:
    """The most that P@k can be, where some query has fewer than k right photos.

    Args:
        relevant: (N,) the number of right photos of each query.
        ks: Cut-offs.
    """
    ceilings = {f"P@{k}": float(np.minimum(relevant, k).mean() / k) for k in ks}
    return {name: value for name, value in ceilings.items() if value < 1}


def search_instances(
    benchmark: datasets.DatasetDict,
    sketches: EmbeddingTable,
    photos: EmbeddingTable,
    gallery: GalleryPhotos = "category",
    ks: Sequence[int] = DEFAULT_KS["instance"],
    ranker: Ranker = _BY_EMBEDDING,
) -> Search:
    """Find the rank of every sketch's own photo, at instance level. Sketches whose photo is unreadable are left out.

    Args:
        benchmark: The tables that the features came from.
        sketches: Features of the test sketches.
        photos: Features of the test photos.
        gallery: Rank "all" photos for a query, or those of its "category".
        ks: Cut-offs of Acc@k.
        ranker: Scores the photos.

    Raises:
        ValueError: No sketch has a readable photo.
    """
    photos = photos.take(distinct_photos(_name_instances(photos.labels, photos.instance_ids)))
    query_keys = _name_instances(sketches.labels, sketches.instance_ids)
    photo_keys = _name_instances(photos.labels, photos.instance_ids)
    lost = np.setdiff1d(instance_keys(benchmark[TEST_SPLITS["photo"]]), photo_keys)
    unasked = np.isin(query_keys, lost)
    if unasked.all():
        raise ValueError("No sketch has a readable photo in the gallery.")
    left_out = _left_out(benchmark, sketches, np.flatnonzero(unasked))
    sketches, query_keys = sketches.take(np.flatnonzero(~unasked)), query_keys[~unasked]

    categories = (sketches.labels, photos.labels) if gallery == "category" else ()
    scores = ranker(sketches, photos, *categories)
    ranks = instance_ranks(scores, query_keys, photo_keys, *categories)
    categories = categories or (np.zeros(len(sketches.rows), int), np.zeros(len(photos.rows), int))
    sizes = np.unique(categories[1], return_counts=True)[1]
    curve_ks = range(1, min(_LONGEST_CURVE, sizes.max()) + 1)
    return Search(
        level="instance",
        gallery=gallery,
        convention=None,
        sketches=sketches,
        photos=photos,
        scores=scores,
        details=instance_details(ranks, sketches.labels, ks),
        chance=instance_chance_level(*categories, ks),
        curve={
            "k": list(curve_ks),
            "accuracy": [float(np.mean(ranks < k)) for k in curve_ks],
            "chance": list(instance_chance_level(*categories, curve_ks).values()),
        },
        quality=1 / (1 + ranks),
        captions=[f"its photo: rank {rank + 1}" for rank in ranks],
        own_ranks=ranks,
        left_out=left_out,
    )


def instance_keys(table: datasets.Dataset) -> np.ndarray:
    """(rows,) names of the instances in a table, unique over all classes."""
    columns = table.select_columns(["label", "instance_id"])[:]
    return _name_instances(columns["label"], columns["instance_id"])


def parts_instances(benchmark: datasets.DatasetDict) -> bool:
    """Whether a benchmark tests on its training classes, with other instances of them (as `shoe-v2` does)."""
    if not {"train_sketch", "train_photo", *TEST_SPLITS.values()} <= benchmark.keys():
        return False
    trained = np.unique(benchmark["train_sketch"]["label"][:])
    tested = np.unique(benchmark[TEST_SPLITS["sketch"]]["label"][:])
    if not len(tested) or not np.isin(tested, trained).all():
        return False
    known = np.concatenate([instance_keys(benchmark[f"train_{domain}"]) for domain in TEST_SPLITS])
    return not np.isin(instance_keys(benchmark[TEST_SPLITS["photo"]]), known).any()


def check_instances(benchmark: datasets.DatasetDict) -> None:
    """Check that the photo of every test sketch is among the test photos.

    Raises:
        ValueError: Some are not; the message names the first ones.
    """
    sketches = benchmark[TEST_SPLITS["sketch"]]
    keys = instance_keys(sketches)
    missing = np.flatnonzero(~np.isin(keys, instance_keys(benchmark[TEST_SPLITS["photo"]])))
    if not len(missing):
        return
    ids = sketches.select_columns("instance_id")[:]["instance_id"]
    names = sketches.features["label"].names
    labels = sketches.select_columns("label")[:]["label"]
    examples = ", ".join(f"{names[labels[row]]}/{ids[row]}" for row in missing[:_NAMED])
    raise ValueError(
        f"{len(missing)} of {len(keys)} test sketches were drawn from photos that are not in the gallery "
        f"({examples}{', ...' if len(missing) > _NAMED else ''}): add the photos or leave the sketches out, "
        "or evaluate at category level (--level category)."
    )


def _name_instances(labels: np.ndarray, instance_ids: np.ndarray) -> np.ndarray:
    """Names of instances, unique over all classes."""
    return np.array([f"{label}/{instance}" for label, instance in zip(labels, instance_ids)], dtype=str)


def _left_out(
    benchmark: datasets.DatasetDict, sketches: EmbeddingTable, queries: np.ndarray
) -> tuple[UnreadableImage, ...]:
    images = benchmark[TEST_SPLITS["sketch"]].select_columns("image")
    images = images.cast_column("image", datasets.Image(decode=False))
    return tuple(
        UnreadableImage(
            images[int(sketches.rows[query])]["image"]["path"] or "<bytes>",
            f"its photo {sketches.instance_ids[query]} cannot be read",
        )
        for query in queries
    )
