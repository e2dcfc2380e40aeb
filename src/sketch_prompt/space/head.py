"""The head of the page: its description for sites that link to it, and its content security policy."""

import os
import re
from html import escape
from importlib import resources

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TITLE = "sketch-prompt: you draw, it finds the photo"
DESCRIPTION = (
    "Draw something with mouse, pen or finger: the photos that look like it appear, and a click shows why."
)
ICON = "icon.png"
PREVIEW = "preview.png"
_PREVIEW_SIZE = (1200, 630)
# Gradio describes each page as "Gradio", with a picture from another host.
_DESCRIPTIONS = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>')
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio needs inline scripts and the Function constructor
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)


def asset_path(name: str) -> str:
    """The path of one of the page's files."""
    return str(resources.files(__package__) / "assets" / name)


def preview_route() -> Route:
    """The route of the preview picture, which is shown by sites that link to the page."""
    return Route(f"/{PREVIEW}", lambda request: FileResponse(asset_path(PREVIEW)), methods=["GET"])


class OwnHead:
    """Middleware that gives the page its description, and a policy under which it loads nothing from other hosts.

    A Space shows the page in a frame of another host and adds its own files, so there is no policy in a Space.
    """

    def __init__(self, app: ASGIApp):
        self._app = app
        self._policy = None if os.environ.get("SPACE_ID") else _POLICY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change responses that are HTML pages, and pass on all others unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = _address(Headers(scope=scope), scope)
        start: Message | None = None
        page = bytearray()

        async def changed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                if not headers.get("content-type", "").startswith("text/html"):
                    await send(message)
                    return
                if self._policy and "content-security-policy" not in headers:
                    headers["content-security-policy"] = self._policy
                start = message
            elif start is None:
                await send(message)
            else:
                page.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                body = _describe(bytes(page), address)
                MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
                await send(start)
                await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, changed)


def _address(headers: Headers, scope: Scope) -> str:
    forwarded = headers.get("x-forwarded-proto", scope.get("scheme", "http"))
    scheme = forwarded if forwarded in ("http", "https") else "http"
    return f"{scheme}://{headers.get('host', 'localhost')}"


def _describe(page: bytes, address: str) -> bytes:
    """Replace Gradio's description of the page with our own."""
    facts = {
        "og:type": "website",
        "og:title": TITLE,
        "og:description": DESCRIPTION,
        "og:url": f"{address}/",
        "og:image": f"{address}/{PREVIEW}",
        "og:image:width": str(_PREVIEW_SIZE[0]),
        "og:image:height": str(_PREVIEW_SIZE[1]),
        "og:image:alt": "A pair of scissors, drawn, and the photos that were found for it",
        "twitter:card": "summary_large_image",
    }
    tags = [
        f'<meta {"name" if name.startswith("twitter") else "property"}="{name}" content="{escape(value)}" />'
        for name, value in facts.items()
    ]
    tags.append(f'<meta name="description" content="{escape(DESCRIPTION)}" />')
    tags.append('<link rel="icon" href="favicon.ico" type="image/png" />')
    return _DESCRIPTIONS.sub(b"", page).replace(b"<head>", f"<head>{''.join(tags)}".encode(), 1)
