"""The handlers of the page's events, such as a new stroke, a click or an upload.

Each one takes the values of some parts of the page and returns new values.
"""

import hashlib
from pathlib import Path

import gradio as gr

from sketch_prompt.data.reading import UnreadableImageError
from sketch_prompt.notebook import data_url

from . import views
from .catalogue import OWN, Catalogue
from .open_photos import OpenPhotos
from .own_photos import OwnPhotos
from .parts import MAX_TEXT, canvas_examples, gallery_choices, method_choices
from .pictures import CANVAS_SIDE, on_canvas, read_canvas, read_upload
from .searching import Found, Query, open_photo, search


class Answers:
    """The handlers of one page.

    Args:
        catalogue: the methods and galleries to choose from.
        photos: gives an address to each photo that is opened.
        full_paths: show the full paths of photos on this machine instead of their paths in the gallery.
    """

    def __init__(self, catalogue: Catalogue, photos: OpenPhotos, full_paths: bool):
        self._catalogue = catalogue
        self._photos = photos
        self._full_paths = full_paths

    def search(
        self, drawing: str, text: str, weight: float, method: str, gallery: str, own: OwnPhotos | None
    ) -> tuple[str, str, str]:
        """The status line, the photos found, and an empty viewer."""
        values = (drawing, text, weight, method, gallery, own)
        try:
            found = search(self._catalogue, self._query(*values))
        except (ValueError, OSError) as error:
            return views.message(str(error), "problem"), "", ""
        lines = views.message(found.status) + views.skipped_list(found.skipped)
        return lines, _grid(found, _key(values)) if found.cards else "", ""

    def more(self, event: gr.EventData, *values):
        """The next photos of a search, or nothing if the visitor has started another search.

        Args:
            event: how many photos are shown (`shown`), and the key of their search (`query`).
            values: the arguments of `search`.
        """
        key = _key(values)
        if type(event.shown) is not int or event.shown < 1 or event.query != key:
            return gr.skip()
        try:
            return _grid(search(self._catalogue, self._query(*values), start=event.shown), key)
        except (ValueError, OSError):  # the search itself shows this error
            return gr.skip()

    def open(self, event: gr.EventData, *values) -> str:
        """The viewer with one photo, the path of its file, and the explanation why it was found.

        Args:
            event: the number of the photo in the gallery (`photo`).
            values: the arguments of `search`.
        """
        try:
            if type(event.photo) is not int:
                raise ValueError("This photo is not in the gallery. Search again.")
            photo = open_photo(self._catalogue, self._query(*values), event.photo, self._full_paths)
        except (ValueError, OSError) as error:
            return views.message(str(error), "problem")
        if photo.correspondence is None:
            beside = views.note("Draw something to see which parts of this photo it is like.")
        else:
            beside = views.explanation(photo.correspondence, photo.name)
        address = self._photos.address(photo.file_name, photo.read)
        return views.opened_photo(photo.name, photo.path, data_url(photo.picture, "JPEG"), address, beside)

    def announce(self, method: str, gallery: str) -> tuple[str, str, str]:
        """The status line before a search with another method or gallery. It says what is loading."""
        method = self._catalogue.fitting(method, gallery)
        try:
            title = self._catalogue.method(method).title
        except ValueError as error:
            return views.message(str(error), "problem"), "", ""
        if self._catalogue.is_ready(method, gallery):
            return views.message(f"Searching with “{title}” …"), "", ""
        place = "your photos" if gallery == OWN else self._catalogue.galleries.get(gallery, gallery)
        line = f"Loading “{title}” for {place} … The first time this can take half a minute."
        return views.message(line), "", ""

    def change_methods(self, gallery: str, advanced: bool, method: str):
        """The list of methods after the gallery or the option "advanced" has changed.

        The chosen method stays selected if it is still in the list.
        """
        methods = self._catalogue.methods_for(gallery, advanced)
        names = [offer.name for offer in methods]
        return gr.update(choices=method_choices(methods), value=method if method in names else names[0])

    def change_examples(self, gallery: str):
        """The example drawings of another gallery."""
        if gallery not in self._catalogue.samples:
            return gr.skip()
        return gr.update(examples=canvas_examples(self._catalogue, gallery))

    def take_drawing(self, path: str):
        """Put an uploaded drawing on the canvas, which starts a search. The uploaded file is deleted."""
        try:
            return data_url(on_canvas(read_upload(path, CANVAS_SIDE)), "PNG"), gr.skip()
        except UnreadableImageError as error:
            reason = str(error).rstrip(".")
            return gr.skip(), views.message(f"{reason}. The drawing stays as it was.", "problem")
        finally:
            _delete([path])

    def take_photos(self, paths: list[str], own: OwnPhotos | None):
        """Add uploaded photos to the visitor's gallery. The uploaded files are deleted."""
        own = own or OwnPhotos()
        before = len(own)
        try:
            skipped = own.add(paths)
        finally:
            _delete(paths)
        lines = views.message(f"{len(own) - before} of {len(paths)} photos added.")
        return own, *self._own_changed(own, lines + views.skipped_list(skipped))

    def forget_photos(self, own: OwnPhotos | None):
        """Delete all photos of the visitor."""
        if own is not None:
            own.clear()
        return None, *self._own_changed(OwnPhotos(), views.message("Your photos are forgotten."))

    def _query(
        self, drawing: str, text: str, weight: float, method: str, gallery: str, own: OwnPhotos | None
    ) -> Query:
        """The query for the values of the page."""
        # A script can send half a surrogate pair, which tokenizers refuse.
        text = (text or "")[:MAX_TEXT].encode("utf-8", "replace").decode()
        method = self._catalogue.fitting(method, gallery)
        return Query(read_canvas(drawing), text, weight, method, gallery, own or OwnPhotos())

    def _own_changed(self, own: OwnPhotos, lines: str):
        """The list of galleries, a message, and whether "Forget my photos" is visible."""
        choices = gallery_choices(self._catalogue, len(own))
        value = OWN if len(own) else self._catalogue.main
        return gr.update(choices=choices, value=value), lines, gr.update(visible=len(own) > 0)


def _grid(found: Found, key: str) -> str:
    return views.photo_grid(found.cards, found.start, found.has_more, key)


def _key(values: tuple) -> str:
    """A key of a search: a hash of all its values except the visitor's photos."""
    return hashlib.blake2b(repr(values[:-1]).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _delete(paths: list[str]) -> None:
    for path in paths:
        Path(path).unlink(missing_ok=True)
