"""Export hits: a table, a web page, copies of the files."""

import csv
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sketch_prompt import notebook
from sketch_prompt.atomic import atomic_write

from .hits import Hit, Hits
from .queries import Sketch, as_drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .gallery import Gallery

_SIDE = 160
_SHOWN = 12
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
:root{{color-scheme:light dark}}
body{{font-family:system-ui,sans-serif;max-width:1200px;margin:0 auto;padding:16px}}
h1{{font-size:1.4rem;margin:0 6px 8px}} p{{margin:8px 6px}} img{{outline:1px solid #8884;outline-offset:-1px}}
a:hover,a:focus-visible{{outline:2px solid #0f766e}}
@media (prefers-color-scheme:dark){{body{{background:#0f172a;color:#f1f5f9}} a:hover{{outline-color:#5eead4}}}}
</style>
</head><body>
<h1>{title}</h1>
{content}
</body></html>
"""


def write_csv(hits: Sequence[Hit], path: str | os.PathLike) -> Path:
    """See `Hits.write_csv`. An apostrophe is put before texts that a spreadsheet would take for formulas."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "score", "path", "category", "copies"])
        for hit in hits:
            copies = "; ".join(hit.copies)
            texts = [_escape_formula(value) for value in (hit.path, hit.category or "", copies)]
            writer.writerow([hit.rank, f"{hit.score:.4f}", *texts])
    return Path(path)


def _escape_formula(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def html_of_hits(hits: Hits, with_links: bool = False) -> str:
    """The query and the photos found, as HTML."""
    parts = [f"<p>{notebook.text(hits.warning[0].upper() + hits.warning[1:])}.</p>"] if hits.warning else []
    sketch, words = hits.query
    if sketch is not None:
        caption = notebook.text(f"drawing, with “{words}”" if words else "drawing")
        drawn = notebook.image(as_drawing(sketch), _SIDE, "the drawing")
        parts.append(f"<div>{notebook.figure(drawn, caption, _SIDE)}</div>")
    elif words:
        parts.append(f"<p>Searched for “{notebook.text(words)}”.</p>")
    for hit in hits:
        name = os.path.basename(hit.path)
        caption = f"{hit.rank}. {notebook.text(hit.category or name)} ({round(hit.score, 2) + 0:.2f})"
        if hit.category:
            caption += f"<br>{notebook.text(name)}"
        if hit.copies:
            names = "<br>".join(map(notebook.text, hit.copies))
            caption += f"<details><summary>and {len(hit.copies)} more of it</summary>{names}</details>"
        link = Path(hit.path).as_uri() if with_links and os.path.isabs(hit.path) else None
        shown = notebook.image(_photo_of(hits, hit), _SIDE, name)
        parts.append(notebook.figure(shown, caption, _SIDE, link, hit.path))
    return f"<div>{''.join(parts)}</div>"


def plot(gallery: "Gallery", hits: Sequence[Hit], sketch: Sketch | None, text: str | None) -> "Figure":
    """See `Gallery.plot`."""
    from sketch_prompt.plotting import plot_hits

    images = [gallery.collection.image_or_none(hit) for hit in hits]
    titles = [f"{hit.score:.3f}  {hit.category or ''}" for hit in hits]
    return plot_hits(as_drawing(sketch) if sketch is not None else text or "", images, titles)


def html_of_gallery(gallery: "Gallery") -> str:
    """The number of photos and a few of them, as HTML."""
    shown = np.unique(np.linspace(0, max(len(gallery) - 1, 0), min(len(gallery), _SHOWN)).astype(int))
    parts = [f"<p>{notebook.text(repr(gallery))}</p>"]
    for row in shown:
        photo = gallery.photos[int(row)]
        picture = gallery.collection.image_or_none(photo, 2 * _SIDE)
        name = os.path.basename(photo.path)
        shown = notebook.image(picture, _SIDE, name)
        parts.append(notebook.figure(shown, notebook.text(photo.category or name), _SIDE, title=photo.path))
    return f"<div>{''.join(parts)}</div>"


def _photo_of(hits: Hits, hit: Hit) -> Image.Image | None:
    return None if hits.gallery is None else hits.gallery.collection.image_or_none(hit, 2 * _SIDE)


def write_html(hits: Hits, path: str | os.PathLike) -> Path:
    """See `Hits.write_html`. The page loads nothing from outside and runs no script."""
    of = "" if hits.gallery is None else f" of {len(hits.gallery):,}"
    title = notebook.text(f"The best {len(hits)}{of} photos")
    with atomic_write(path) as temporary:
        page = _PAGE.format(title=title, content=html_of_hits(hits, with_links=True))
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def copy_photos(hits: Hits, folder: str | os.PathLike) -> list[Path]:
    """See `Hits.copy_to`."""
    folder = Path(folder)
    digits = max(2, len(str(len(hits))))
    targets = [folder / f"{hit.rank:0{digits}}-{_file_name(hit)}" for hit in hits]
    there = [target for target in targets if os.path.lexists(target)]
    if there:
        raise FileExistsError(f"{there[0]} is there already: copy into another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    for hit, target in zip(hits, targets):
        content = hits.gallery.collection.content(hit)
        if isinstance(content, Image.Image):
            buffer = BytesIO()
            content.save(buffer, "PNG")
            content = buffer.getvalue()
        with atomic_write(target) as temporary:
            temporary.write_bytes(content)
    return targets


def _file_name(hit: Hit) -> str:
    """The name of the file, or a .png name for a photo that is not a file."""
    name = os.path.basename(hit.path.replace("\\", "/")) or f"photo {hit.id}"
    return name if os.path.splitext(name)[1] else f"{name}.png"
