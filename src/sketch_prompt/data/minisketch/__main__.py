"""Contact sheet of the data set: `python -m sketch_prompt.data.minisketch --sheet out.png`."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

from ...atomic import atomic_write
from . import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch


def contact_sheet(
    classes: list[str], instances: int, image_size: int, seed: int, columns: int
) -> Image.Image:
    """Every class with its first instances: a photo and a sketch of each, under the class name."""
    mini = MiniSketch(image_size, seed)
    label, gap = 14, 6
    width, height = 2 * instances * image_size + gap, image_size + label
    rows = -(-len(classes) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for index, name in enumerate(classes):
        x, y = index % columns * width, index // columns * height
        pen.text((x + 2, y + 1), name + (" (unseen)" if name in UNSEEN_CLASSES else ""), fill="black")
        for instance in range(instances):
            place = x + 2 * instance * image_size
            sheet.paste(mini.photo(name, instance), (place, y + label))
            sheet.paste(mini.sketch(name, instance), (place + image_size, y + label))
    return sheet


def main() -> None:
    """Write the contact sheet named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m sketch_prompt.data.minisketch", description=__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="PNG file to write")
    parser.add_argument(
        "--classes", nargs="*", default=sorted(SEEN_CLASSES + UNSEEN_CLASSES), metavar="CLASS"
    )
    parser.add_argument("--instances", type=int, default=2, help="instances a class")
    parser.add_argument("--columns", type=int, default=4, help="classes a row")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sheet = contact_sheet(
        arguments.classes, arguments.instances, arguments.image_size, arguments.seed, arguments.columns
    )
    with atomic_write(arguments.sheet) as path:
        sheet.save(path)
    print(f"{len(arguments.classes)} classes x {arguments.instances} instances: {arguments.sheet}")


if __name__ == "__main__":
    main()
