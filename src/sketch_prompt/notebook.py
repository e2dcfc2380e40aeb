"""HTML for notebooks and web pages. All text is escaped, and pictures are data URLs."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from sketch_prompt.imaging import to_rgb
from sketch_prompt.terminal import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def text(value: object) -> str:
    """Escape a text for HTML. Characters that hide text or change its direction are written as `\\x1b`, ..."""
    return html.escape(printable(str(value)))


def data_url(picture: Image.Image, file_format: str = "JPEG") -> str:
    """A picture as data URL; `file_format` is PNG or JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **({"quality": 85} if file_format == "JPEG" else {}))
    return f"data:image/{file_format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def image(picture: Image.Image | None, side: int, alt: str = "") -> str:
    """A picture with sides of at most `side` pixels, or a grey square that says "cannot be read"."""
    if picture is None:
        style = f"display:inline-grid;place-items:center;width:{side}px;height:{side}px;background:#eee;color:#555"
        return f'<span style="{style}">cannot be read</span>'
    small = ImageOps.contain(to_rgb(picture), (side, side))
    return f'<img src="{data_url(small)}" width="{small.width}" height="{small.height}" alt="{text(alt)}">'


def of_figure(drawn: "Figure", alt: str) -> str:
    """A figure of matplotlib as a picture."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{content}" style="max-width:100%" alt="{text(alt)}">'


def figure(shown: str, caption: str, side: int, link: str | None = None, title: str = "") -> str:
    """A picture with a caption below it, both given as HTML. Figures with the same side form rows and columns.

    Args:
        side: side in pixels of the square around the picture.
        link: address that the picture opens.
        title: text that is shown when the pointer rests on the picture.
    """
    box = f"display:flex;align-items:center;justify-content:center;width:{side}px;height:{side}px"
    if link is None:
        shown = f'<div style="{box};background:#8881">{shown}</div>'
    else:
        shown = f'<a href="{html.escape(link)}" style="{box};background:#8881">{shown}</a>'
    style = (
        f"display:inline-block;width:{side}px;margin:6px;vertical-align:top;font-size:13px;line-height:1.4"
    )
    below = f'<figcaption style="margin-top:4px;overflow-wrap:anywhere">{caption}</figcaption>'
    return f'<figure style="{style}" title="{text(title)}">{shown}{below}</figure>'


def table(header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table of texts and numbers."""
    head = "".join(f"<th>{text(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
