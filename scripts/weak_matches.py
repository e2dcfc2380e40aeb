"""How often the web page says "weak matches": for things that are there, for other things, and for scribbles.

    python scripts/weak_matches.py

Searches the page's real photos with its default method. The limits come from the first five drawings of each thing
that is there; the drawings and names counted here are others. Scribbles are random walks, curves, zigzags and lines.
"""

import numpy as np
from tqdm.auto import tqdm

from sketch_prompt.data.doodles import doodle_classes, read_doodles
from sketch_prompt.data.strokes import Stroke, rasterize
from sketch_prompt.space.catalogue import Catalogue
from sketch_prompt.space.own_photos import OwnPhotos

SCRIBBLES = 100
OTHERS = 2  # drawings of each thing that is not there
FITTED, COUNTED = (
    5,
    8,
)  # of each thing that is there, drawings that set the limit, and those up to which are counted


def scribbles(count: int) -> list[list[Stroke]]:
    """Drawings of nothing, of four kinds by turns."""
    random = np.random.default_rng(0)

    def walk() -> Stroke:
        return np.cumsum(random.normal(0, 30, (2, 40)), 1).tolist()

    def curve() -> Stroke:
        t, k = np.linspace(0, 1, 80), np.arange(1, 7)[:, None]
        waves = [
            (random.normal(size=(6, 1)) / k * np.sin(2 * np.pi * k * t + random.uniform(0, 6, (6, 1))))
            for _ in "xy"
        ]
        return [100 * wave.sum(0) for wave in waves]

    def zigzag() -> Stroke:
        x = np.linspace(0, 200, random.integers(8, 25))
        y = np.where(np.arange(len(x)) % 2, 0, random.uniform(60, 200))
        return [(x + random.normal(0, 8, len(x))).tolist(), (y + random.normal(0, 15, len(x))).tolist()]

    def line() -> Stroke:
        return random.uniform(0, 255, (2, 2)).tolist()

    kinds = (lambda: [walk()], lambda: [curve()], lambda: [zigzag()], lambda: [line() for _ in range(6)])
    return [kinds[number % len(kinds)]() for number in range(count)]


def main() -> None:
    """Count, and print."""
    catalogue = Catalogue()
    catalogue.prepare()
    method = catalogue.methods[0]
    limits = catalogue.limits(method, catalogue.main)
    with catalogue.open(method, catalogue.main, OwnPhotos()) as gallery:
        there = gallery.photos.categories
        others = [name for name in doodle_classes() if name not in there]
        fresh = [d for name in there for d in read_doodles([name], COUNTED)[FITTED:]]
        drawings = {
            "drawings of things that are there": [doodle.strokes for doodle in fresh],
            "drawings of other things": [doodle.strokes for doodle in read_doodles(others, OTHERS)],
            "scribbles": scribbles(SCRIBBLES),
        }
        words = {"names of things that are there": there, "names of other things": others}
        print(f"{method} on {len(gallery):,} photos")
        for title, asked in drawings.items():
            found = [
                gallery.search(rasterize(strokes), 5) for strokes in tqdm(asked, desc=title, leave=False)
            ]
            print(
                f"{title}: {np.mean([limits.are_weak(hits, True, False) for hits in found]):.1%} of {len(found)}"
            )
        for title, asked in words.items():
            found = [gallery.search(text=text, top_k=5) for text in asked]
            print(
                f"{title}: {np.mean([limits.are_weak(hits, False, True) for hits in found]):.1%} of {len(found)}"
            )


if __name__ == "__main__":
    main()
