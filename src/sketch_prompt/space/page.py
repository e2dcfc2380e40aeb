"""Build the page from its parts and handlers, and serve it."""

import os
from ipaddress import ip_address

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from . import parts
from .answers import Answers
from .catalogue import Catalogue
from .head import ICON, TITLE, OwnHead, asset_path, preview_route
from .open_photos import OpenPhotos
from .pictures import MAX_BYTES
from .ports import check_port

SESSIONS = 200  # visitors whose photos are kept; beyond that, the least recently active ones lose theirs
UPLOAD_SECONDS = 3600  # age at which an interrupted upload is deleted
CONCURRENCY = 4


def build_page(catalogue: Catalogue, photos: OpenPhotos | None = None, full_paths: bool = False) -> gr.Blocks:
    """Build the page without serving it; see `launch_page`.

    Args:
        catalogue: the methods and galleries to choose from.
        photos: gives an address to each photo that is opened. The server needs its route.
        full_paths: show the full paths of photos on this machine instead of their paths in the gallery.
    """
    answers = Answers(catalogue, photos or OpenPhotos(), full_paths)
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(UPLOAD_SECONDS, UPLOAD_SECONDS)
    ) as page:
        own = gr.State(None)  # Gradio deletes it after the page is closed
        gr.HTML(parts.HEADER)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=4, min_width=320, elem_id="query"):
                with gr.Column(elem_id="drawing"):
                    canvas = parts.canvas(catalogue)
                    upload_drawing = gr.UploadButton("Upload a drawing", elem_id="upload-drawing")
                with gr.Column(elem_id="options"):
                    text, weight = parts.words()
                    gallery, method, advanced = parts.where_and_how(catalogue)
                    upload_photos, forget, own_status = parts.own_photos()
            with gr.Column(scale=7, min_width=320, elem_id="answer"):
                status = parts.status()
                found = parts.found_photos()
                viewer = parts.viewer()

        query = [canvas, text, weight, method, gallery, own]
        shown = [status, found, viewer]
        search = {"fn": answers.search, "inputs": query, "outputs": shown}
        announce = {"fn": answers.announce, "inputs": [method, gallery], "outputs": shown}
        models = {"concurrency_limit": CONCURRENCY, "concurrency_id": "models"}
        quiet = models | {"show_progress": "hidden", "trigger_mode": "always_last"}
        hidden = {"show_progress": "hidden", "api_visibility": "private"}
        slow = models | hidden
        canvas.input(**search, **quiet, api_name="search")
        page.load(**search, **quiet, api_visibility="private")
        for change in (text.change, weight.input):
            change(**search, **quiet, api_visibility="private")
        found.input(answers.more, query, found, **slow)
        found.select(answers.open, query, viewer, **slow)
        upload_drawing.upload(answers.take_drawing, upload_drawing, [canvas, status], **hidden)

        # Say at once what is loading, and clear the previous photos.
        def search_after(event):
            return event(**announce, queue=False, **hidden).then(**search, **slow)

        def change_gallery_after(event) -> None:
            changed = event(*methods, queue=False, **hidden)
            search_after(changed.then).then(answers.change_examples, gallery, canvas, **hidden)

        methods = (answers.change_methods, [gallery, advanced, method], method)
        search_after(method.input)
        search_after(advanced.input(*methods, queue=False, **hidden).then)
        change_gallery_after(gallery.input)
        mine = [own, gallery, own_status, forget]
        upload = upload_photos.upload(answers.take_photos, [upload_photos, own], mine, **hidden)
        change_gallery_after(upload.success)
        change_gallery_after(forget.click(answers.forget_photos, own, mine, **hidden).success)
    return page


def launch_page(
    catalogue: Catalogue,
    host: str | None = None,
    port: int | None = None,
    *,
    open_browser: bool = False,
) -> tuple[str, gr.Blocks]:
    """Build the page and start to serve it.

    Args:
        catalogue: the methods and galleries to choose from.
        host: address to listen on. By default `GRADIO_SERVER_NAME` or 127.0.0.1. With 0.0.0.0 other machines can open
            the page.
        port: by default the first free port from 7860 on.
        open_browser: open the page in a browser.

    Returns:
        The address, and the page. Call `block_thread` of the page to wait until it is closed, and `close` to stop it.

    Raises:
        OSError: the port is in use.
    """
    check_port(host, port)
    photos = OpenPhotos()
    page = build_page(catalogue, photos, full_paths=_is_local(host))
    page.queue(max_size=200)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        app_kwargs={
            "middleware": [*_allow_own_names(host), Middleware(OwnHead)],
            "routes": [photos.route(), preview_route()],
        },
        max_file_size=2 * MAX_BYTES,
        state_session_capacity=SESSIONS,
        footer_links=["gradio"],
        favicon_path=asset_path(ICON),
        theme=parts.theme(),
        css=parts.asset("page.css"),
    )
    return address, page


def _is_local(host: str | None) -> bool:
    """Whether only this machine can open the page."""
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_own_names(host: str | None) -> list[Middleware]:
    """A page for this machine only answers requests that name this machine as host.

    Otherwise a web site could let its own host name point to 127.0.0.1 (DNS rebinding), and the browser would allow
    the scripts of that site to read the photos of this page.
    """
    if not _is_local(host):
        return []
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    names = [host, "localhost", "127.0.0.1", "::1", "[::1]"]
    return [Middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)]
