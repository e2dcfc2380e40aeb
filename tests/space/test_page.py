"""The page in a browser. `visit` also fails on console errors, failed requests and requests to other hosts."""

import os

from PIL import Image

from space.hand import draw, ellipse, found, ink, wait_for_status
from space.uploads import encoded, photo


def file(name, content, kind="image/jpeg"):
    return {"name": name, "mimeType": kind, "buffer": content}


def upload_photos(page, files):
    page.locator("#own input[type=file]").set_input_files(files)
    page.locator("#own-status", has_text="photos added").wait_for()


def test_drawing_with_the_mouse_finds_photos_and_a_click_explains_one(visit):
    page = visit()
    wait_for_status(page, "Nothing is drawn yet")
    draw(page, ellipse())
    wait_for_status(page, "The best 12 of 144 photos")
    first = found(page)
    draw(page, [(0.5, 0.3), (0.5, 0.95)])
    draw(page, [(0.3, 0.95), (0.7, 0.95)])
    page.wait_for_function(
        "first => [...document.querySelectorAll('.photo .name')].map(n => n.innerText).join() != first",
        arg=",".join(first),
    )
    page.locator(".photo").nth(2).click()
    page.locator("#why h3", has_text=found(page)[2]).wait_for()
    assert page.locator("#why svg.matches rect").count() >= 2
    page.wait_for_function("document.querySelector('#why .rebuilt img').naturalWidth > 0")
    assert page.locator(".photo.chosen").count() == 1


def test_own_photos_are_uploaded_found_and_forgotten(visit):
    page = visit()
    photos = [file(f"my {name}.jpg", encoded(photo(name))) for name in ("umbrella", "car", "bottle")]
    upload_photos(
        page,
        [*photos, file("notes.txt", b"hello", "text/plain"), file("half.jpg", photos[0]["buffer"][:900])],
    )
    assert "3 of 5 photos added." in page.locator("#own-status").inner_text()
    left_out = page.locator("#own-status li").all_inner_texts()
    assert left_out[0] == "notes.txt: not an image, or of an unknown format"
    assert left_out[1].startswith("half.jpg: ") and len(left_out) == 2
    page.get_by_role("button", name="umbrella").first.click()
    wait_for_status(page, "The best 3 of 3")
    assert found(page)[0] == "my umbrella.jpg"
    page.locator(".photo").first.click()
    page.locator("#why h3", has_text="my umbrella.jpg").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("Forget my photos").click()
    wait_for_status(page, "of 144 photos")


def test_own_photos_of_one_visitor_are_not_another_ones(visit):
    first, second = visit(), visit()
    upload_photos(first, [file("mine.jpg", encoded(photo("car")))])
    wait_for_status(first, "all photos there are")
    second.locator("#gallery input").click()
    assert second.get_by_role("option").all_inner_texts() == ["✓\nMiniSketch, pictures of 48 things"]


def test_undo_clear_and_eraser_change_the_drawing(visit):
    page = visit()
    draw(page, ellipse())
    one = ink(page)
    draw(page, [(0.1, 0.1), (0.9, 0.1)])
    assert ink(page) > one > 0
    page.get_by_role("button", name="Undo").click()
    assert ink(page) == one
    page.get_by_role("button", name="Eraser").click()
    draw(page, [(0.1, 0.5), (0.9, 0.5)])
    assert 0 < ink(page) < one
    page.get_by_role("button", name="Clear").click()
    assert ink(page) == 0
    wait_for_status(page, "Nothing is drawn yet")
    page.get_by_role("button", name="Undo").click()
    wait_for_status(page, "The best 12")
    assert ink(page) > 0


def test_words_refine_a_drawing_and_the_weight_says_how_much(visit):
    page = visit()
    page.get_by_role("button", name="fish").first.click()
    wait_for_status(page, "The best 12")
    assert "teapot" not in found(page)[:3]
    page.get_by_label("Add words").fill("a teapot")
    page.locator("#weight input[type=number]").fill("1")
    page.wait_for_function("document.querySelector('.photo .name').innerText == 'teapot'")


def test_example_is_found_and_another_method_searches_it_too(visit):
    page = visit()
    page.get_by_role("button", name="umbrella").first.click()
    wait_for_status(page, "The best 12")
    assert found(page)[0] == "umbrella"
    score = page.locator(".photo .score").first.inner_text()
    page.locator("#method input").click()
    page.get_by_role("option", name="Plain CLIP").click()
    page.wait_for_function(
        "s => ![s, undefined].includes(document.querySelector('.photo .score')?.innerText)", arg=score
    )
    wait_for_status(page, "The best 12")


def test_photo_without_a_drawing_is_shown_with_what_to_do(visit):
    page = visit()
    page.locator(".photo").first.click()
    page.locator("#why .why", has_text="Draw something").wait_for()
    assert page.locator("#why .why").inner_text().startswith("Draw something to see which parts")


def test_upload_that_is_no_picture_is_a_message_and_the_drawing_stays(visit):
    page = visit()
    draw(page, ellipse())
    wait_for_status(page, "The best 12")
    before = ink(page)
    page.locator("#drawing input[type=file]").set_input_files(file("song.mp3", b"ID3", "audio/mpeg"))
    wait_for_status(page, "song.mp3: not an image, or of an unknown format. The drawing stays as it was.")
    assert ink(page) == before


def test_drawing_of_twenty_megabytes_is_searched(visit, tmp_path):
    side = 2600
    noise = Image.frombytes("RGB", (side, side), os.urandom(3 * side * side))
    noise.save(tmp_path / "large.png", compress_level=0)
    assert (tmp_path / "large.png").stat().st_size > 20_000_000
    page = visit()
    page.locator("#drawing input[type=file]").set_input_files(tmp_path / "large.png")
    wait_for_status(page, "The best 12")
    assert ink(page) > 1000


def test_page_is_usable_on_a_phone(visit):
    page = visit(390, 844, has_touch=True, is_mobile=True, color_scheme="dark")
    box = page.locator("canvas").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["width"] > 300
    assert page.locator("[data-tool=pen]").bounding_box()["height"] >= 44
    touch = page.context.new_cdp_session(page)
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ellipse()]
    for number, (x, y) in enumerate(points):
        kind = "touchMove" if number else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_for_status(page, "The best 12")
    assert ink(page) > 300
    assert page.evaluate("scrollY") == 0  # the finger drew and did not scroll
    page.locator(".photo").first.tap()
    page.locator("#why svg.matches").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    below = [page.locator(part).bounding_box()["y"] for part in ("#drawing", "#photos", "#options")]
    assert below == sorted(below)
