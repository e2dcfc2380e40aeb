"""The hits of a search, best first, with copies of a photo as one hit."""

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
    0.9  # cosine above which the pixels of two photos are compared; copies of half the size have 0.95 or more
)
_ALIKE_PIXELS = 0.97  # correlation of small pictures above which photos are copies
_SMALL_SIDE = 24
_A_HUB = 0.3  # of the drawings
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


@dataclass(frozen=True)
class Calibration:
    """How good the best hits of unrelated drawings are in a gallery.

    Attributes:
        queries: How drawings are embedded; see `query_key`.
        fits: (n,) ascending, the score of the best photo for each bundled drawing.
        line: A drawing is weak if more than this share of `fits` is at least as good as its own best hit.
        hub: Name of the photo that is found most often among the first ten hits of a drawing.
        hub_share: Share of the drawings that find it, from 0 to 1.
    """

    queries: str
    fits: np.ndarray
    line: float
    hub: str
    hub_share: float

    def unlike(self, score: float) -> float:
        """Of a hundred unrelated drawings, the number with a best hit of at least this score."""
        return 100 * share_as_good(self.fits, score)

    def is_weak(self, score: float) -> bool:
        """Whether a best hit with this score means that no photo looks like the drawing."""
        return share_as_good(self.fits, score) > self.line

    @property
    def hub_warning(self) -> str | None:
        """A warning if a single photo is found by very many drawings, else None."""
        if self.hub_share < _A_HUB:
            return None
        return (
            f"{printable(self.hub)} is among the first ten photos for {100 * self.hub_share:.0f} of 100 different "
            "drawings. A lens for this CLIP corrects that: sketch-prompt fit --base-model CLIP -o LENS, then search "
            "--model LENS"
        )

    def to_dict(self) -> dict[str, Any]:
        """The values for JSON."""
        fits = [round(float(fit), 5) for fit in self.fits]
        return {**vars(self), "fits": fits}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """Create a calibration from the result of `to_dict`.

        Raises:
            ValueError, KeyError, TypeError: It is something else.
        """
        fits = np.array(values["fits"], np.float32)
        if fits.ndim != 1 or not len(fits) or not np.isfinite(fits).all():
            raise ValueError("the calibration's fits are no numbers")
        numbers = {name: float(values[name]) for name in ("line", "hub_share")}
        return cls(str(values["queries"]), np.sort(fits), hub=str(values["hub"]), **numbers)


def judge(
    calibration: Calibration | None, fit: float | None, query_key: Callable[[], str]
) -> tuple[float | None, bool | None]:
    """The results of `unlike` and `is_weak` for the score of the best hit."""
    if calibration is None or fit is None or calibration.queries != query_key():
        return None, None
    return calibration.unlike(fit), calibration.is_weak(fit)


def share_as_good(fits: np.ndarray, score: float) -> float:
    """The share of `fits` (n,), ascending, that are at least this score."""
    return 1 - float(np.searchsorted(fits, score)) / len(fits)


class Hits(list[Hit]):
    """A list of hits, best first. `write_csv`, `write_html` and `copy_to` export them.

    Attributes:
        query: The drawing, the text, or both, as they were given.
        unlike: Of a hundred unrelated drawings, the number with a best hit at least as good as the best hit here. None
            if the gallery is not calibrated; see `Gallery.calibrate`.
        is_weak: Whether no photo looks like the drawing, judging by that number. None if the gallery is not
            calibrated.
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
        """A warning if no photo looks like the drawing, else None."""
        if not self.is_weak:
            return None
        return (
            f"nothing here looks like your drawing: {self.unlike:.0f} of 100 drawings of other things "
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
