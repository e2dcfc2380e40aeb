"""A photo that somebody clicked, in a browser: large, with its file, beside its explanation; and further photos."""

from PIL import Image

from space.hand import draw, ellipse, found, wait_for_status


def test_photo_opens_large_with_its_path_and_its_file(visit, catalogue):
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    draw(page, ellipse())
    wait_for_status(page, "The best 12")
    page.locator(".photo").nth(1).click()
    page.locator("#why svg.matches").wait_for()
    large, why = (page.locator(part).bounding_box() for part in (".opened .large", ".opened .why"))
    assert large["width"] > 400 and why["x"] > large["x"] + large["width"] and abs(why["y"] - large["y"]) < 5
    path = page.locator(".path").inner_text()
    with catalogue.open(catalogue.methods[0], catalogue.main, None) as gallery:
        file = gallery.root / path
        assert file.is_file() and file.is_relative_to(gallery.root) and str(file) == path
    page.get_by_role("button", name="Copy path").click()
    page.get_by_text("The path is copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == path
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == file.name
    with open(download.value.path(), "rb") as saved:
        assert saved.read() == file.read_bytes()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Open").click()
    popup.value.wait_for_load_state()
    assert popup.value.evaluate("document.images[0].naturalWidth") == Image.open(file).width
    assert file.name not in popup.value.url and "minisketch" not in popup.value.url
    page.keyboard.press("ArrowRight")
    page.locator("#why h3", has_text=found(page)[2]).wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.wait_for_function("document.activeElement === document.querySelectorAll('.photo')[2]")


def test_more_photos_come_with_scrolling_until_all_are_there(visit):
    page = visit()
    page.get_by_role("button", name="fish").first.click()
    wait_for_status(page, "The best 12")
    for count in (24, 36):
        page.mouse.move(900, 500)
        page.mouse.wheel(0, 5000)
        page.wait_for_function("n => document.querySelectorAll('.photo').length >= n", arg=count)
    scores = [float(score.inner_text()) for score in page.locator(".photo .score").all()]
    assert scores == sorted(scores, reverse=True)
    ids = page.evaluate("[...document.querySelectorAll('.photo')].map(photo => photo.dataset.photo)")
    assert len(set(ids)) == len(ids)
    labels = page.evaluate("[...document.querySelectorAll('.photo')].map(photo => photo.ariaLabel)")
    assert len(set(labels)) == len(labels)
    page.get_by_role("button", name="Clear").click()
    wait_for_status(page, "Nothing is drawn yet")
    page.wait_for_function("document.querySelectorAll('.photo').length == 12")
    assert page.get_by_text("Show more photos").is_hidden()
