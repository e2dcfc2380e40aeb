"""What fewer bits and fewer numbers a photo cost: mAP and P@10 beside float32, frozen and through a lens, as Markdown.

    python scripts/stored_photos.py --cache FOLDER
    python scripts/stored_photos.py --cache FOLDER --base-model CLIP --sketchy DIR --caltech DIR --quickdraw DIR \
        --split SPLIT.yaml

The first line measures the bundled CLIP on the bundled quickdraw-caltech, the second also another CLIP on sketchy-21
and on a folder of photos and drawings. Photos are compressed by the codes that a gallery uses; queries are not. "Codes
alone" ranks all photos by them. "As a gallery finds": twenty times as many as are asked for are proposed in `binary`,
three times as many in `int8`, and compared in full precision. Axes of PCA are those of the photos of seen classes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lens_experiments import Features, Setting, precisions, print_table, through
from sketch_prompt.gallery.indexes import make_index
from sketch_prompt.gallery.indexes.approximate import FaissIndex

FIRST = 10
SHARES = (0.5, 0.25, 0.125)

Encode = Callable[[np.ndarray], np.ndarray]
"""Features (n, D) of queries or photos -> what is compared in their place."""


def average_precision(ranked: np.ndarray, query_labels: np.ndarray, photo_labels: np.ndarray) -> np.ndarray:
    """(Q,) average precision of rankings (Q, N) of all photos."""
    right = photo_labels[ranked] == query_labels[:, None]
    precision = right.cumsum(1) / np.arange(1, right.shape[1] + 1)
    return (precision * right).sum(1) / right.sum(1).clip(1)


def by_codes(setting: Setting, precision: str) -> Callable[[np.ndarray], float]:
    """mAP of the order that the codes of a precision give, in %."""
    index = FaissIndex("exact", precision)
    index.build(np.arange(len(setting.test_photo.x)), setting.test_photo.x)

    def score(queries: np.ndarray) -> float:
        ranked = index.rank_by_codes(np.ascontiguousarray(queries, np.float32))
        return 100 * average_precision(ranked, setting.test_sketch.y, setting.test_photo.y).mean()

    return score


def as_a_gallery_finds(setting: Setting, precision: str) -> Callable[[np.ndarray], float]:
    """Share of right photos among the first ten that an index finds, in %."""
    index = make_index("exact", precision)
    index.build(np.arange(len(setting.test_photo.x)), setting.test_photo.x)

    def score(queries: np.ndarray) -> float:
        found = index.search(queries, FIRST).ids
        return 100 * (setting.test_photo.y[found] == setting.test_sketch.y[:, None]).mean()

    return score


def of_fewer_numbers(setting: Setting, encode: Encode) -> Callable[[np.ndarray], float]:
    """mAP where queries and photos are replaced by fewer numbers, in %."""
    photos = encode(setting.test_photo.x)
    return lambda queries: 100 * precisions(setting, encode(queries), photos).mean()


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def shortened(setting: Setting) -> dict[str, Encode]:
    """Ways to fewer numbers: the first ones, as of a Matryoshka model, and the first axes of a PCA."""
    seen = setting.train_photo.x
    axes = np.linalg.svd(seen - seen.mean(0), full_matrices=False)[2]
    ways = {}
    for share in SHARES:
        count = int(share * seen.shape[1])
        ways[f"the first {share:.1%} of the numbers"] = lambda x, count=count: _unit(x[:, :count])
        ways[f"as many axes of PCA ({share:.1%})"] = lambda x, count=count: _unit(x @ axes[:count].T)
    return ways


def stored_table(settings: dict[str, Setting]) -> None:
    """Print the table: a row for each way to store photos, a column for each benchmark."""
    rows: dict[str, list[str]] = {}
    for setting in settings.values():
        lens = setting.fit("photos")
        queries = setting.test_sketch.x, through(lens, setting.test_sketch.x).astype(np.float32)
        scores = {"float32, mAP@all": of_fewer_numbers(setting, lambda x: x)}
        for precision in ("float16", "int8", "binary"):
            scores[f"{precision}, codes alone, mAP@all"] = by_codes(setting, precision)
        for name, encode in shortened(setting).items():
            scores[f"{name}, mAP@all"] = of_fewer_numbers(setting, encode)
        for precision in ("float32", "float16", "int8", "binary"):
            scores[f"{precision}, as a gallery finds, P@10"] = as_a_gallery_finds(setting, precision)
        for row, score in scores.items():
            rows.setdefault(row, []).append(" → ".join(f"{score(side):.1f}" for side in queries))
    print_table([f"{name}, frozen → lens" for name in settings], rows)


def main() -> None:
    """Print the table of all benchmarks that are given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder for features")
    parser.add_argument("--base-model", help="another CLIP")
    parser.add_argument("--sketchy", type=Path, help="folder of Sketchy")
    parser.add_argument("--caltech", type=Path, help="folder of photos")
    parser.add_argument("--quickdraw", type=Path, help="folder of drawings")
    parser.add_argument("--split", type=Path, help="seen and unseen classes of photos and drawings")
    arguments = parser.parse_args()
    bundled = Features("small-clip", arguments.cache)
    settings = {"quickdraw-caltech, small-clip": bundled.benchmark("quickdraw-caltech", "quickdraw-caltech")}
    if arguments.base_model is not None:
        real = Features(arguments.base_model, arguments.cache, sketch_crop_margin=True, sketch_line_width=1.5)
        settings["sketchy-21"] = real.benchmark("sketchy-21", "sketchy-21", arguments.sketchy)
        settings["Quick, Draw! x Caltech"] = real.benchmark(
            "caltech",
            "sketch-folder",
            photo_dir=str(arguments.caltech),
            sketch_dir=str(arguments.quickdraw),
            split=str(arguments.split),
        )
    stored_table(settings)


if __name__ == "__main__":
    main()
