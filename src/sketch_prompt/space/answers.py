"""What the page does when somebody draws, chooses, clicks or uploads: from values of its parts to new ones."""

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
    """The page's functions.

    Args:
        catalogue: what is offered.
        photos: gives photos that were clicked their addresses.
        full_paths: show where photos are on this machine, not only in their gallery.
    """

    def __init__(self, catalogue: Catalogue, photos: OpenPhotos, full_paths: bool):
        self._catalogue = catalogue
        self._photos = photos
        self._full_paths = full_paths

    def search(
        self, drawing: str, text: str, weight: float, method: str, gallery: str, own: OwnPhotos | None
    ) -> tuple[str, str, str]:
        """Line, photos and explanation (none any more) for what is drawn and written."""
        values = (drawing, text, weight, method, gallery, own)
        try:
            found = search(self._catalogue, self._query(*values))
        except (ValueError, OSError) as error:
            return views.message(str(error), "problem"), "", ""
        lines = views.message(found.status) + views.skipped_list(found.skipped)
        return lines, _grid(found, _key(values)) if found.cards else "", ""

    def more(self, event: gr.EventData, *values):
        """Photos below those that are shown; nothing if somebody has searched for something else meanwhile.

        Args:
            event: how many are shown, and of which search.
            values: those that `search` takes.
        """
        key = _key(values)
        if type(event.shown) is not int or event.shown < 1 or event.query != key:
            return gr.skip()
        try:
            return _grid(search(self._catalogue, self._query(*values), start=event.shown), key)
        except (ValueError, OSError):  # the search itself has said so, or the next one will
            return gr.skip()

    def open(self, event: gr.EventData, *values) -> str:
        """A photo, large, with its file and why it was found.

        Args:
            event: which photo.
            values: those that `search` takes.
        """
        try:
            if type(event.photo) is not int:
                raise ValueError("This is no photo of the gallery. Search again.")
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
        """What is said before a search with another method or in another gallery: what is loading."""
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
        """The methods for another gallery, or more or fewer of them; the chosen one stays if it can."""
        methods = self._catalogue.methods_for(gallery, advanced)
        names = [offer.name for offer in methods]
        return gr.update(choices=method_choices(methods), value=method if method in names else names[0])

    def change_examples(self, gallery: str):
        """Drawings to start from in another gallery."""
        if gallery not in self._catalogue.samples:
            return gr.skip()
        return gr.update(examples=canvas_examples(self._catalogue, gallery))

    def take_drawing(self, path: str):
        """An uploaded drawing as the canvas's value, by which the page searches; the file is deleted."""
        try:
            return data_url(on_canvas(read_upload(path, CANVAS_SIDE)), "PNG"), gr.skip()
        except UnreadableImageError as error:
            reason = str(error).rstrip(".")
            return gr.skip(), views.message(f"{reason}. The drawing stays as it was.", "problem")
        finally:
            _delete([path])

    def take_photos(self, paths: list[str], own: OwnPhotos | None):
        """Uploaded photos; the files are deleted."""
        own = own or OwnPhotos()
        before = len(own)
        try:
            skipped = own.add(paths)
        finally:
            _delete(paths)
        lines = views.message(f"{len(own) - before} of {len(paths)} photos added.")
        return own, *self._own_changed(own, lines + views.skipped_list(skipped))

    def forget_photos(self, own: OwnPhotos | None):
        """Nothing is left of them."""
        if own is not None:
            own.clear()
        return None, *self._own_changed(OwnPhotos(), views.message("Your photos are forgotten."))

    def _query(
        self, drawing: str, text: str, weight: float, method: str, gallery: str, own: OwnPhotos | None
    ) -> Query:
        """What the page's parts ask for."""
        text = (text or "")[:MAX_TEXT].encode("utf-8", "replace").decode()  # half a character, from a script
        method = self._catalogue.fitting(method, gallery)
        return Query(read_canvas(drawing), text, weight, method, gallery, own or OwnPhotos())

    def _own_changed(self, own: OwnPhotos, lines: str):
        """What is shown of a visitor's photos: the choice of galleries, a message, the way to forget them."""
        choices = gallery_choices(self._catalogue, len(own))
        value = OWN if len(own) else self._catalogue.main
        return gr.update(choices=choices, value=value), lines, gr.update(visible=len(own) > 0)


def _grid(found: Found, key: str) -> str:
    return views.photo_grid(found.cards, found.start, found.has_more, key)


def _key(values: tuple) -> str:
    """Tells one search from another, by all that was asked but the visitor's photos."""
    return hashlib.blake2b(repr(values[:-1]).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _delete(paths: list[str]) -> None:
    for path in paths:
        Path(path).unlink(missing_ok=True)
