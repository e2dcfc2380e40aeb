"""The parts of the page, and the choices of its menus."""

from collections.abc import Sequence

import gradio as gr

from sketch_prompt.notebook import data_url

from . import views
from .catalogue import OWN, Catalogue
from .head import asset_path
from .methods import Method
from .own_photos import MAX_PHOTOS
from .pictures import on_canvas

WEIGHT = 0.5
MAX_TEXT = 200
HEADER = """<header><h1>sketch-prompt</h1>
<p>You draw; it finds the photo. Draw something, then click a photo to see why it was found.</p></header>"""
FONTS = ["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
MONO_FONTS = ["ui-monospace", "Menlo", "Consolas", "monospace"]


def theme() -> gr.themes.Base:
    """Colours with enough contrast, and fonts of the device, so that no font is downloaded."""
    base = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", radius_size="lg", font=FONTS, font_mono=MONO_FONTS
    )
    return base.set(
        color_accent="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )


def canvas(catalogue: Catalogue) -> gr.HTML:
    """The drawing area; its value is the drawing as a data URL."""
    return gr.HTML(
        value="",
        html_template=asset("canvas.html"),
        js_on_load=asset("strokes.js") + asset("canvas.js"),
        apply_default_css=False,
        elem_id="canvas",
        examples=canvas_examples(catalogue, catalogue.main),
    )


def status() -> gr.HTML:
    """The line that says what was found or what is loading."""
    return gr.HTML(views.message("Loading …"), js_on_load=asset("status.js"), elem_id="status")


def found_photos() -> gr.HTML:
    """The photos that were found."""
    return _empty_part("photos", "photos")


def viewer() -> gr.HTML:
    """The dialog with one large photo."""
    return _empty_part("viewer", "why")


def _empty_part(files: str, elem_id: str) -> gr.HTML:
    """A part with its own template and script, which shows nothing yet."""
    template, script = asset(f"{files}.html"), asset(f"{files}.js")
    options = {"html_template": template, "js_on_load": script, "apply_default_css": False}
    return gr.HTML("", elem_id=elem_id, **options)


def words() -> tuple[gr.Textbox, gr.Slider]:
    """Words that describe the photo, and their weight beside the drawing."""
    text = gr.Textbox(
        label="Add words",
        placeholder="such as: a red cup",
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
    # The visitor may have emptied the number field.
    weight.preprocess = lambda value: checked(value if isinstance(value, int | float) else WEIGHT)
    return text, weight


def where_and_how(catalogue: Catalogue) -> tuple[gr.Dropdown, gr.Dropdown, gr.Checkbox]:
    """The menus of galleries and of methods, and the option to offer all methods."""
    gallery = gr.Dropdown(
        gallery_choices(catalogue, 0),
        value=catalogue.main,
        label="Search in",
        allow_custom_value=True,
        elem_id="gallery",
    )
    methods = catalogue.methods_for(catalogue.main)
    method = gr.Dropdown(
        method_choices(methods),
        value=methods[0].name,
        label="Method",
        allow_custom_value=True,
        elem_id="method",
    )
    # The choices change, and the browser may still send an old one, which the catalogue handles. Gradio would refuse
    # it without the `allow_custom_value` above: the copy for each session is made from the arguments above, while the
    # browser gets the values that are set here.
    for dropdown in (gallery, method):
        dropdown.filterable = dropdown.allow_custom_value = False
        dropdown.preprocess = str
    advanced = gr.Checkbox(
        label="Advanced: offer all methods, to compare them",
        value=False,
        visible=any(offer.is_advanced for offer in catalogue.offers),
        elem_id="advanced",
        container=False,
    )
    return gallery, method, advanced


def own_photos() -> tuple[gr.UploadButton, gr.Button, gr.HTML]:
    """The buttons to add and forget the visitor's own photos, and their status line."""
    with gr.Accordion("Your own photos", elem_id="own"):
        gr.HTML(
            f"<p class='fine'>Up to {MAX_PHOTOS} photos. The server keeps them in memory while the page is open. "
            "Nobody else sees them.</p>"
        )
        upload = gr.UploadButton("Add photos", file_count="multiple", elem_id="upload-photos")
        own_status = gr.HTML(elem_id="own-status", js_on_load=asset("status.js"))
        forget = gr.Button("Forget my photos", visible=False, elem_id="forget")
    return upload, forget, own_status


def gallery_choices(catalogue: Catalogue, own: int) -> list[tuple[str, str]]:
    """The titles and names of the galleries; `own` is the number of the visitor's photos."""
    bundled = [(title, name) for name, title in catalogue.galleries.items()]
    return bundled + ([(f"Your photos ({own})", OWN)] if own else [])


def method_choices(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """The titles and names of methods."""
    return [(method.title, method.name) for method in methods]


def canvas_examples(catalogue: Catalogue, gallery: str) -> list[dict]:
    """The example drawings of a gallery in the format of canvas.js."""
    return [
        {
            "name": example.name,
            "picture": data_url(on_canvas(example.picture), "PNG"),
            "strokes": example.strokes,
        }
        for example in catalogue.examples(gallery)
    ]


def asset(name: str) -> str:
    """The content of one of the page's text files."""
    with open(asset_path(name), encoding="utf-8") as file:
        return file.read()
