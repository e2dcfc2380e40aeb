"""What people need who see little, use no mouse, or have only a small screen."""

import pytest

from space.hand import wait_for_status

# Things to press that a finger may miss, less those in a line of text.
SMALL_TARGETS = """() => [...document.querySelectorAll("button, a, input, [role=listbox]")]
  .filter((e) => e.offsetParent && !e.disabled)
  .map((e) => [e, (e.type === "checkbox" ? e.closest("label") : e).getBoundingClientRect()])
  .filter(([e, box]) => box.width && (box.height < 43.5 || box.width < 43.5))
  .map(([e, box]) => `${e.tagName} ${e.ariaLabel || e.innerText || e.type} ${box.width} x ${box.height}`)"""


def violations(page):
    """What axe finds that matters, by its rule and the element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install -e '.[dev]'")
    found = axe.Axe().run(page).response["violations"]
    return [
        (rule["id"], rule["impact"], [node["target"] for node in rule["nodes"]])
        for rule in found
        if rule["impact"] not in ("minor", None)
    ]


@pytest.mark.parametrize(
    ("width", "height", "scheme"),
    [(1280, 900, "light"), (1280, 900, "dark"), (390, 844, "light"), (390, 844, "dark")],
)
def test_axe_finds_nothing_and_a_finger_hits_everything(visit, width, height, scheme):
    page = visit(width, height, color_scheme=scheme)
    page.get_by_role("button", name="umbrella").first.click()
    wait_for_status(page, "The best 12")
    assert violations(page) == []
    assert page.evaluate(SMALL_TARGETS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".photo").first.click()
    page.locator("#why svg.matches").wait_for()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_happens_is_said_and_every_part_has_a_name_of_its_own(visit):
    page = visit()
    for part in ("#status", "#own-status"):
        live = page.evaluate("s => document.querySelector(s + ' [aria-live=polite]') !== null", part)
        assert live, part
    names = page.evaluate(
        "[...document.querySelectorAll('button')].map(b => b.ariaLabel || b.innerText.trim() || "
        "b.querySelector('img')?.alt).filter(Boolean)"
    )
    assert len(set(names)) == len(names)
    assert page.title() == "sketch-prompt: you draw, it finds the photo"
