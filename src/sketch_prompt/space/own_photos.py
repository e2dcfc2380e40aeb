"""Photos that a visitor uploads. They are kept in memory while the page is open."""

import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError
from sketch_prompt.gallery.gallery import Gallery
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel

from .pictures import read_upload

MAX_PHOTOS = 30
MAX_SIDE = 640


class OwnPhotos:
    """The photos of one visitor. A model embeds them when they are first searched with it.

    Attributes:
        pictures: at most `MAX_PHOTOS` pictures by name, each at most `MAX_SIDE` pixels wide and high.
    """

    def __init__(self):
        self.pictures: dict[str, Image.Image] = {}
        self._galleries: dict[str, Gallery] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def add(self, paths: Sequence[str | os.PathLike]) -> list[UnreadableImage]:
        """Add uploaded files, and return those that were skipped, with the reason."""
        skipped = []
        for path in paths:
            name = Path(path).name
            if len(self) >= MAX_PHOTOS:
                skipped.append(UnreadableImage(name, f"there is room for {MAX_PHOTOS} photos"))
                continue
            try:
                self.pictures[self._free(name)] = read_upload(path, MAX_SIDE)
            except UnreadableImageError as error:
                skipped.append(error.image)
        return skipped

    def clear(self) -> None:
        """Delete all photos."""
        self.pictures.clear()
        self._galleries.clear()

    def gallery(self, method: str, model: SketchPromptPreTrainedModel) -> Gallery:
        """The photos as a gallery of `model`; `method` is the name of the model."""
        gallery = self._galleries.setdefault(method, Gallery(model, index="exact"))
        new = {name: picture for name, picture in self.pictures.items() if name not in gallery.photos}
        if new:
            gallery.add(list(new.values()), list(new), progress=False)
        return gallery

    def reader(self, name: str) -> Callable[[], Image.Image]:
        """A function that returns the picture of this name as long as it is here.

        It has no reference to the picture, so that a deleted photo does not stay in memory.
        """
        own = weakref.ref(self)

        def read() -> Image.Image:
            photos = own()
            if photos is None or name not in photos.pictures:
                raise UnreadableImageError(name, "this photo was deleted")
            return photos.pictures[name]

        return read

    def _free(self, name: str) -> str:
        stem, suffix = os.path.splitext(name)
        copies = (name, *(f"{stem} ({copy}){suffix}" for copy in range(2, MAX_PHOTOS + 2)))
        return next(copy for copy in copies if copy not in self.pictures)
