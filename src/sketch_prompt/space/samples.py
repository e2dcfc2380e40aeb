"""The galleries that are there without a download: real photos, and MiniSketch; and drawings to start from in each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from sketch_prompt.atomic import atomic_write
from sketch_prompt.data.doodles import read_doodles
from sketch_prompt.data.minisketch.builder import source_fingerprint
from sketch_prompt.data.quickdraw_caltech.builder import photo_files
from sketch_prompt.data.strokes import Stroke, fit_strokes, rasterize

from . import minisketch
from .pictures import CANVAS_SIDE

PEN_WIDTH = 7
# Drawings of these may be offered to start from, the first ones first. People draw them much as photos show them.
_EXAMPLES = (
    "helicopter",
    "flamingo",
    "umbrella",
    "butterfly",
    "guitar",
    "scissors",
    "headphones",
    "chair",
    "cup",
    "stop sign",
    "dolphin",
    "camera",
    "motorbike",
    "airplane",
    "laptop",
    "soccer ball",
)
_DRAWINGS_TRIED = 6  # of each


@dataclass(frozen=True, eq=False)
class Example:
    """A drawing to start from.

    Attributes:
        name: what it shows.
        picture: as the canvas shows it.
        strokes: its lines in the canvas's pixels, where they are known.
    """

    name: str
    picture: Image.Image
    strokes: list[list[tuple[float, float]]] | None = None


class RealPhotos:
    """Photos of the bundled benchmark `quickdraw-caltech`: 30 of each of 40 things."""

    name = "real-photos"
    title = "1,200 real photos of 40 things"

    def __init__(self, per_class: int | None = None):
        self._per_class = per_class

    @property
    def version(self) -> str:
        """Changes with the photos."""
        return f"{self.name}-{self._per_class or 'all'}"

    def write(self, folder: Path) -> None:
        """Make `folder` hold the photos as `<class>/<file>`; those that are there stay."""
        for category, files in photo_files().items():
            for file, content in list(files.items())[: self._per_class]:
                path = folder / category / PurePosixPath(file).name
                if not path.is_file():
                    with atomic_write(path) as temporary:
                        Path(temporary).write_bytes(content)

    def examples(self) -> Iterator[list[Example]]:
        """People's drawings of one thing after the other, of which one may be offered."""
        for name in _EXAMPLES:
            yield [_doodle_example(name, doodle.strokes) for doodle in read_doodles([name], _DRAWINGS_TRIED)]


class MiniSketchPhotos:
    """Pictures of MiniSketch, which a program draws."""

    name = "minisketch"
    title = "MiniSketch, pictures of 48 things"

    def __init__(self, per_class: int | None = None):
        self._per_class = per_class or minisketch.PHOTOS_PER_CLASS

    @property
    def version(self) -> str:
        """Changes with the pictures."""
        return f"{self.name}-{source_fingerprint()}-{self._per_class}"

    def write(self, folder: Path) -> None:
        """Make `folder` hold the pictures as `<class>/<number>.jpg`; those that are there stay."""
        minisketch.draw_photos(folder, self._per_class)

    def examples(self) -> Iterator[list[Example]]:
        """A drawing of one thing after the other."""
        for name, drawing in minisketch.example_drawings().items():
            yield [Example(name, drawing)]


def _doodle_example(name: str, strokes: list[Stroke]) -> Example:
    lines = fit_strokes(strokes, CANVAS_SIDE, PEN_WIDTH)
    return Example(name, rasterize(strokes, CANVAS_SIDE, PEN_WIDTH).convert("RGB"), lines)
