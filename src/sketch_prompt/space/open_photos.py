"""Addresses under which a browser can open and download the photos of a gallery.

An address contains a random ticket instead of the path, name or number of the photo. A ticket is made when a photo is
opened and is valid for this photo only, until the server stops or many newer tickets have been made. So addresses
cannot be guessed, and another web site cannot request the photos of a page that runs on this machine.
"""

import io
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePath
from urllib.parse import quote

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.imaging import to_rgb

TICKETS = 500
PATH = "/photo"
# The formats that all browsers show. Photos of other formats are shown as JPEG and downloaded unchanged.
_SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, max-age=600",
}

Content = bytes | Image.Image


class OpenPhotos:
    """The tickets of photos, and the route that serves them."""

    def __init__(self):
        self._tickets: OrderedDict[str, tuple[str, Callable[[], Content]]] = OrderedDict()
        self._lock = threading.Lock()

    def address(self, name: str, read: Callable[[], Content]) -> str:
        """A new address of a photo, relative to the address of the page.

        Args:
            name: name of the photo's file.
            read: returns the content of the file, or a picture if there is no file. Raises UnreadableImageError if
                the photo cannot be read any more.
        """
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._tickets[ticket] = (PurePath(name).name, read)
            while len(self._tickets) > TICKETS:
                self._tickets.popitem(last=False)
        return f"{PATH.lstrip('/')}/{ticket}"

    def route(self) -> Route:
        """The route of these addresses. With `?download` the browser saves the photo instead of showing it."""
        return Route(f"{PATH}/{{ticket}}", self._answer, methods=["GET"])

    async def _answer(self, request: Request) -> Response:
        with self._lock:
            found = self._tickets.get(request.path_params["ticket"])
        if found is None:
            return PlainTextResponse("This photo is not open any more. Search again.", 404, _HEADERS)
        try:
            return await run_in_threadpool(_response, *found, "download" in request.query_params)
        except (UnreadableImageError, OSError) as error:
            reason = error.reason if isinstance(error, UnreadableImageError) else "it cannot be read"
            return PlainTextResponse(f"{found[0]}: {reason}", 404, _HEADERS)


def _response(name: str, read: Callable[[], Content], download: bool) -> Response:
    content = read()
    image = read_image(content if isinstance(content, Image.Image) else {"path": name, "bytes": content})
    kind = _SHOWN.get(image.format or "")
    if not isinstance(content, bytes) or (kind is None and not download):
        buffer = io.BytesIO()
        to_rgb(image).save(buffer, "JPEG", quality=92)
        content, kind, name = buffer.getvalue(), "image/jpeg", f"{PurePath(name).stem}.jpg"
    how = "attachment" if download else "inline"
    named = {
        "Content-Disposition": f"{how}; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
    }
    return Response(content, media_type=kind or "application/octet-stream", headers=_HEADERS | named)
