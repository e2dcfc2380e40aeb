"""Do explanations connect what belongs together? Measured where that is known: on MiniSketch's parts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from sketch_prompt.data.minisketch import MiniSketch
from sketch_prompt.explain.correspondence import Box, Correspondence
from sketch_prompt.explain.matching import Grid

LEAST_COVER = 0.1  # of a patch that a part must cover for the patch to count as one of it
SAMPLES = 16  # a side of each patch, at which its parts are read


@dataclass(frozen=True)
class Fidelity:
    """How often the strongest matches connect the same part, means over pairs of a sketch and its photo.

    Attributes:
        share: of the strongest matches, those whose patches show the same part.
        standard_error: of `share`, over the pairs.
        chance: the same share for a photo patch drawn at random for each sketch patch with ink.
        chance_on_object: as `chance`, drawn from the photo patches that show the object.
        matches: how many of the strongest matches there were.
        pairs: how many sketches were explained.
    """

    share: float
    standard_error: float
    chance: float
    chance_on_object: float
    matches: float
    pairs: int


def measure_fidelity(
    model,
    classes: Sequence[str],
    instances: int = 10,
    top_k: int = 10,
    image_size: int = 128,
    seed: int = 0,
) -> Fidelity:
    """Explain the first sketch of each instance by its own photo and count the matches within a part.

    Args:
        model: a method's model with its processor.
        classes: MiniSketch's names.
        instances: of each class.
        top_k: how many of the strongest matches count.
        image_size: pixels a side of the pictures.
        seed: of MiniSketch.

    A model whose embeddings depend on a category is shown each class first, by other instances, and told it.
    """
    mini = MiniSketch(image_size, seed)
    rows = []
    with tqdm(total=len(classes) * instances, desc=f"Explaining ({model.method})", unit="pair") as bar:
        for name in classes:
            with _told(model, mini, name, instances) as conditions:
                for instance in range(instances):
                    rows.append(_measure_pair(model, mini, name, instance, top_k, conditions))
                    bar.update()
    share, chance, on_object, matches = np.array(rows, dtype=float).T
    return Fidelity(
        share=share.mean(),
        standard_error=share.std(ddof=1) / len(share) ** 0.5 if len(share) > 1 else float("nan"),
        chance=chance.mean(),
        chance_on_object=on_object.mean(),
        matches=matches.mean(),
        pairs=len(rows),
    )


@contextmanager
def _told(model, mini: MiniSketch, name: str, instance: int) -> Iterator[dict[str, str]]:
    """What tells a model the category `name`, of which it is shown instances from `instance` on if it is new."""
    if not model.is_conditional:
        yield {}
        return
    new = name not in model.categories
    if new:
        sketches, photos = (range(instance, instance + count) for count in model.support_size)
        model.add_category(
            name,
            [mini.sketch(name, number) for number in sketches],
            [mini.photo(name, number) for number in photos],
        )
    try:
        yield {"category": name}
    finally:
        if new:
            model.remove_category(name)


def _measure_pair(
    model, mini: MiniSketch, name: str, instance: int, top_k: int, conditions: dict[str, str]
) -> tuple[float, float, float, int]:
    """Share, chance, chance on the object and number of matches of one pair."""
    pictures = mini.sketch(name, instance), mini.photo(name, instance)
    known = model.explain(*pictures, **conditions).top(top_k)
    sketch = patch_parts(mini.sketch_parts(name, instance), known.sketch_view, known.sketch_grid)
    photo = patch_parts(mini.photo_parts(name, instance), known.photo_view, known.photo_grid)
    return (
        same_part_share(known, sketch, photo),
        chance_share(sketch[known.ink], photo),
        chance_share(sketch[known.ink], photo[photo > 0]),
        len(known.matches),
    )


def patch_parts(parts: np.ndarray, view: Box, grid: Grid) -> np.ndarray:
    """The part that each patch shows most of: (P,), 0 where no part covers a tenth of it.

    Args:
        parts: (H, W) uint8 part numbers of a picture, 0 = none.
        view: the part of the picture that the grid covers (`Correspondence.sketch_view`).
        grid: rows and columns of patches.
    """
    size = (grid[1] * SAMPLES, grid[0] * SAMPLES)
    seen = np.asarray(Image.fromarray(parts).transform(size, Image.Transform.EXTENT, view))
    patches = seen.reshape(grid[0], SAMPLES, grid[1], SAMPLES).swapaxes(1, 2).reshape(-1, SAMPLES**2)
    counts = np.stack([np.bincount(patch, minlength=256) for patch in patches])
    counts[:, 0] = 0
    covered = counts.max(axis=1) >= LEAST_COVER * SAMPLES**2
    return np.where(covered, counts.argmax(axis=1), 0)


def same_part_share(
    correspondence: Correspondence, sketch_parts: np.ndarray, photo_parts: np.ndarray
) -> float:
    """Share of the matches whose two patches show the same part; 0 where there is no match."""
    if len(correspondence.matches) == 0:
        return 0.0
    sketch, photo = correspondence.matches.T
    return float(np.mean((sketch_parts[sketch] > 0) & (sketch_parts[sketch] == photo_parts[photo])))


def chance_share(sketch_parts: np.ndarray, photo_parts: np.ndarray) -> float:
    """Probability that a sketch patch and a photo patch, both drawn at random, show the same part.

    It is also what one-to-one matches drawn at random are expected to reach.
    """
    shares = [np.bincount(parts, minlength=256) / max(len(parts), 1) for parts in (sketch_parts, photo_parts)]
    return float(shares[0][1:] @ shares[1][1:])


def untrained(model, seed: int = 0, backbone: bool = False):
    """The same architecture with a new adapter, or with a randomly initialised CLIP as well.

    Args:
        model: whose configuration, processor and, unless `backbone`, CLIP it gets.
        seed: of the initialisation.
        backbone: whether the CLIP is new too.
    """
    config = model.config.from_dict(model.config.to_dict() | {"categories": None})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(model)(config, backbone=None if backbone else model.clip)
    fresh.processor = model.processor
    if config.class_names and fresh.processor is not None and fresh.processor.tokenizer is not None:
        fresh.set_classes(config.class_names, fresh.processor)
    return fresh.to(model.device).eval()
