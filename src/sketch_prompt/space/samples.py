"""The bundled galleries, real photos and MiniSketch, with their example drawings."""

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
# Categories of the example drawings, in order of preference. People draw them similar to how photos show them.
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
_DRAWINGS_TRIED = 6  # of each category


@dataclass(frozen=True, eq=False)
class Example:
    """An example drawing.

    Attributes:
        name: its category.
        picture: the drawing in the size of the canvas.
        strokes: its lines in pixels of the canvas, or None if they are unknown.
    """

    name: str
    picture: Image.Image
    strokes: list[list[tuple[float, float]]] | None = None


class RealPhotos:
    """The photos of the bundled benchmark `quickdraw-caltech`: 30 of each of 40 categories."""

    name = "real-photos"
    title = "1,200 real photos of 40 things"

    def __init__(self, per_class: int | None = None):
        self._per_class = per_class

    @property
    def version(self) -> str:
        """A name that changes when the photos change."""
        return f"{self.name}-{self._per_class or 'all'}"

    def write(self, folder: Path) -> None:
        """Write the photos that `folder` does not have yet, as `<class>/<file>`."""
        for category, files in photo_files().items():
            for file, content in list(files.items())[: self._per_class]:
                path = folder / category / PurePosixPath(file).name
                if not path.is_file():
                    with atomic_write(path) as temporary:
                        Path(temporary).write_bytes(content)

    def examples(self) -> Iterator[list[Example]]:
        """For each category in turn, drawings by people from which one is chosen."""
        for name in _EXAMPLES:
            yield [_doodle_example(name, doodle.strokes) for doodle in read_doodles([name], _DRAWINGS_TRIED)]


class MiniSketchPhotos:
    """The pictures of MiniSketch, which are drawn by a program."""

    name = "minisketch"
    title = "MiniSketch, pictures of 48 things"

    def __init__(self, per_class: int | None = None):
        self._per_class = per_class or minisketch.PHOTOS_PER_CLASS

    @property
    def version(self) -> str:
        """A name that changes when the pictures change."""
        return f"{self.name}-{source_fingerprint()}-{self._per_class}"

    def write(self, folder: Path) -> None:
        """Draw the pictures that `folder` does not have yet, as `<class>/<number>.jpg`."""
        minisketch.draw_photos(folder, self._per_class)

    def examples(self) -> Iterator[list[Example]]:
        """For each category in turn, one drawing."""
        for name, drawing in minisketch.example_drawings().items():
            yield [Example(name, drawing)]


def _doodle_example(name: str, strokes: list[Stroke]) -> Example:
    lines = fit_strokes(strokes, CANVAS_SIDE, PEN_WIDTH)
    return Example(name, rasterize(strokes, CANVAS_SIDE, PEN_WIDTH).convert("RGB"), lines)
