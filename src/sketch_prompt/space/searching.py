"""The searches of the page, and the explanation of a photo that was found."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath

import numpy as np
from PIL import Image, ImageOps

from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError
from sketch_prompt.explain import Correspondence
from sketch_prompt.gallery.gallery import Gallery, Hit, Hits
from sketch_prompt.gallery.table import Photo
from sketch_prompt.imaging import to_rgb
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel

from .catalogue import OWN, Catalogue
from .own_photos import OwnPhotos
from .pictures import thumbnail
from .views import Card

SHOWN_PHOTOS = 12  # per batch; the page asks for the next batch when it is scrolled
MOST_PHOTOS = 240
THUMBNAIL_SIDE = 192
LARGE_SIDE = 1280


@dataclass(frozen=True)
class Query:
    """A query, and the method and gallery that it is for.

    Attributes:
        drawing: None if nothing is drawn.
        text: words that describe the photo; may be empty.
        weight: weight of the text beside the drawing, in [0, 1].
        method: name of a method of the catalogue.
        gallery: name of a gallery of the catalogue.
        own: the visitor's own photos.
    """

    drawing: Image.Image | None
    text: str
    weight: float
    method: str
    gallery: str
    own: OwnPhotos = field(default_factory=OwnPhotos)

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a drawing nor a text."""
        return self.drawing is None and not self.text.strip()


@dataclass
class Found:
    """A batch of photos that were found.

    Attributes:
        cards: the photos, best first.
        status: one line about the search.
        skipped: photos that were found but cannot be read any more.
        start: how many photos the earlier batches have.
        has_more: whether there is another batch.
    """

    cards: list[Card]
    status: str
    skipped: list[UnreadableImage] = field(default_factory=list)
    start: int = 0
    has_more: bool = False


@dataclass(frozen=True)
class OpenedPhoto:
    """A photo that was opened in the viewer.

    Attributes:
        name: its category, or the name of its file.
        path: path of the file as it is shown to the visitor.
        picture: the photo as upright RGB image.
        file_name: name of the file.
        read: returns the content of the file, or a picture if there is no file.
        correspondence: why it was found, or None if there is no drawing to compare it with.
    """

    name: str
    path: str
    picture: Image.Image
    file_name: str
    read: Callable[[], bytes | Image.Image]
    correspondence: Correspondence | None


def search(catalogue: Catalogue, query: Query, top_k: int = SHOWN_PHOTOS, start: int = 0) -> Found:
    """The best photos for a query, without the first `start`. For an empty query, some photos of the gallery.

    Raises:
        ValueError: the query cannot be answered; the message says why.
    """
    with catalogue.open(query.method, query.gallery, query.own) as gallery:
        size = len(gallery)
        if size == 0:
            return Found([], "There are no photos here yet. Add some of your own.")
        began = time.perf_counter()
        wanted = min(start + top_k, MOST_PHOTOS)
        hits = _sample_photos(gallery, wanted) if query.is_empty else _hits(gallery, query, wanted)
        seconds = time.perf_counter() - began
    if query.is_empty:
        which = f"some of the {size:,} photos" if size > top_k else f"all photos there are ({size})"
        status = f"Nothing is drawn yet. Here you see {which}: draw one of them, or anything else."
    else:
        status = f"The best {len(hits)} of {size:,} photos, found in {1000 * seconds:.0f} ms."
        if hits.is_weak:
            what = "drawing" if query.drawing is not None else "words"
            status += f" Weak matches: nothing here looks much like your {what}."
    has_more = not query.is_empty and len(hits) == wanted < min(size, MOST_PHOTOS)
    found = Found([], status, start=start, has_more=has_more)
    for place, hit in enumerate(hits[start:], start + 1):
        _show(gallery, hit, place, found)
    return found


def open_photo(catalogue: Catalogue, query: Query, photo_id: int, full_path: bool = True) -> OpenedPhoto:
    """A photo, and why it was found.

    Args:
        photo_id: number of the photo in the gallery.
        full_path: show the full path of the file on this machine instead of its path in the gallery.

    Raises:
        ValueError: the photo is not in the gallery or cannot be read.
    """
    with catalogue.open(query.method, query.gallery, query.own) as gallery:
        try:
            photo = gallery.photos[gallery.collection.row_of(int(photo_id))]
        except ValueError as error:
            raise ValueError("This photo is not in the gallery any more. Search again.") from error
        picture = to_rgb(gallery.image(photo))
        # Exported encoders have no explanations.
        explains = query.drawing is not None and isinstance(gallery.model, SketchPromptPreTrainedModel)
        why = gallery.model.explain(query.drawing, picture) if explains else None
        collection = gallery.collection
        return OpenedPhoto(
            name=_name(photo),
            path=_shown_path(gallery, photo, full_path),
            picture=_at_most(picture, LARGE_SIDE),
            file_name=PurePath(photo.path).name,
            read=query.own.reader(photo.path)
            if query.gallery == OWN
            else partial(collection.content, photo.id),
            correspondence=why,
        )


def _hits(gallery: Gallery, query: Query, top_k: int) -> Hits:
    return gallery.search(
        query.drawing, top_k, text=query.text.strip() or None, weight=query.weight, group_copies=True
    )


def _sample_photos(gallery: Gallery, count: int) -> list[Photo]:
    """Photos at equal distances in the gallery."""
    rows = np.unique(np.linspace(0, len(gallery) - 1, count).astype(int))
    return [gallery.photos[int(row)] for row in rows]


def _show(gallery: Gallery, photo: Hit | Photo, place: int, found: Found) -> None:
    try:
        picture = thumbnail(gallery.image(photo, min_size=2 * THUMBNAIL_SIDE), THUMBNAIL_SIDE)
    except UnreadableImageError as error:
        found.skipped.append(error.image._replace(path=PurePath(photo.path).name))
        return
    score = getattr(photo, "score", None)
    found.cards.append(Card(photo.id, _name(photo), picture, score, place, PurePath(photo.path).name))


def _at_most(picture: Image.Image, side: int) -> Image.Image:
    return ImageOps.contain(picture, (side, side)) if max(picture.size) > side else picture


def _shown_path(gallery: Gallery, photo: Photo, full: bool) -> str:
    if full and photo.size >= 0:
        return gallery.collection.full_path(photo.path)
    return PurePath(photo.path).name if PurePath(photo.path).is_absolute() else photo.path


def _name(photo: Hit | Photo) -> str:
    return photo.category or PurePath(photo.path).name
