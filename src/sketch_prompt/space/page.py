"""The page: draw, look at what is found, ask why."""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while gradio is imported

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from sketch_prompt.data.reading import UnreadableImageError

from . import views
from .catalogue import MINISKETCH, OWN, Catalogue
from .minisketch import example_drawings
from .own_photos import MAX_PHOTOS, OwnPhotos
from .pictures import CANVAS_SIDE, MAX_BYTES, data_url, on_canvas, read_canvas, read_upload
from .searching import Query, explain, search

SESSIONS = 200  # visitors whose photos are kept; beyond, those of who was away longest are forgotten
UPLOAD_SECONDS = 3600  # after which an upload that was cut off is deleted
CONCURRENCY = 4
WEIGHT = 0.5
MAX_TEXT = 200
TITLE = "sketch-prompt: you draw, it finds the photo"
HEADER = """<header><h1>sketch-prompt</h1>
<p>You draw; it finds the photo. Draw something, then click a photo to see why it was found.</p></header>"""
FONTS = ["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
MONO_FONTS = ["ui-monospace", "Menlo", "Consolas", "monospace"]


def build_page(catalogue: Catalogue) -> gr.Blocks:
    """The page on a catalogue; `launch_page` serves it."""
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(UPLOAD_SECONDS, UPLOAD_SECONDS)
    ) as page:
        own = gr.State(None)  # forgotten after the page is closed
        gr.HTML(HEADER)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=4, min_width=320, elem_id="query"):
                with gr.Column(elem_id="drawing"):
                    canvas = _canvas()
                    upload_drawing = gr.UploadButton("Upload a drawing", elem_id="upload-drawing")
                with gr.Column(elem_id="options"):
                    text, weight, gallery, method = _options(catalogue)
                    upload_photos, forget, own_status = _own_photos()
            with gr.Column(scale=7, min_width=320, elem_id="answer"):
                status = gr.HTML(elem_id="status")
                photos = gr.HTML(js_on_load=_asset("photos.js"), elem_id="photos", apply_default_css=False)
                why = gr.HTML(js_on_load=_asset("explanation.js"), elem_id="why", apply_default_css=False)

        query = [canvas, text, weight, method, gallery, own]
        answer = {"fn": _searcher(catalogue), "inputs": query, "outputs": [status, photos, why]}
        models = {"concurrency_limit": CONCURRENCY, "concurrency_id": "models"}
        quiet = models | {"show_progress": "hidden", "trigger_mode": "always_last"}
        slow = models | {"show_progress_on": photos, "api_visibility": "private"}
        private = {"show_progress": "hidden", "api_visibility": "private"}
        canvas.input(**answer, **quiet, api_name="search")
        page.load(**answer, **quiet, api_visibility="private")
        for change in (text.change, weight.input):
            change(**answer, **quiet, api_visibility="private")
        for change in (gallery.input, method.input):
            change(**answer, **slow)
        photos.select(_explainer(catalogue), query, why, **models, api_visibility="private")
        upload_drawing.upload(_take_drawing, upload_drawing, [canvas, status], **private)
        mine = [own, gallery, own_status, forget]
        upload_photos.upload(_photo_taker(catalogue), [upload_photos, own], mine, **private).success(
            **answer, **slow
        )
        forget.click(_photo_forgetter(catalogue), own, mine, **private).success(**answer, **slow)
    return page


def launch_page(
    catalogue: Catalogue,
    host: str | None = None,
    port: int | None = None,
    *,
    open_browser: bool = False,
) -> tuple[str, gr.Blocks]:
    """Start serving the page.

    Args:
        catalogue: what it offers.
        host: 127.0.0.1 by default, or what `GRADIO_SERVER_NAME` says; 0.0.0.0 lets other machines in.
        port: by default the first free one from 7860 on.
        open_browser: open the page in a browser.

    Returns:
        Its address, and the page: `block_thread` waits for it, `close` ends it.

    Raises:
        OSError: the port is taken.
    """
    page = build_page(catalogue)
    page.queue(max_size=200)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        app_kwargs={"middleware": _own_names_only(host)},
        max_file_size=2 * MAX_BYTES,
        state_session_capacity=SESSIONS,
        footer_links=["gradio"],
        theme=_theme(),
        css=_asset("page.css"),
    )
    return address, page


def _own_names_only(host: str | None) -> list[Middleware]:
    """On this machine alone, answer only to this machine's names.

    A web site can give its own name the address 127.0.0.1 (DNS rebinding), and a browser then lets the site's scripts
    talk to this page and read its photos.
    """
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    if host not in ("localhost", "::1") and not host.startswith("127."):
        return []
    names = [host, "localhost", "127.0.0.1", "::1", "[::1]"]
    return [Middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)]


# Parts of the page


def _theme() -> gr.themes.Base:
    """Colours with enough contrast, and the fonts that a device has, so that none is fetched."""
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", radius_size="lg", font=FONTS, font_mono=MONO_FONTS
    )
    return theme.set(
        color_accent="*primary_600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )


def _canvas() -> gr.HTML:
    examples = [
        {"name": name, "picture": data_url(on_canvas(drawing), "PNG")}
        for name, drawing in example_drawings().items()
    ]
    return gr.HTML(
        value="",
        html_template=_asset("canvas.html"),
        js_on_load=_asset("canvas.js"),
        apply_default_css=False,
        elem_id="canvas",
        examples=examples,
    )


def _options(catalogue: Catalogue) -> tuple[gr.Textbox, gr.Slider, gr.Dropdown, gr.Dropdown]:
    text = gr.Textbox(
        label="Add words",
        placeholder="such as: a red teapot",
        max_length=MAX_TEXT,
        elem_id="text",
    )
    weight = gr.Slider(
        0,
        1,
        WEIGHT,
        step=0.05,
        label="Drawing or words?",
        info="0: drawing alone, 1: words alone",
        elem_id="weight",
    )
    checked = weight.preprocess
    # Its number field may have been emptied.
    weight.preprocess = lambda value: checked(value if isinstance(value, int | float) else WEIGHT)
    gallery = gr.Dropdown(
        _gallery_choices(catalogue, 0),
        value=catalogue.main,
        label="Search in",
        filterable=False,
        elem_id="gallery",
    )
    method = gr.Dropdown(
        catalogue.methods,
        value=catalogue.methods[0],
        label="Method",
        filterable=False,
        elem_id="method",
    )
    return text, weight, gallery, method


def _own_photos() -> tuple[gr.UploadButton, gr.Button, gr.HTML]:
    with gr.Accordion("Your own photos", elem_id="own"):
        gr.HTML(
            f"<p class='fine'>Up to {MAX_PHOTOS} photos. The server keeps them in memory while the page is open; "
            "nobody else sees them.</p>"
        )
        upload = gr.UploadButton("Add photos", file_count="multiple", elem_id="upload-photos")
        status = gr.HTML(elem_id="own-status")
        forget = gr.Button("Forget my photos", visible=False, elem_id="forget")
    return upload, forget, status


def _gallery_choices(catalogue: Catalogue, own: int) -> list[tuple[str, str]]:
    main = "MiniSketch, pictures of 48 things" if catalogue.main == MINISKETCH else catalogue.main
    return [(main, catalogue.main)] + ([(f"Your photos ({own})", OWN)] if own else [])


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


# What happens


def _searcher(catalogue: Catalogue) -> Callable:
    def answer(drawing: str, text: str, weight: float, method: str, gallery: str, own: OwnPhotos | None):
        try:
            query = _query(drawing, text, weight, method, gallery)
            found = search(catalogue, query, own or OwnPhotos())
        except (ValueError, OSError) as error:
            return views.message(str(error), "problem"), "", ""
        lines = views.message(found.status) + views.skipped_list(found.skipped)
        return lines, views.photo_grid(found.cards) if found.cards else "", ""

    return answer


def _explainer(catalogue: Catalogue) -> Callable:
    def answer(
        drawing: str,
        text: str,
        weight: float,
        method: str,
        gallery: str,
        own: OwnPhotos | None,
        event: gr.EventData,
    ):
        try:
            if type(event.photo) is not int:
                raise ValueError("This is no photo of the gallery. Search again.")
            query = _query(drawing, text, weight, method, gallery)
            name, photo, correspondence = explain(catalogue, query, own or OwnPhotos(), event.photo)
        except (ValueError, OSError) as error:
            return views.message(str(error), "problem")
        if correspondence is None:
            note = "Draw something to see which parts of this photo it is like."
            return views.photo_alone(data_url(photo, "JPEG"), name, note)
        return views.explanation(correspondence, name)

    return answer


def _query(drawing: str, text: str, weight: float, method: str, gallery: str) -> Query:
    text = (text or "")[:MAX_TEXT].encode("utf-8", "replace").decode()  # a script may send half a character
    return Query(read_canvas(drawing), text, weight, method, gallery)


def _take_drawing(path: str):
    """An uploaded drawing as the canvas's value, by which the page searches; the file is deleted."""
    try:
        return data_url(on_canvas(read_upload(path, CANVAS_SIDE)), "PNG"), gr.skip()
    except UnreadableImageError as error:
        reason = str(error).rstrip(".")
        return gr.skip(), views.message(f"{reason}. The drawing stays as it was.", "problem")
    finally:
        _delete([path])


def _photo_taker(catalogue: Catalogue) -> Callable:
    def take(paths: list[str], own: OwnPhotos | None):
        own = own or OwnPhotos()
        before = len(own)
        try:
            skipped = own.add(paths)
        finally:
            _delete(paths)
        lines = views.message(f"{len(own) - before} of {len(paths)} photos added.") + views.skipped_list(
            skipped
        )
        return own, *_own_changed(catalogue, own, lines)

    return take


def _photo_forgetter(catalogue: Catalogue) -> Callable:
    def forget(own: OwnPhotos | None):
        if own is not None:
            own.clear()
        return None, *_own_changed(catalogue, OwnPhotos(), views.message("Your photos are forgotten."))

    return forget


def _own_changed(catalogue: Catalogue, own: OwnPhotos, lines: str):
    """What the page shows of a visitor's photos: the choice of galleries, a message, the way to forget them."""
    choices = _gallery_choices(catalogue, len(own))
    return gr.update(choices=choices, value=choices[-1][1]), lines, gr.update(visible=len(own) > 0)


def _delete(paths: list[str]) -> None:
    for path in paths:
        Path(path).unlink(missing_ok=True)
