"""The hits of a search, best first, with copies of a photo as one hit."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from sketch_prompt.imaging import to_rgb

if TYPE_CHECKING:
    from .collection import PhotoCollection
    from .gallery import Gallery
    from .table import Filters
    from .yardsticks import Yardstick

_ALIKE_FEATURES = (
    0.9  # cosine above which the pixels of two photos are compared; copies of half the size have 0.95 or more
)
_ALIKE_PIXELS = 0.97  # correlation of small pictures above which photos are copies
_SMALL_SIDE = 24
_LOOKED_AT = 500  # hits; after these, only the same bytes are copies


@dataclass(frozen=True)
class Hit:
    """A photo that was found.

    Attributes:
        rank: Its rank, from 1.
        score: Cosine similarity of its features and the query.
        path: Full path of the file, or the name of a photo that is not a file.
        category: Class of the photo, if known.
        id: Number of the photo in the gallery.
        copies: Paths of its copies: the same file again, or the photo in another size, compression or format.
    """

    rank: int
    score: float
    path: str
    category: str | None
    id: int
    copies: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """Whether a search has found the query's subject. None if the gallery is not calibrated.

    Attributes:
        unlike: Of a hundred unrelated queries, the number with hits at least as good.
        is_weak: Whether there are so many of them that no photo looks like the query.
    """

    unlike: float | None = None
    is_weak: bool | None = None


class Hits(list[Hit]):
    """A list of hits, best first. `write_csv`, `write_html` and `copy_to` export them.

    Attributes:
        query: The drawing, the text, or both, as they were given.
        unlike: Of a hundred unrelated drawings (or names, for words), the number with hits at least as good as here.
            None if the gallery is not calibrated; see `Gallery.calibrate`.
        is_weak: Whether no photo looks like the drawing or the words, judging by that number. None if the gallery is
            not calibrated.
    """

    def __init__(
        self,
        hits: Sequence[Hit] = (),
        gallery: "Gallery | None" = None,
        query: tuple = (None, None),
        unlike: float | None = None,
        is_weak: bool | None = None,
    ):
        super().__init__(hits)
        self.gallery, self.query = gallery, query
        self.unlike, self.is_weak = unlike, is_weak

    def __getitem__(self, place):
        found = super().__getitem__(place)
        if isinstance(place, slice):
            return Hits(found, self.gallery, self.query, self.unlike, self.is_weak)
        return found

    def __repr__(self) -> str:
        best = f", best: {self[0].path} ({self[0].score:.3f})" if self else ""
        return f"Hits({len(self)} photos{best})"

    @property
    def warning(self) -> str | None:
        """A warning if no photo looks like the drawing or the words, else None."""
        if not self.is_weak:
            return None
        yours, others = ("drawing", "drawings") if self.query[0] is not None else ("words", "names")
        return (
            f"nothing here looks like your {yours}: {self.unlike:.0f} of 100 {others} of other things "
            "find photos that fit as well"
        )

    def write_csv(self, path: str | os.PathLike) -> Path:
        """Write rank, score, path, category and copies as a table for spreadsheets."""
        from .results import write_csv

        return write_csv(self, path)

    def write_html(self, path: str | os.PathLike) -> Path:
        """Write a web page as a single file, with the drawing and thumbnails that open the photos."""
        from .results import write_html

        return write_html(self, path)

    def copy_to(self, folder: str | os.PathLike) -> list[Path]:
        """Copy the photos to a folder, with their rank in their names: `01-cup.jpg`, ...

        Raises:
            FileExistsError: The folder has a file with one of the names. Then nothing is copied.
            UnreadableImageError: A photo does not exist any more. The photos before it are copied.
        """
        from .results import copy_photos

        return copy_photos(self, folder)

    def _repr_html_(self) -> str:
        from .results import html_of_hits

        return html_of_hits(self)


def find_hits(
    collection: "PhotoCollection",
    query: np.ndarray,
    top_k: int,
    filters: "Filters | None" = None,
    grouped: bool = True,
    yardstick: "Yardstick | None" = None,
) -> tuple[list[Hit], Verdict]:
    """The photos that a query (1, D) finds. Copies of a photo are one hit if they are to be grouped.

    Args:
        collection: The photos.
        query: Its features.
        top_k: Number of hits.
        filters: See `Gallery.search`.
        grouped: Whether to group copies.
        yardstick: Used to judge the hits. None for no judgement.
    """
    asked = top_k if yardstick is None or top_k < 1 else max(top_k, yardstick.nearest)
    near = collection.search(query, asked, filters)
    verdict = Verdict()
    if yardstick is not None and (near.ids >= 0).any():
        rows = collection.rows_of(near.ids[0, : yardstick.nearest])
        unlike = yardstick.unlike(query[0], collection.vectors()[rows])
        verdict = Verdict(100 * unlike, unlike > yardstick.line)
    while True:
        found = zip(*(row[0].tolist() for row in near))
        hits = [collection.hit(rank, score, id) for rank, (score, id) in enumerate(found, 1) if id >= 0]
        if not grouped or not hits:
            return hits[:top_k], verdict
        rows = collection.rows_of(near.ids[0])
        small = collection.small_pictures
        distinct = group_copies(hits, collection.vectors()[rows], collection.photos.digests[rows], small)
        if len(distinct) >= top_k or len(hits) < asked:
            return distinct[:top_k], verdict
        asked *= 2
        near = collection.search(query, asked, filters)


def group_copies(
    hits: Sequence[Hit],
    features: np.ndarray,
    digests: Sequence[str],
    small_picture: Callable[[Hit], np.ndarray | None],
) -> list[Hit]:
    """Group the hits: copies of an earlier hit are joined with it.

    Files with the same bytes are copies. So are photos whose features are similar *and* whose pixels agree at a small
    size: another size, compression or format, or a hardly visible change. Photos are opened only if their features are
    similar. The pixels of photos that were taken one after the other differ.

    Args:
        hits: n hits, best first.
        features: (n, D), L2-normalised.
        digests: n digests of their contents.
        small_picture: Returns `small_picture_of` a photo, or None if it cannot be opened.
    """
    kept: list[int] = []
    copies: dict[int, list[str]] = {}
    first_of: dict[str, int] = {}
    near = min(len(hits), _LOOKED_AT)
    alike = features[:near] @ features[:near].T >= _ALIKE_FEATURES
    for place, hit in enumerate(hits):
        original = first_of.get(digests[place])
        if original is None and place < near:
            proposed = (other for other in kept if other < near and alike[place, other])
            original = next((o for o in proposed if _agree(small_picture(hits[o]), small_picture(hit))), None)
        if original is None:
            original = place
            kept.append(place)
        else:
            copies.setdefault(original, []).append(hit.path)
        first_of.setdefault(digests[place], original)
    return [
        replace(hits[place], rank=rank, copies=tuple(copies.get(place, ())))
        for rank, place in enumerate(kept, 1)
    ]


class SmallPictures:
    """`small_picture_of` photos. Each photo is opened once.

    Args:
        open_photo: Returns the image of a hit with sides of at least so many pixels, or None if it cannot be read.
    """

    def __init__(self, open_photo: Callable[[Hit, int], Image.Image | None]):
        self._open = open_photo
        self._kept: dict[int, np.ndarray | None] = {}

    def __call__(self, hit: Hit) -> np.ndarray | None:
        """The small image of a hit, or None if it cannot be read."""
        if hit.id not in self._kept:
            photo = self._open(hit, 2 * _SMALL_SIDE)
            self._kept[hit.id] = None if photo is None else small_picture_of(photo)
        return self._kept[hit.id]


def small_picture_of(photo: Image.Image) -> np.ndarray:
    """(24, 24, 3) float32 of a photo, with mean 0 and length 1. The inner product of two is their correlation.

    For an image of a single colour it is 0, so it is not similar to any image.
    """
    small = to_rgb(photo).resize((_SMALL_SIDE, _SMALL_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32)
    pixels = pixels - pixels.mean()
    return pixels / max(float(np.linalg.norm(pixels)), 1.0)


def _agree(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and float((one * other).sum()) >= _ALIKE_PIXELS
