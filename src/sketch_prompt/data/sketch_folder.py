"""`sketch-folder`: a folder of the user's own photos and sketches."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from sketch_prompt.data.builder import BenchmarkBuilder
from sketch_prompt.data.configs import StrokeOptions
from sketch_prompt.data.contents import BenchmarkContents, Survey, files_by_class, zero_shot_contents
from sketch_prompt.data.listing import list_class_folders
from sketch_prompt.data.packagings import Packaging
from sketch_prompt.data.splits import BenchmarkSplit, random_split, read_split

SPLIT_FILES = ("split.yaml", "split.yml")


def folder_instance(class_name: str, stem: str, photo_stems: set[str]) -> str:
    """The instance `<class>/<id>` of a photo `<id>` and of its sketches `<id>`, `<id>-<k>` and `<id>_<k>`.

    A sketch with another name is its own instance.
    """
    if stem not in photo_stems:
        photo = re.sub(r"[-_]\d+$", "", stem)
        stem = photo if photo in photo_stems else stem
    return f"{class_name}/{stem}"


@dataclass
class SketchFolderConfig(StrokeOptions):
    """The user's own photos and sketches, in a folder for each class.

    Attributes:
        data_dir: A folder with `photo/<class>/*`, `sketch/<class>/*` and, optionally, `split.yaml`.
        photo_dir: A folder with `<class>/*`, to use instead of `<data_dir>/photo`.
        sketch_dir: A folder with `<class>/*`, to use instead of `<data_dir>/sketch`.
        class_split: Seen and unseen classes. By default those of `split.yaml` in `data_dir`, or else a random choice.
        unseen_fraction: Share of unseen classes in a random choice. With 1, everything is test data.
        seed: Seed for the random choice.
    """

    photo_dir: str | None = None
    sketch_dir: str | None = None
    unseen_fraction: float = 0.2
    seed: int = 0

    layout = """\
  photo/<class>/<id>.jpg         (or another image format)
  sketch/<class>/<id>-<k>.png    (or <id>_<k> or <id>: draws the photo <id>; other names draw none)
  sketch/<class>.ndjson          (or QuickDraw's strokes)
  split.yaml                     (optional: the lists `seen` and `unseen` of class names)"""
    sources = "  your own photos and drawings"

    def survey(self) -> Survey:
        """List both folders, and choose seen and unseen classes."""
        photo_dir, sketch_dir, bases = self._locate()
        photos, sketches = list_class_folders([photo_dir]), list_class_folders([sketch_dir])
        split = self._split(bases, chain(photos.folders, sketches.folders))
        photo_files, other_photos = files_by_class(photos, split)
        sketch_files, other_sketches = files_by_class(sketches, split)
        return Survey(
            packaging="a folder of photos and sketches",
            folders=(photo_dir, sketch_dir),
            split=split,
            files={"photo": photo_files, "sketch": sketch_files},
            skipped=(*photos.skipped, *sketches.skipped),
            ignored=tuple(dict.fromkeys(other_photos + other_sketches)),
        )

    def find(self) -> BenchmarkContents:
        """The files of seen classes as training data, and of unseen classes as test data."""
        return zero_shot_contents(self.survey(), folder_instance)

    def _locate(self) -> tuple[str, str, tuple[str, ...]]:
        """The folder of photos, the folder of sketches, and the folders that may have a split file."""
        photo_dir = None if self.photo_dir is None else self.required_dir(self.photo_dir, "photo_dir")
        sketch_dir = None if self.sketch_dir is None else self.required_dir(self.sketch_dir, "sketch_dir")
        if photo_dir is not None and sketch_dir is not None:
            return photo_dir, sketch_dir, () if self.data_dir is None else (self.required_dir(self.data_dir),)
        packaging = Packaging(
            name="a folder of photos and sketches",
            photos=("photo",) if photo_dir is None else (),
            sketches=("sketch",) if sketch_dir is None else (),
        )
        found = self.find_packaging([packaging], ())
        return photo_dir or found.photos[0], sketch_dir or found.sketches[0], found.bases

    def _split(self, bases: Iterable[str], folders: Iterable[str]) -> BenchmarkSplit:
        if self.class_split is not None:
            return read_split(self.class_split)
        for path in (os.path.join(base, name) for base in bases for name in SPLIT_FILES):
            if os.path.isfile(path):
                return read_split(path)
        names = list(folders)
        if not names:
            raise FileNotFoundError(f"no class folder was found. {self.help_text()}")
        return random_split(names, self.unseen_fraction, self.seed)


class SketchFolderBuilder(BenchmarkBuilder):
    """A user's own photos and sketches as tables."""

    BUILDER_CONFIG_CLASS = SketchFolderConfig
    BUILDER_CONFIGS = (SketchFolderConfig(name="sketch-folder"),)
