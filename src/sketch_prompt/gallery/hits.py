"""What a search returns: photos, best first, copies of one photo as one hit; in a notebook they show themselves."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sketch_prompt.imaging import to_rgb
from sketch_prompt.terminal import printable

if TYPE_CHECKING:
    from .gallery import Gallery

_ALIKE_FEATURES = (
    0.9  # cosine above which two photos are looked at: a copy of half the size has 0.95 and more
)
_ALIKE_PIXELS = 0.97  # correlation of their small pictures above which they are one
_SMALL_SIDE = 24
_A_HUB = 0.3  # of the drawings
_LOOKED_AT = 500  # hits; further ones are copies only of the same bytes


@dataclass(frozen=True)
class Hit:
    """A photo that was found.

    Attributes:
        rank: its place, from 1.
        score: the inner product of its features and the query's, a cosine.
        path: the file's full path, or the name of a photo that is no file.
        category: the photo's class, if that is known.
        id: the photo's number in the gallery.
        copies: paths of further hits that show the same: the same file again, or the photo in another size,
            compression or format.
    """

    rank: int
    score: float
    path: str
    category: str | None
    id: int
    copies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """What drawings of other things find in a gallery.

    Attributes:
        queries: how drawings are embedded; see `query_key`.
        fits: (n,) ascending: the score of the best photo for each bundled drawing.
        line: a drawing is weak if a greater share of `fits` than this is as good as its own.
        hub: the name of the photo that most drawings find among their first ten.
        hub_share: how many of the drawings do, from 0 to 1.
    """

    queries: str
    fits: np.ndarray
    line: float
    hub: str
    hub_share: float

    def unlike(self, score: float) -> float:
        """How many of a hundred drawings of other things find a photo that fits as well as this score."""
        return 100 * share_as_good(self.fits, score)

    def is_weak(self, score: float) -> bool:
        """Whether a best hit of this score means that nothing looks like the drawing."""
        return share_as_good(self.fits, score) > self.line

    @property
    def hub_warning(self) -> str | None:
        """What to tell somebody whose searches are won by one photo; None if none wins so many."""
        if self.hub_share < _A_HUB:
            return None
        return (
            f"{printable(self.hub)} is among the first ten photos for {100 * self.hub_share:.0f} of 100 different "
            "drawings. A lens for this CLIP corrects that: sketch-prompt fit --base-model CLIP -o LENS, then search "
            "--model LENS"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        fits = [round(float(fit), 5) for fit in self.fits]
        return {**vars(self), "fits": fits}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """From what `to_dict` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        fits = np.array(values["fits"], np.float32)
        if fits.ndim != 1 or not len(fits) or not np.isfinite(fits).all():
            raise ValueError("the calibration's fits are no numbers")
        numbers = {name: float(values[name]) for name in ("line", "hub_share")}
        return cls(str(values["queries"]), np.sort(fits), hub=str(values["hub"]), **numbers)


def judge(
    calibration: Calibration | None, fit: float | None, query_key: Callable[[], str]
) -> tuple[float | None, bool | None]:
    """Of the score of a drawing's best hit: how many drawings of other things fit as well, whether it is weak."""
    if calibration is None or fit is None or calibration.queries != query_key():
        return None, None
    return calibration.unlike(fit), calibration.is_weak(fit)


def share_as_good(fits: np.ndarray, score: float) -> float:
    """The share of `fits` (n,), ascending, that are at least this score."""
    return 1 - float(np.searchsorted(fits, score)) / len(fits)


class Hits(list[Hit]):
    """Hits, best first. A list; `write_csv`, `write_html` and `copy_to` give it to other programs and people.

    Attributes:
        query: the drawing, the text, or both, as they were given.
        unlike: how many of a hundred drawings of other things find photos that fit them as well as the best hit fits
            this drawing; None where that is not known. See `Gallery.calibrate`.
        is_weak: whether nothing here looks like the drawing, by that number; None where it is not known.
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
        """What to tell somebody whose drawing looks like nothing here; None otherwise."""
        if not self.is_weak:
            return None
        return (
            f"nothing here looks like your drawing: {self.unlike:.0f} of 100 drawings of other things "
            "find photos that fit as well"
        )

    def write_csv(self, path: str | os.PathLike) -> Path:
        """Write rank, score, path, category and copies as a table that spreadsheets open."""
        from .results import write_csv

        return write_csv(self, path)

    def write_html(self, path: str | os.PathLike) -> Path:
        """Write one page with everything in it: the drawing and thumbnails that open the files."""
        from .results import write_html

        return write_html(self, path)

    def copy_to(self, folder: str | os.PathLike) -> list[Path]:
        """Copy the photos into a folder, `01-cup.jpg` first.

        Raises:
            FileExistsError: the folder holds one of the names already; nothing is copied then.
            UnreadableImageError: a photo is gone; those before it are copied.
        """
        from .results import copy_photos

        return copy_photos(self, folder)

    def _repr_html_(self) -> str:
        from .results import html_of_hits

        return html_of_hits(self)


def group_copies(
    hits: Sequence[Hit],
    features: np.ndarray,
    digests: Sequence[str],
    small_picture: Callable[[Hit], np.ndarray | None],
) -> list[Hit]:
    """Hits of which each shows something of its own; copies of an earlier one join it.

    Files of the same bytes are copies. So are photos whose features are close *and* whose pixels agree when both are
    small: another size, compression or format, a hardly visible change. Features propose and pixels confirm, so photos
    are opened only where features are close. Pictures that a camera took one after the other differ in their pixels.

    Args:
        hits: n hits, best first.
        features: (n, D), L2-normalised.
        digests: n, of their contents.
        small_picture: `small_picture_of` a photo, None if it cannot be opened.
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
    """`small_picture_of` photos, each opened once.

    Args:
        open_photo: the picture of a hit, whose sides have at least so many pixels; None if it cannot be read.
    """

    def __init__(self, open_photo: Callable[[Hit, int], Image.Image | None]):
        self._open = open_photo
        self._kept: dict[int, np.ndarray | None] = {}

    def __call__(self, hit: Hit) -> np.ndarray | None:
        """The small picture of a hit's photo; None if it cannot be read."""
        if hit.id not in self._kept:
            photo = self._open(hit, 2 * _SMALL_SIDE)
            self._kept[hit.id] = None if photo is None else small_picture_of(photo)
        return self._kept[hit.id]


def small_picture_of(photo: Image.Image) -> np.ndarray:
    """(24, 24, 3) float32 of a photo, mean 0 and length 1: the inner product of two is their correlation.

    Of a picture of one colour it is 0, so that it is like no other.
    """
    small = to_rgb(photo).resize((_SMALL_SIDE, _SMALL_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32)
    pixels = pixels - pixels.mean()
    return pixels / max(float(np.linalg.norm(pixels)), 1.0)


def _agree(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and float((one * other).sum()) >= _ALIKE_PIXELS
