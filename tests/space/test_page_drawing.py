"""The drawing area in a browser: undo and redo, line width, keyboard, links, files."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from space.hand import draw, ellipse, ink, wait_for_status

LINE = [(0.2, 0.5), (0.8, 0.5)]


def said(page):
    return page.locator("#canvas .said").inner_text()


def dark(page):
    """Where the drawing area is dark, (512, 512)."""
    picture = page.evaluate("document.querySelector('canvas').toDataURL()").split(",")[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L")) < 128


def test_undo_and_redo_work_by_key_and_button_wherever_the_focus_is(visit):
    page = visit()
    draw(page, ellipse())
    one = ink(page)
    draw(page, LINE)
    two = ink(page)
    assert two > one > 0
    for focus in ("body", "#gallery input", "#weight input[type=range]"):
        page.evaluate("selector => document.querySelector(selector).focus()", focus)
        page.keyboard.press("Control+z")
        assert ink(page) == one
        page.keyboard.press("Control+Shift+Z")
        assert ink(page) == two
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    assert ink(page) == two
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    assert ink(page) == 0 and page.get_by_role("button", name="Undo").is_disabled()
    page.get_by_role("button", name="Redo").click()
    assert ink(page) == one
    draw(page, [(0.1, 0.1), (0.9, 0.1)])  # what comes instead of the undone line
    assert page.get_by_role("button", name="Redo").is_disabled()
    words = page.get_by_label("Add words")
    words.press_sequentially("cup")
    before = ink(page)
    words.press("Control+z")  # belongs to the text
    assert ink(page) == before


def test_pen_is_back_after_clear_and_line_width_changes_the_line(visit):
    page = visit()
    draw(page, LINE)
    thin = ink(page)
    page.get_by_role("button", name="Eraser").click()
    draw(page, [(0.4, 0.4), (0.4, 0.6)])
    assert 0 < ink(page) < thin
    page.get_by_role("button", name="Clear").click()
    assert ink(page) == 0 and page.locator(".hint").is_visible()
    draw(page, LINE)
    assert ink(page) == pytest.approx(thin, rel=0.02)
    page.get_by_label("Line width").fill("28")
    draw(page, [(0.2, 0.8), (0.8, 0.8)])
    assert ink(page) > 4 * thin
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Undo").click()
    assert ink(page) > 4 * thin


def test_everything_can_be_done_with_the_keyboard(visit):
    page = visit()
    page.locator("canvas").focus()
    for key in ("Space", *["ArrowRight"] * 5, *["ArrowDown"] * 3, "Space"):
        page.keyboard.press(key)
    assert said(page) == "Pen up."
    drawn = ink(page)
    assert drawn > 500
    wait_for_status(page, "The best 12")
    page.keyboard.press("ArrowLeft")  # with the pen up nothing is drawn
    assert ink(page) == drawn
    width = page.get_by_label("Line width").input_value()
    page.keyboard.press("]")
    assert int(page.get_by_label("Line width").input_value()) == int(width) + 2
    page.keyboard.press("e")
    assert page.get_by_role("button", name="Eraser").get_attribute("aria-pressed") == "true"
    page.keyboard.press("p")
    page.keyboard.press("Delete")
    assert ink(page) == 0
    page.keyboard.press("Control+z")
    assert ink(page) == drawn


def test_link_holds_the_drawing_and_png_is_it(visit):
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    draw(page, ellipse())
    draw(page, LINE)
    wait_for_status(page, "The best 12")
    page.get_by_role("button", name="Link").click()
    page.locator("#canvas .said", has_text="The link is copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.locator(".link").input_value() and len(link) < 400
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    picture = Image.open(download.value.path())
    assert download.value.suggested_filename == "drawing.png" and picture.size == (1024, 1024)
    saved = np.asarray(picture.convert("L").reduce(2)) < 128
    assert (saved & dark(page)).sum() > 0.9 * (saved | dark(page)).sum()
    other = visit(link=link)
    other.locator("#canvas .said", has_text="came with the link").wait_for()
    wait_for_status(other, "The best 12")
    one, two = dark(page), dark(other)
    assert (one & two).sum() > 0.9 * (one | two).sum()
    other.get_by_role("button", name="Undo").click()
    assert ink(other) == 0


def packed(*numbers):
    return base64.urlsafe_b64encode(bytes(numbers)).decode().rstrip("=")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2.BwE", "damaged"),  # another version
        ("1.", "damaged"),
        ("1.<script>", "damaged"),
        (f"1.{packed(7, 2, 20, 20, 4)}", "cut off"),
        (f"1.{packed(0, 1, 20, 20)}", "damaged"),  # no width
        (f"1.{packed(7, 1, 20, 255, 255, 1)}", "damaged"),  # beyond the canvas
        (f"1.{packed(7, 1, 1, 20)}", "damaged"),  # before it
        (f"1.{packed(7, 255, 255, 255, 255)}", "damaged"),  # a number without end
        (f"1.{packed(*[7, 1, 20, 20] * 450)}", "damaged"),  # too many strokes
        ("1." + "A" * 7000, "too long"),
    ],
)
def test_link_that_was_made_up_is_refused_with_a_reason(fresh_page, text, reason):
    fresh_page.evaluate("text => { location.hash = '#drawing=' + text }", text)
    line = fresh_page.locator("#canvas .said", has_text="cannot be shown")
    line.wait_for()
    assert reason in line.inner_text() and ink(fresh_page) == 0
    fresh_page.evaluate(
        "() => { location.hash = ''; document.querySelector('#canvas .said').textContent = '' }"
    )


@pytest.fixture(scope="module")
def fresh_page(browser, address):
    """One blank page for all bad links."""
    page = browser.new_page()
    page.goto(address)
    page.locator(".photo").first.wait_for()
    yield page
    page.close()


def test_drawing_that_is_too_large_for_a_link_is_saved_instead(visit):
    page = visit()
    page.evaluate(
        """() => { const canvas = document.querySelector("canvas"), box = canvas.getBoundingClientRect();
        canvas.setPointerCapture = () => {}; canvas.hasPointerCapture = () => true;
        const send = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, { isPrimary: true, button: 0,
          pointerId: 1, clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
        for (let i = 0; i < 450; i++) { send("pointerdown", Math.random(), Math.random());
          send("pointermove", Math.random(), Math.random()); send("pointerup", 0, 0); } }"""
    )
    page.get_by_role("button", name="Link").click()
    assert "Save it as PNG instead" in said(page) and page.locator(".link").is_hidden()
