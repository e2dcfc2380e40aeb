"""The HTML of what the page shows: the grid of photos, an opened photo, an explanation, messages.

Names of files and folders come from visitors and strangers, so everything from outside is escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.colors import to_hex

from sketch_prompt.data.reading import UnreadableImage
from sketch_prompt.explain import Correspondence
from sketch_prompt.explain.figures import match_colours, synthesize
from sketch_prompt.notebook import data_url

SHOWN_MATCHES = 8
_SIDE = 448  # width of the drawing and of the photo in an explanation, in units of the SVG
_GAP = 64  # between the two


@dataclass(frozen=True)
class Card:
    """A photo in the grid.

    Attributes:
        id: its number in the gallery.
        name: its category, or the name of its file.
        picture: a data URL.
        score: similarity to the query, or None if there is no query.
        place: its rank, from 1.
        file: name of its file.
    """

    id: int
    name: str
    picture: str
    score: float | None = None
    place: int = 1
    file: str = ""


def photo_grid(cards: Sequence[Card], start: int = 0, has_more: bool = False, query: str = "") -> str:
    """A batch of photos as buttons, best first.

    Args:
        cards: the photos.
        start: how many photos of the same search are shown above them.
        has_more: whether there is another batch.
        query: key of the search.
    """
    return (
        f'<div class="batch" data-start="{start}" data-more="{int(has_more)}" data-query="{escape(query)}">'
        f"{''.join(map(_card, cards))}</div>"
    )


def _card(card: Card) -> str:
    name = escape(card.name)
    score = "" if card.score is None else f'<span class="score">{card.score:.2f}</span>'
    what = card.name if card.file in ("", card.name) else f"{card.name}, {card.file}"
    label = escape(f"{card.place}: {what}")
    return (
        f'<button type="button" class="photo" data-photo="{card.id}" aria-label="Photo {label}" title="{label}">'
        f'<img src="{card.picture}" alt="" width="192" height="192">'
        f'<span class="caption"><span class="name">{name}</span>{score}</span></button>'
    )


def message(text: str, kind: str = "note") -> str:
    """A message of one line; `kind` is "note" or "problem"."""
    return f'<p class="message {kind}">{escape(text)}</p>'


def skipped_list(skipped: Sequence[UnreadableImage]) -> str:
    """A list of the files that were skipped, each with its reason. Empty if there are none."""
    if not skipped:
        return ""
    items = "".join(f"<li><b>{escape(item.path)}</b>: {escape(item.reason)}</li>" for item in skipped)
    return f'<div class="message problem">Left out:<ul class="skipped">{items}</ul></div>'


def opened_photo(name: str, path: str, picture: str, address: str, beside: str) -> str:
    """The content of the viewer: a large photo and an explanation or note beside it.

    Args:
        name: category of the photo, or the name of its file.
        path: path of the file.
        picture: a data URL.
        address: address of the file. With `?download` the browser saves it.
        beside: the explanation or note, as HTML.
    """
    name, path, address = escape(name), escape(path), escape(address)
    return (
        f'<h2 id="opened-name">{name}</h2><p class="path">{path}</p><div class="actions">'
        f'<a href="{address}" target="_blank" rel="noopener">Open<span class="unseen"> in a new tab</span></a>'
        f'<button type="button" data-copy="{path}">Copy path</button>'
        f'<a href="{address}?download" download>Download</a></div>'
        f'<div class="opened"><figure class="large"><img src="{picture}" alt="{name}"></figure>{beside}</div>'
    )


def explanation(correspondence: Correspondence, name: str) -> str:
    """The strongest matches between the drawing and the photo `name`, and the drawing rebuilt from its patches."""
    title = f"<h3>Why “{escape(name)}”?</h3>"
    if not len(correspondence.matches):
        return note("This method connects no part of the drawing with a part of this photo.", title)
    rebuilt = data_url(synthesize(correspondence), "PNG")
    return (
        f'<section class="why">{title}<div class="panels">'
        f"<figure>{_matches(correspondence.top(SHOWN_MATCHES))}<figcaption>The same number marks a piece of your "
        "drawing and the piece of the photo that the method finds most alike, 1 the strongest.</figcaption></figure>"
        f'<figure class="rebuilt"><img src="{rebuilt}" alt="The drawing rebuilt from pieces of the photo">'
        "<figcaption>Your drawing, rebuilt from the matched pieces of the photo.</figcaption></figure>"
        "</div></section>"
    )


def note(text: str, title: str = "") -> str:
    """A note that takes the place of an explanation."""
    return f'<section class="why">{title}<p class="fine">{escape(text)}</p></section>'


def _matches(correspondence: Correspondence) -> str:
    """Drawing and photo side by side. Each pair of matched patches has a number, a colour, and a line between them."""
    sketch, photo = correspondence.sketch_image.convert("L"), correspondence.photo_image.convert("RGB")
    pictures = (
        f'<image href="{data_url(sketch, "PNG")}" width="{_SIDE}" height="{_SIDE}"/>'
        f'<image href="{data_url(photo, "JPEG")}" x="{_SIDE + _GAP}" width="{_SIDE}" height="{_SIDE}"/>'
    )
    marks = []
    colours = map(to_hex, match_colours(len(correspondence.matches)))
    for number, ((i, j), colour) in enumerate(zip(correspondence.matches.tolist(), colours), 1):
        boxes = (
            _scaled(correspondence.sketch_box(i), sketch.size, 0),
            _scaled(correspondence.photo_box(j), photo.size, _SIDE + _GAP),
        )
        marks.append(_mark(number, boxes, colour))
    return (
        f'<svg class="matches" viewBox="0 0 {2 * _SIDE + _GAP} {_SIDE}" role="img" '
        f'aria-label="Matching pieces of drawing and photo">{pictures}{"".join(reversed(marks))}</svg>'
    )


def _scaled(box, size: tuple[int, int], shift: float) -> tuple[float, float, float, float]:
    """Left, top, width and height in units of the SVG, for a box in pixels of an image of this size."""
    left, top, right, bottom = box
    x, y = _SIDE / size[0], _SIDE / size[1]
    return left * x + shift, top * y, (right - left) * x, (bottom - top) * y


def _mark(number: int, boxes, colour: str) -> str:
    frames = "".join(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
        for x, y, width, height in boxes
    )
    (x1, y1), (x2, y2) = ((x + width / 2, y + height / 2) for x, y, width, height in boxes)
    badges = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="19"/><text x="{x:.1f}" y="{y + 8.5:.1f}">{number}</text>'
        for x, y in ((x1, y1), (x2, y2))
    )
    line = f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    return f'<g class="match" style="--colour:{colour}">{line}{frames}{badges}</g>'
