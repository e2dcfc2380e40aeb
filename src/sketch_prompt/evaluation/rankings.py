"""From features to pictures: the first photos of chosen sketches, ready to draw."""

from collections.abc import Sequence

import datasets
import numpy as np
from PIL import Image

from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.retrieval.figures import RankedQuery
from sketch_prompt.retrieval.ranking import rank

from .embedding import EmbeddingTable
from .protocol import TEST_SPLITS


def choose_queries(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Indices of `count` queries, drawn so that every class comes up before any comes up again."""
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    seen: dict[int, int] = {}
    turn = np.empty(len(labels), np.int64)
    for index in shuffled:
        turn[index] = seen[labels[index]] = seen.get(labels[index], -1) + 1
    return shuffled[np.argsort(turn[shuffled], kind="stable")][:count]


def ranked_queries(
    benchmark: datasets.DatasetDict,
    sketches: EmbeddingTable,
    photos: EmbeddingTable,
    queries: Sequence[int],
    top_k: int = 10,
) -> list[RankedQuery]:
    """The first `top_k` photos of some sketches, for `retrieval.figures.plot_rankings`.

    Args:
        benchmark: where the images are.
        sketches: features of the test sketches.
        photos: features of the test photos.
        queries: rows of `sketches`.
        top_k: photos a query.
    """
    queries = np.asarray(queries)
    scores, indices = rank(sketches.features[queries], photos.features, top_k)
    names = benchmark[TEST_SPLITS["sketch"]].features["label"].names
    sketch_images, photo_images = (
        benchmark[split].select_columns("image").cast_column("image", datasets.Image(decode=False))
        for split in TEST_SPLITS.values()
    )
    return [
        RankedQuery(
            query_image=_open(sketch_images[int(sketches.rows[query])]["image"]),
            gallery_images=[_open(photo_images[int(photos.rows[photo])]["image"]) for photo in ranking],
            correct=(photos.labels[ranking] == sketches.labels[query]).tolist(),
            scores=values.tolist(),
            titles=[names[photos.labels[photo]] for photo in ranking],
            query_title=names[sketches.labels[query]],
        )
        for query, values, ranking in zip(queries, scores, indices)
    ]


def _open(source) -> Image.Image | None:
    try:
        return read_image(source)
    except UnreadableImageError:
        return None
