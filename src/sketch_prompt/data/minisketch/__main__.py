"""Pictures of the data set: a contact sheet, or folders of photos and drawings to try things on.

python -m sketch_prompt.data.minisketch --sheet out.png
python -m sketch_prompt.data.minisketch --photos photos --drawings drawings --instances 10 --first 10000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw
from tqdm.auto import tqdm

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


def write_pictures(
    folder: Path, domain: str, classes: list[str], instances: range, image_size: int, seed: int
) -> None:
    """Write `<class>/<instance>.jpg` for photos, `<class>/<instance>.png` for drawings."""
    mini = MiniSketch(image_size, seed)
    draw, suffix = (mini.photo, ".jpg") if domain == "photo" else (mini.sketch, ".png")
    for name in tqdm(classes, desc=f"Drawing {folder}", unit="class"):
        for instance in instances:
            with atomic_write(folder / name / f"{instance}{suffix}") as path:
                draw(name, instance).save(path, **({"quality": 90} if domain == "photo" else {}))


def main() -> None:
    """Write what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m sketch_prompt.data.minisketch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sheet", type=Path, help="PNG file to write")
    parser.add_argument("--photos", type=Path, help="folder to write photos into")
    parser.add_argument("--drawings", type=Path, help="folder to write drawings of the same things into")
    parser.add_argument(
        "--classes", nargs="*", default=sorted(SEEN_CLASSES + UNSEEN_CLASSES), metavar="CLASS"
    )
    parser.add_argument("--instances", type=int, default=2, help="instances a class")
    parser.add_argument(
        "--first",
        type=int,
        default=0,
        help="first instance in the folders; the data set ends far below 10000",
    )
    parser.add_argument("--columns", type=int, default=4, help="classes a row")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not (arguments.sheet or arguments.photos or arguments.drawings):
        parser.error("nothing to write: give --sheet, --photos or --drawings")
    instances = range(arguments.first, arguments.first + arguments.instances)
    for folder, domain in ((arguments.photos, "photo"), (arguments.drawings, "sketch")):
        if folder is not None:
            write_pictures(folder, domain, arguments.classes, instances, arguments.image_size, arguments.seed)
    if arguments.sheet is not None:
        sheet = contact_sheet(
            arguments.classes, arguments.instances, arguments.image_size, arguments.seed, arguments.columns
        )
        with atomic_write(arguments.sheet) as path:
            sheet.save(path)
    written = ", ".join(
        str(path) for path in (arguments.sheet, arguments.photos, arguments.drawings) if path is not None
    )
    print(f"{len(arguments.classes)} classes x {arguments.instances} instances: {written}")


if __name__ == "__main__":
    main()
