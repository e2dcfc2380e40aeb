"""The addresses of photos: what they give, and that nothing else can be had by them."""

import io

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from sketch_prompt.data.reading import UnreadableImageError
from sketch_prompt.space import open_photos
from sketch_prompt.space.open_photos import OpenPhotos
from sketch_prompt.space.own_photos import OwnPhotos
from space.uploads import encoded, photo


@pytest.fixture
def photos():
    return OpenPhotos()


@pytest.fixture
def client(photos):
    return TestClient(Starlette(routes=[photos.route()]))


def test_photo_is_shown_and_saved_as_it_is(photos, client):
    content = encoded(photo("cup"))
    address = photos.address("über 1.jpg", lambda: content)
    shown, saved = client.get(address), client.get(f"{address}?download")
    assert shown.content == saved.content == content
    assert shown.headers["content-type"] == saved.headers["content-type"] == "image/jpeg"
    assert shown.headers["content-disposition"] == "inline; filename*=UTF-8''%C3%BCber%201.jpg"
    assert saved.headers["content-disposition"].startswith("attachment;")


def test_format_that_browsers_do_not_show_is_shown_as_jpeg_and_saved_as_it_is(photos, client):
    content = encoded(photo("cup"), "TIFF")
    address = photos.address("a.tif", lambda: content)
    shown, saved = client.get(address), client.get(f"{address}?download")
    assert shown.headers["content-type"] == "image/jpeg" and "a.jpg" in shown.headers["content-disposition"]
    assert Image.open(io.BytesIO(shown.content)).size == photo("cup").size
    assert saved.content == content and saved.headers["content-type"] == "application/octet-stream"


def test_photo_can_do_nothing_in_the_browser_and_no_other_site_can_show_it(photos, client):
    headers = client.get(photos.address("a.jpg", lambda: encoded(photo("cup")))).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "sandbox" in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "address", ["photo/x", "photo/", "photo/../a.jpg", "photo/0", "photo/%2e%2e%2fetc%2fpasswd"]
)
def test_address_that_nobody_was_given_gives_nothing(photos, client, address):
    photos.address("a.jpg", lambda: encoded(photo("cup")))
    answer = client.get(address)
    assert answer.status_code == 404 and b"JFIF" not in answer.content


def test_address_says_nothing_about_the_photo_and_is_new_each_time(photos):
    addresses = {photos.address("/home/me/a.jpg", lambda: b"") for _ in range(20)}
    assert len(addresses) == 20 and not any("a.jpg" in address for address in addresses)
    assert all(len(address.split("/")[1]) >= 32 for address in addresses)


def test_file_that_is_no_picture_or_is_gone_is_not_given_out(photos, client):
    def gone():
        raise UnreadableImageError("/home/me/b.jpg", "no such file")

    for read in (lambda: b"root:x:0:0", gone):
        answer = client.get(photos.address("/home/me/b.jpg", read))
        assert answer.status_code == 404 and "/home/me" not in answer.text and "root" not in answer.text


def test_oldest_addresses_end_when_there_are_many(photos, client, monkeypatch):
    monkeypatch.setattr(open_photos, "TICKETS", 2)
    addresses = [photos.address("a.jpg", lambda: encoded(photo("cup"))) for _ in range(3)]
    assert [client.get(address).status_code for address in addresses] == [404, 200, 200]


def test_forgotten_photo_of_a_visitor_is_gone_from_its_address_too(photos, client, tmp_path):
    photo("car").save(tmp_path / "car.jpg")
    own = OwnPhotos()
    own.add([tmp_path / "car.jpg"])
    address = photos.address("car.jpg", own.reader("car.jpg"))
    assert client.get(address).headers["content-type"] == "image/jpeg"
    own.clear()
    assert client.get(address).status_code == 404
