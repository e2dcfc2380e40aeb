"""All pictures of the web page, and the count of eight things drawn with the mouse.

    python scripts/page_pictures.py

Serves the page, draws in a headless Chromium, and writes

- `docs/page/after_<width>_<scheme>.png` and `photo_<width>_<scheme>.png`: the page with a drawing, and a photo opened;
- `docs/page/drawn.png` and `docs/page/drawn.md`: eight things drawn with the mouse, and what was found;
- `src/sketch_prompt/space/assets/preview.png`: what sites that link to the page show.

The drawings are those of `hand_drawings.py`. Needs the extras `space` and `dev`, and Chromium (`apt-get install
chromium`, or your system's package of it). Run it again when the bundled models change.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from huggingface_hub.constants import HF_ASSETS_CACHE
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from hand_drawings import Line, hand_drawings
from sketch_prompt.atomic import atomic_write
from sketch_prompt.space.catalogue import Catalogue
from sketch_prompt.space.page import launch_page

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WINDOWS = [
    (width, height, scheme) for width, height in ((1280, 900), (390, 844)) for scheme in ("light", "dark")
]
SHOWN = "scissors"
COLOURS = 256
TILE = (558, 330)
PLACES = (1, 3, 12)


def open_page(browser: Browser, address: str, width: int, height: int, scheme: str) -> Page:
    """The page in a window of its own, once it shows photos."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.set_default_timeout(120_000)
    page.goto(address)
    page.locator(".photo").first.wait_for()
    return page


def draw(page: Page, lines: list[Line]) -> None:
    """Draw lines with the mouse and wait until what they show was searched."""
    box = page.locator("canvas").bounding_box()
    for line in lines:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in line]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=2)
        page.mouse.up()
    page.locator("#status", has_text="The best").wait_for()
    settle(page)


def settle(page: Page) -> None:
    """Wait until nothing changes any more: a search that the last line began ends, colours fade in."""
    page.mouse.move(0, 0)
    before = None
    while before != (before := page.locator("#photos").inner_html()):
        page.wait_for_timeout(2500)


def save(picture: Image.Image, path: Path) -> None:
    """As a small PNG."""
    picture = picture.convert("RGB")
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    with atomic_write(path) as temporary:
        few.save(temporary, "PNG", optimize=True)
    print(f"{path.relative_to(ROOT)}: {few.width} x {few.height} pixels, {path.stat().st_size // 1024} KB")


def screenshot(page: Page, **options) -> Image.Image:
    """What the page shows."""
    return Image.open(io.BytesIO(page.screenshot(**options)))


def windows(browser: Browser, address: str, folder: Path) -> None:
    """The page and an opened photo, in both sizes and schemes."""
    for width, height, scheme in WINDOWS:
        page = open_page(browser, address, width, height, scheme)
        draw(page, hand_drawings()[SHOWN])
        save(screenshot(page, full_page=True), folder / f"after_{width}_{scheme}.png")
        page.locator(".photo").first.click()
        page.locator("#why svg.matches").wait_for()
        show_neutral_path(page)
        page.wait_for_timeout(1000)
        if (width, scheme) in ((1280, "light"), (390, "dark")):
            save(screenshot(page), folder / f"photo_{width}_{scheme}.png")
        page.close()


def show_neutral_path(page: Page) -> None:
    """Show where the photo is as on the machine of somebody called Ada, whoever makes the pictures."""
    page.locator(".path").evaluate(
        "(line, [cache, shown]) => { line.textContent = line.textContent.replace(cache, shown); }",
        [str(HF_ASSETS_CACHE), "/home/ada/.cache/huggingface/assets"],
    )


def preview(browser: Browser, address: str, path: Path) -> None:
    """The picture for sites that link to the page."""
    page = open_page(browser, address, 1200, 630, "light")
    draw(page, hand_drawings()[SHOWN])
    save(screenshot(page), path)
    page.close()


def eight_things(browser: Browser, address: str, folder: Path) -> None:
    """Each drawn with the mouse on a page of its own; the pictures on one sheet, what was found in a table."""
    tiles, rows = [], []
    method = ""
    for name, lines in hand_drawings().items():
        page = open_page(browser, address, 1280, 800, "light")
        method = page.locator("#method input").input_value()
        draw(page, lines)
        found = [caption.inner_text() for caption in page.locator(".photo .name").all()]
        rows.append((name, found[0], *(name in found[:place] for place in PLACES), found.count(name)))
        box = page.locator("canvas").bounding_box()
        clip = {"x": box["x"] - 8, "y": box["y"] - 8, "width": 2 * TILE[0] + 16, "height": 2 * TILE[1]}
        tiles.append(screenshot(page, clip=clip).convert("RGB").resize(TILE, Image.Resampling.LANCZOS))
        page.close()
    sheet = Image.new("RGB", (2 * TILE[0], (len(tiles) + 1) // 2 * TILE[1]), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % 2 * TILE[0], number // 2 * TILE[1]))
    save(sheet, folder / "drawn.png")
    with atomic_write(folder / "drawn.md") as temporary:
        temporary.write_text(table(rows, method), encoding="utf-8")
    print((folder / "drawn.md").read_text(encoding="utf-8"))


def table(rows: list[tuple], method: str) -> str:
    """The count as Markdown."""
    lines = [
        "# Eight things drawn with the mouse",
        "",
        f"On the page's real photos (30 of each of 40 things), with “{method}”, the default. Written by",
        "`python scripts/page_pictures.py`; the drawings, in `scripts/hand_drawings.py`, were not chosen or changed",
        "by what was found. By chance 2.5 % of the first photos are right; 26 % of the first twelve hold a right one.",
        "",
        "| drawn | first photo | right first | in the first 3 | in the first 12 | of 12 right |",
        "| --- | --- | --- | --- | --- | ---: |",
    ]
    for name, first, *right, count in rows:
        lines.append(
            f"| {name} | {first} | {' | '.join('yes' if hit else 'no' for hit in right)} | {count} |"
        )
    counts = [sum(row[2 + number] for row in rows) for number in range(len(PLACES))]
    share = sum(row[-1] for row in rows) / len(rows)
    lines.append(f"| of {len(rows)} | | {' | '.join(f'**{count}**' for count in counts)} | {share:.1f} |")
    return "\n".join([*lines, "", "![The eight drawings, each with the photos found for it](drawn.png)", ""])


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "page", help="folder to write")
    folder = parser.parse_args().output.resolve()
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        sys.exit("no Chromium: apt-get install chromium, or your system's package of it")
    catalogue = Catalogue()
    catalogue.prepare()
    address, served = launch_page(catalogue, "127.0.0.1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        preview(browser, address, ROOT / "src" / "sketch_prompt" / "space" / "assets" / "preview.png")
        eight_things(browser, address, folder)
        windows(browser, address, folder)
        browser.close()
    served.close()


if __name__ == "__main__":
    main()
