"""The photos and example drawings of the bundled MiniSketch gallery, which are drawn by a program."""

from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from sketch_prompt.atomic import atomic_write
from sketch_prompt.data.minisketch.generator import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch

PHOTOS_PER_CLASS = 10
IMAGE_SIZE = 192
FIRST_INSTANCE = 10_000  # more than the splits of MiniSketch have, so no model was trained on these photos
EXAMPLES = ("teapot", "fish", "bicycle", "house", "umbrella")


def draw_photos(folder: Path, per_class: int = PHOTOS_PER_CLASS) -> None:
    """Draw the photos of all 48 classes that `folder` does not have yet, as `<class>/<number>.jpg`."""
    wanted = [
        (name, number) for name in sorted((*SEEN_CLASSES, *UNSEEN_CLASSES)) for number in range(per_class)
    ]
    missing = [
        (path, name, number)
        for name, number in wanted
        if not (path := folder / name / f"{number:02d}.jpg").is_file()
    ]
    mini = MiniSketch(IMAGE_SIZE)
    for path, name, number in tqdm(
        missing, desc="Drawing MiniSketch photos", unit="photo", disable=not missing
    ):
        with atomic_write(path) as temporary:
            mini.photo(name, FIRST_INSTANCE + number).save(temporary, "JPEG", quality=88)


def example_drawings() -> dict[str, Image.Image]:
    """A few example drawings by category. No photo of the gallery shows the same instance."""
    mini = MiniSketch(256)
    return {name: mini.sketch(name, FIRST_INSTANCE + PHOTOS_PER_CLASS) for name in EXAMPLES}
