"""The page as it comes, in a browser: real photos, methods in plain words, and what is said while one loads."""

import pytest

from space.hand import draw, ellipse, found, ink, wait_for_status


@pytest.fixture
def page(visit, whole_address):
    return visit(link=whole_address)


def options(page, dropdown):
    page.locator(f"#{dropdown} input").click()
    texts = [text.removeprefix("✓").strip() for text in page.get_by_role("option").all_inner_texts()]
    page.keyboard.press("Escape")
    return texts


def test_examples_are_drawn_as_lines_found_first_and_can_be_changed(page, whole_catalogue):
    for example in whole_catalogue.examples("real-photos"):
        page.get_by_role("button", name=f"Drawing to start from: {example.name}").click()
        page.wait_for_function(
            "name => document.querySelector('.photo .name').innerText == name && document.querySelector('.score')",
            arg=example.name,
        )
    before = ink(page)
    draw(page, ellipse())
    page.get_by_role("button", name="Undo").click()
    assert ink(page) == before
    page.get_by_role("button", name="Link").click()  # lines fit into a link, pictures do not
    assert page.locator(".link").input_value().count("#drawing=1.") == 1


def test_switching_says_what_loads_and_takes_the_old_answer_away(page, whole_catalogue):
    draw(page, ellipse())
    wait_for_status(page, "The best 12 of 120")
    page.locator(".photo").first.click()
    page.locator("#why svg.matches").wait_for()
    page.keyboard.press("Escape")
    assert len(options(page, "method")) == len(whole_catalogue.methods_for("real-photos"))
    page.evaluate(
        """() => { window.said = []; new MutationObserver(() => said.push([document.querySelector("#status").innerText,
        document.querySelectorAll(".photo").length, document.querySelector("#why .body").innerText])).observe(
        document.querySelector("#status"), { childList: true, subtree: true, characterData: true }) }"""
    )
    page.locator("#gallery input").click()
    page.get_by_role("option", name="MiniSketch").click()
    wait_for_status(page, "The best 12 of 144")
    said = page.evaluate("said")
    # It loads unless another test that shares the page's catalogue had it loaded.
    announced = next(line for line, *_ in said if "CLIP-AT" in line)
    assert ("Loading" in announced and "MiniSketch" in announced) or "Searching with" in announced
    assert page.locator("#why .body").inner_text() == ""
    page.get_by_role("button", name="Drawing to start from: umbrella").wait_for()
    assert ink(page) > 0  # the drawing stays when other examples come
    titles = [method.title for method in whole_catalogue.methods_for("minisketch")]
    assert options(page, "method") == titles
    page.get_by_label("Advanced").check()
    every = [method.title for method in whole_catalogue.methods_for("minisketch", advanced=True)]
    page.wait_for_timeout(500)
    assert options(page, "method") == every and len(every) > len(titles)
    assert found(page)
