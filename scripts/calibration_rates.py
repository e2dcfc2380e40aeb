#!/usr/bin/env python
"""How often a search is told that nothing looks like it, rightly and by mistake.

    python scripts/calibration_rates.py sketch-search
    python scripts/calibration_rates.py frozen-clip --base-model small-clip --crop --line-width 1.5

The gallery is 1,200 photos of 40 things, calibrated as `sketch-prompt index` and the web page do it. By mistake:
drawings and names of things that are there. Rightly: those of the ten unseen classes of `quickdraw-caltech` when their
photos are taken out, those of 304 other things, and scribbles (random walks, curves, zigzags, lines). The line was
chosen on the 30 seen classes, and no drawing counted here was used for that; see `gallery.calibration`. Beside a share
is its 95 % interval (Wilson).

Below, statistics on the same drawings: by how much each tells drawings of things that are there from others (the
area under its ROC curve), and what it detects if a tenth of the former are taken for the latter.
"""

import argparse
import json
import math
from collections.abc import Callable

import numpy as np

from sketch_prompt.data.strokes import Stroke

SCRIBBLES = 100
FALSE_ALARMS = 0.1  # at which statistics are compared
# Drawings of a seen class: the first ones set the line, the next ones are counted.
SET_THE_LINE, COUNTED = 10, 15


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted in so many cases."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def area(there: np.ndarray, absent: np.ndarray) -> float:
    """Of a statistic: how often one of `there` is greater than one of `absent`, the area under its ROC curve."""
    return float((there[:, None] > absent).mean() + (there[:, None] == absent).mean() / 2)


def detected(there: np.ndarray, absent: np.ndarray, false_alarms: float = FALSE_ALARMS) -> float:
    """Of a statistic: the share of `absent` below what all but a share of `there` reach."""
    return float((absent < np.quantile(there, false_alarms)).mean())


def statistics(queries: np.ndarray, photos: np.ndarray, yardstick) -> dict[str, np.ndarray]:
    """What might tell whether there is something to find: (n,) of queries (n, D), in photos (N, D)."""
    from sketch_prompt.gallery.yardsticks import NEAREST, beyond_usual, same_names

    scores = queries @ photos.T
    nearest = np.argsort(-scores, axis=1)
    best = np.take_along_axis(scores, nearest[:, :50], 1)
    found = [(query, photos[rows[:NEAREST]]) for query, rows in zip(queries, nearest)]
    compared = {
        "best score": best[:, 0],
        "best score in deviations of the query's scores": (best[:, 0] - scores.mean(1)) / scores.std(1),
        "gap from the best five to rank 50": best[:, :5].mean(1) - best[:, -1],
        "best five in deviations of each photo's scores": np.array(
            [beyond_usual(*pair, yardstick.others) for pair in found]
        ),
    }
    if yardstick.names is not None:
        names = yardstick.names
        compared["agreement on names"] = np.array([same_names(*pair, names) for pair in found])
        compared["the last two together, as used"] = np.array([-yardstick.unlike(*pair) for pair in found])
    return compared


def scribbles(count: int) -> list[list[Stroke]]:
    """Drawings of nothing, of four kinds by turns."""
    random = np.random.default_rng(0)

    def walk() -> Stroke:
        return np.cumsum(random.normal(0, 30, (2, 40)), 1).tolist()

    def curve() -> Stroke:
        t, k = np.linspace(0, 1, 80), np.arange(1, 7)[:, None]
        waves = [
            random.normal(size=(6, 1)) / k * np.sin(2 * np.pi * k * t + random.uniform(0, 6, (6, 1)))
            for _ in "xy"
        ]
        return [100 * wave.sum(0) for wave in waves]

    def zigzag() -> Stroke:
        x = np.linspace(0, 200, random.integers(8, 25))
        y = np.where(np.arange(len(x)) % 2, 0, random.uniform(60, 200))
        return [(x + random.normal(0, 8, len(x))).tolist(), (y + random.normal(0, 15, len(x))).tolist()]

    def line() -> Stroke:
        return random.uniform(0, 255, (2, 2)).tolist()

    kinds: list[Callable[[], list[Stroke]]] = [
        lambda: [walk()],
        lambda: [curve()],
        lambda: [zigzag()],
        lambda: [line() for _ in range(6)],
    ]
    return [kinds[number % len(kinds)]() for number in range(count)]


def main() -> None:
    """Measure a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="bundled name, folder or Hub id of a checkpoint, or frozen-clip")
    parser.add_argument("--base-model", help="CLIP, if it is not the checkpoint's own")
    parser.add_argument("--crop", action="store_true", help="cut away the white around drawings")
    parser.add_argument("--line-width", type=float, help="least width of a drawn line")
    arguments = parser.parse_args()

    from sketch_prompt import Gallery, load_benchmark
    from sketch_prompt.cli.command import sketch_settings
    from sketch_prompt.data.class_names import class_key
    from sketch_prompt.data.doodles import doodle_classes, read_doodles
    from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES

    sketches = sketch_settings(arguments.crop or None, arguments.line_width)
    gallery = Gallery(arguments.model, base_model=arguments.base_model, sketches=sketches)
    everything = {"seen": [*SEEN_CLASSES], "unseen": [*UNSEEN_CLASSES]}
    data = load_benchmark("quickdraw-caltech", split=everything)
    there = {class_key(name) for name in (*SEEN_CLASSES, *UNSEEN_CLASSES)}
    other_names = [name for name in doodle_classes() if class_key(name) not in there]
    seen = [d for name in SEEN_CLASSES for d in read_doodles([name], COUNTED)[SET_THE_LINE:]]
    unseen = read_doodles(UNSEEN_CLASSES)
    others = [d for name in other_names for d in read_doodles([name], 2)[1:]]  # the first ones calibrate

    def told(queries: list) -> str:
        return _share([bool(gallery.search(query, 1).is_weak) for query in queries])

    def told_of_words(names) -> str | None:
        if gallery.calibration.words is None:
            return None
        texts = [wording.format(name) for name in names for wording in ("{}", "a photo of a {}")]
        return _share([bool(gallery.search(text=text, top_k=1).is_weak) for text in texts])

    gallery.add(data["train_photo"])
    gallery.calibrate()
    absent = {
        "drawings of the unseen classes, whose photos are not there": told([d.strokes for d in unseen]),
        "names of the unseen classes, likewise": told_of_words(UNSEEN_CLASSES),
    }
    photos = data["test_photo"]
    gallery.add(photos, [f"unseen {row}" for row in range(len(photos))])
    calibration = gallery.calibrate()
    mistakes = {
        "drawings of the unseen classes": told([d.strokes for d in unseen]),
        "drawings of the seen classes": told([d.strokes for d in seen]),
        "names of the unseen classes": told_of_words(UNSEEN_CLASSES),
    }
    absent |= {
        "drawings of other things": told([d.strokes for d in others]),
        "scribbles": told(scribbles(SCRIBBLES)),
        "names of other things": told_of_words(other_names),
    }
    here, elsewhere = (
        np.stack([gallery.embed_query(d.strokes) for d in drawings]) for drawings in (unseen + seen, others)
    )
    photos, yardstick = gallery.features, calibration.drawings
    of_here, of_others = (statistics(queries, photos, yardstick) for queries in (here, elsewhere))
    compared = {
        name: f"area {area(of_here[name], of_others[name]):.3f}, {detected(of_here[name], of_others[name]):.1%}"
        for name in of_here
    }
    words = calibration.words
    result = {
        "lines": [round(calibration.drawings.line, 3), None if words is None else round(words.line, 3)],
        "largest hub": round(calibration.hub_share, 3),
        "told by mistake": mistakes,
        "told rightly": absent,
        f"statistics, {len(here)} drawings against {len(elsewhere)}": compared,
    }
    print(json.dumps(result, indent=2))


def _share(weak: list[bool]) -> str:
    share = sum(weak) / len(weak)
    low, high = wilson(share, len(weak))
    return f"{share:.1%} ({low:.1%} to {high:.1%}) of {len(weak)}"


if __name__ == "__main__":
    main()
