"""What happens when somebody has drawn: the search, and the explanation of what it found."""

import time
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
from PIL import Image, ImageOps

from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError
from sketch_prompt.explain import Correspondence
from sketch_prompt.gallery.gallery import Gallery, Hit
from sketch_prompt.gallery.table import Photo
from sketch_prompt.imaging import to_rgb

from .catalogue import Catalogue
from .own_photos import OwnPhotos
from .pictures import thumbnail
from .views import Card

SHOWN_PHOTOS = 12
THUMBNAIL_SIDE = 192
SHOWN_SIDE = 448


@dataclass(frozen=True)
class Query:
    """What somebody looks for, where, and how.

    Attributes:
        drawing: None if nothing is drawn.
        text: what else is known of the photo; may be empty.
        weight: of the text beside the drawing, in [0, 1].
        method: one of the catalogue's.
        gallery: likewise.
    """

    drawing: Image.Image | None
    text: str
    weight: float
    method: str
    gallery: str

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""
        return self.drawing is None and not self.text.strip()


@dataclass
class Found:
    """Photos to show.

    Attributes:
        cards: best first.
        status: one line about them.
        skipped: photos that were found and cannot be read any more.
    """

    cards: list[Card]
    status: str
    skipped: list[UnreadableImage] = field(default_factory=list)


def search(catalogue: Catalogue, query: Query, own: OwnPhotos, top_k: int = SHOWN_PHOTOS) -> Found:
    """The best photos for a query; for an empty one, some photos of the gallery.

    Raises:
        ValueError: the query cannot be answered; the message says why.
    """
    with catalogue.open(query.method, query.gallery, own) as gallery:
        size = len(gallery)
        if size == 0:
            return Found([], "There is no photo here yet. Add some of your own.")
        start = time.perf_counter()
        hits = _some(gallery, top_k) if query.is_empty else _hits(gallery, query, top_k)
        seconds = time.perf_counter() - start
    if query.is_empty:
        which = f"some of the {size:,} photos" if size > top_k else f"all photos there are ({size})"
        status = f"Nothing is drawn yet. Here you see {which}: draw one of them, or anything else."
    else:
        status = f"The best {len(hits)} of {size:,} photos, found in {1000 * seconds:.0f} ms."
    found = Found([], status)
    for hit in hits:
        _show(gallery, hit, found)
    return found


def explain(
    catalogue: Catalogue, query: Query, own: OwnPhotos, photo_id: int
) -> tuple[str, Image.Image, Correspondence | None]:
    """The name of a photo, the photo, and why it was found; None where there is no drawing to compare it with.

    Raises:
        ValueError: the photo is not in the gallery or cannot be read.
    """
    with catalogue.open(query.method, query.gallery, own) as gallery:
        rows = np.flatnonzero(gallery.photos.ids == photo_id)
        if not len(rows):
            raise ValueError("This photo is not in the gallery any more. Search again.")
        photo = gallery.photos[int(rows[0])]
        picture = to_rgb(gallery.image(photo))
        if query.drawing is None:
            return _name(photo), ImageOps.contain(picture, (SHOWN_SIDE, SHOWN_SIDE)), None
        return _name(photo), picture, gallery.model.explain(query.drawing, picture)


def _hits(gallery: Gallery, query: Query, top_k: int) -> list[Hit]:
    return gallery.search(query.drawing, top_k, text=query.text.strip() or None, weight=query.weight)


def _some(gallery: Gallery, count: int) -> list[Photo]:
    """Photos from all over the gallery."""
    rows = np.unique(np.linspace(0, len(gallery) - 1, count).astype(int))
    return [gallery.photos[int(row)] for row in rows]


def _show(gallery: Gallery, photo: Hit | Photo, found: Found) -> None:
    try:
        picture = thumbnail(gallery.image(photo, min_size=2 * THUMBNAIL_SIDE), THUMBNAIL_SIDE)
    except UnreadableImageError as error:
        found.skipped.append(error.image._replace(path=PurePath(photo.path).name))
        return
    found.cards.append(Card(photo.id, _name(photo), picture, getattr(photo, "score", None)))


def _name(photo: Hit | Photo) -> str:
    return photo.category or PurePath(photo.path).name
