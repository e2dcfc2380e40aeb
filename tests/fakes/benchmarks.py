"""A benchmark of coloured squares, which `TinyModel` can tell apart."""

from pathlib import Path

import datasets
import numpy as np
from PIL import Image

SEEN, UNSEEN = ["car", "cup"], ["bee", "door", "t shirt"]
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]


def write_benchmark(folder: Path, photos: int = 6, sketches: int = 3) -> datasets.DatasetDict:
    """PNG files and the table of their paths; a class has a colour of its own, blurred by noise."""
    generator = np.random.default_rng(0)
    for domain, count in (("sketch", sketches), ("photo", photos)):
        for name, colour in zip(SEEN + UNSEEN, COLOURS):
            (folder / domain / name).mkdir(parents=True)
            for number in range(count):
                noise = generator.integers(0, 160, (10, 12, 3))
                pixels = ((noise + colour) // 2).astype(np.uint8)
                Image.fromarray(pixels).save(folder / domain / name / f"{number}.png")
    return read_benchmark(folder)


def read_benchmark(folder: Path) -> datasets.DatasetDict:
    """What `load_benchmark` gives: four tables with the columns image, label, instance_id and domain."""
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=SEEN + UNSEEN),
        instance_id=datasets.Value("string"),
        domain=datasets.Value("string"),
    )
    tables = datasets.DatasetDict()
    for split, names in (("train", SEEN), ("test", UNSEEN)):
        for domain in ("sketch", "photo"):
            rows = [
                {"image": str(path), "label": name, "instance_id": f"{name}-{path.stem}", "domain": domain}
                for name in names
                for path in sorted((folder / domain / name).iterdir())
            ]
            tables[f"{split}_{domain}"] = datasets.Dataset.from_list(rows, features=features)
    return tables
