#!/usr/bin/env python
"""How well drawings find photos in one gallery of everything: 400 drawings of 40 things, 1,200 photos of them.

    python scripts/search_quality.py mini-clip-at
    python scripts/search_quality.py frozen-clip --base-model openai/clip-vit-base-patch32

Ten drawings of each class of `quickdraw-caltech`, seen or not, are searched with in all its photos. Beside the share
of right photos among the first ten it prints how many of the drawings are shown one and the same photo: a hub.
"""

import argparse
import json
from dataclasses import asdict, dataclass

import numpy as np

from sketch_prompt.data.loading import first_of_each

DRAWINGS_PER_CLASS = 10


@dataclass(frozen=True)
class SearchQuality:
    """What was found.

    Attributes:
        precision: share of photos of the drawing's class among the first ten.
        chance: what an order by chance reaches.
        largest_hub: share of the drawings that one photo is shown to, at most over all photos.
        drawings, photos: how many there were.
    """

    precision: float
    chance: float
    largest_hub: float
    drawings: int
    photos: int


def quality(found: np.ndarray, drawing_labels: np.ndarray, photo_labels: np.ndarray) -> SearchQuality:
    """From the photos that every drawing found: (drawings, 10) places in the gallery."""
    right = photo_labels[found] == drawing_labels[:, None]
    shown = np.bincount(found.ravel(), minlength=len(photo_labels))
    chance = np.mean([(photo_labels == label).mean() for label in drawing_labels])
    return SearchQuality(
        precision=float(right.mean()),
        chance=float(chance),
        largest_hub=float(shown.max() / len(found)),
        drawings=len(found),
        photos=len(photo_labels),
    )


def main() -> None:
    """Measure a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="bundled name, folder or Hub id of a checkpoint, or frozen-clip")
    parser.add_argument("--base-model", help="CLIP, if it is not the checkpoint's own")
    arguments = parser.parse_args()

    from sketch_prompt import load_benchmark
    from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES
    from sketch_prompt.evaluation import embed
    from sketch_prompt.metrics import FeatureScores
    from sketch_prompt.metrics.ranking import rank
    from sketch_prompt.models.loading import load_model

    model, processor = load_model(arguments.model, arguments.base_model)
    everything = {"seen": [], "unseen": [*SEEN_CLASSES, *UNSEEN_CLASSES]}
    data = load_benchmark("quickdraw-caltech", split=everything)
    labels = np.asarray(data["test_sketch"]["label"][:])
    drawings = data["test_sketch"].select(first_of_each(labels, DRAWINGS_PER_CLASS))
    queries = embed(model, drawings, processor, "sketch")
    gallery = embed(model, data["test_photo"], processor, "photo")
    found = rank(FeatureScores(queries.features, gallery.features), 10).indices
    print(json.dumps(asdict(quality(found, queries.labels, gallery.labels)), indent=2))


if __name__ == "__main__":
    main()
