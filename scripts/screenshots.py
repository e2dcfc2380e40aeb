"""The pictures of the web page in the documentation.

    python scripts/screenshots.py docs      # writes page.png and page_phone.png

Serves the page, draws a sailboat with the mouse in a headless Chromium, and clicks the best photo. Needs the extras
`space` and `dev`, and Chromium (`apt-get install chromium`, or your system's package of it).
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from sketch_prompt.atomic import atomic_write
from sketch_prompt.space.catalogue import Catalogue
from sketch_prompt.space.page import launch_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"page": (1180, 860), "page_phone": (390, 844)}
COLOURS = 256
MARGIN = 16


def sailboat() -> list[list[tuple[float, float]]]:
    """A sailboat as lines, in shares of the drawing area."""
    hull = [(0.2, 0.7), (0.3, 0.85), (0.7, 0.85), (0.8, 0.7), (0.2, 0.7)]
    mast = [(0.5, 0.7), (0.5, 0.12)]
    sails = [(0.5, 0.15), (0.8, 0.62), (0.5, 0.62)], [(0.47, 0.2), (0.25, 0.62), (0.47, 0.62)]
    return [hull, mast, *sails]


def draw(page: Page, lines: list[list[tuple[float, float]]]) -> None:
    """Draw lines with the mouse and wait until something is found."""
    box = page.locator("canvas").bounding_box()
    for line in lines:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in line]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=4)
        page.mouse.up()
    page.locator("#status", has_text="The best").wait_for()
    page.wait_for_timeout(2000)  # until what the last line changes is found too


def photograph(page: Page, path: Path) -> None:
    """The page down to the explanation as a small PNG."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # until colours have faded in
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    box = page.locator("#why").bounding_box()
    height = round(box["y"] + page.evaluate("scrollY") + box["height"] + MARGIN)
    picture = picture.crop((0, 0, picture.width, height))
    picture = picture.quantize(palette=picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE))
    with atomic_write(path) as temporary:
        picture.save(temporary, "PNG", optimize=True)
    print(f"{path}: {picture.width} x {picture.height} pixels, {path.stat().st_size // 1024} KB")


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="folder to write")
    folder = parser.parse_args().output
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
        for name, (width, height) in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.goto(address)
            page.locator(".photo").first.wait_for()
            draw(page, sailboat())
            page.locator(".photo").first.click()
            page.locator("#why svg.matches").wait_for()
            photograph(page, folder / f"{name}.png")
        browser.close()
    served.close()


if __name__ == "__main__":
    main()
