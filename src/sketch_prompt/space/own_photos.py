"""Photos that a visitor brings along: in memory, for this visit, a few."""

import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError
from sketch_prompt.gallery.gallery import Gallery

from .pictures import read_upload

MAX_PHOTOS = 30
MAX_SIDE = 640


class OwnPhotos:
    """One visitor's photos, embedded by a model when they are first searched with it.

    Attributes:
        pictures: by name, at most `MAX_PHOTOS`, none larger than `MAX_SIDE` pixels a side.
    """

    def __init__(self):
        self.pictures: dict[str, Image.Image] = {}
        self._galleries: dict[str, Gallery] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def add(self, paths: Sequence[str | os.PathLike]) -> list[UnreadableImage]:
        """Take in uploaded files; returns those that are left out, and why."""
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
        """Forget all of them."""
        self.pictures.clear()
        self._galleries.clear()

    def gallery(self, method: str, model) -> Gallery:
        """The photos as a gallery of `model`, which is known by the name `method`."""
        gallery = self._galleries.setdefault(method, Gallery(model, index="exact"))
        new = {name: picture for name, picture in self.pictures.items() if name not in gallery.photos}
        if new:
            gallery.add(list(new.values()), list(new), progress=False)
        return gallery

    def reader(self, name: str) -> Callable[[], Image.Image]:
        """What gives the picture of this name until it is forgotten, and does not keep it."""
        own = weakref.ref(self)

        def read() -> Image.Image:
            there = own()
            if there is None or name not in there.pictures:
                raise UnreadableImageError(name, "this photo is forgotten")
            return there.pictures[name]

        return read

    def _free(self, name: str) -> str:
        stem, suffix = os.path.splitext(name)
        copies = (name, *(f"{stem} ({copy}){suffix}" for copy in range(2, MAX_PHOTOS + 2)))
        return next(copy for copy in copies if copy not in self.pictures)
