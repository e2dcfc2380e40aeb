"""Photos as files: the address under which one that somebody clicked can be opened and downloaded.

An address holds a ticket, which says nothing about the photo: no path, no name, no number. A ticket is given out when
a photo is shown, works for that photo alone, and ends with the server, or when many later ones were given out. So no
address can be made up, and another web site cannot ask for the photos of a page on this machine.
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
# What every browser shows; others are shown as JPEG, and downloaded as they are.
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
    """Tickets of photos. `route` serves them."""

    def __init__(self):
        self._tickets: OrderedDict[str, tuple[str, Callable[[], Content]]] = OrderedDict()
        self._lock = threading.Lock()

    def address(self, name: str, read: Callable[[], Content]) -> str:
        """A new address of a photo, relative to the page's.

        Args:
            name: its name as a file.
            read: gives its encoded file, or the picture if there is none; raises UnreadableImageError if it is gone.
        """
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._tickets[ticket] = (PurePath(name).name, read)
            while len(self._tickets) > TICKETS:
                self._tickets.popitem(last=False)
        return f"{PATH.lstrip('/')}/{ticket}"

    def route(self) -> Route:
        """Where the server answers to these addresses; with `?download` it is a file to save."""
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
