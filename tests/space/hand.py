"""What a visitor of the page does and sees, in a browser."""

import math
import re


def draw(page, points, box=None):
    """Draw a line with the mouse; points are shares of the drawing area."""
    box = box or page.locator("canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()


def ellipse(x=0.5, y=0.5, width=0.3, height=0.2):
    angles = [k * math.pi / 16 for k in range(33)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


def wait_for_status(page, text):
    page.locator("#status", has_text=re.compile(text)).wait_for()


def found(page):
    return [name.inner_text() for name in page.locator(".photo .name").all()]


def ink(page):
    """Dark pixels of the drawing area."""
    return page.evaluate(
        """() => { const c = document.querySelector("canvas");
        const pixels = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 0; i < pixels.length; i += 4) n += pixels[i] < 128; return n; }"""
    )
