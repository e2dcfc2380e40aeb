"""What a web site, or a script in place of a browser, can do to the page: search as a visitor does, nothing else."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from fakes.page import address, catalogue

__all__ = ["address", "catalogue"]


def request(address, method, path, body=None, **headers):
    connection = http.client.HTTPConnection(urlsplit(address).hostname, urlsplit(address).port, timeout=60)
    connection.request(method, path, body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def called(address, *values):
    """What the page's search answers to these values of drawing, text, weight, method, gallery and state."""
    _, body = request(address, "POST", "/gradio_api/call/search", json.dumps({"data": values}))
    return request(address, "GET", f"/gradio_api/call/search/{json.loads(body)['event_id']}")[1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""])
def test_a_page_of_this_machine_answers_to_no_other_name(address, host):
    for path in ("/", "/config", "/gradio_api/info"):
        status, body = request(address, "GET", path, Host=host)
        assert status == 400 and body == "Invalid host header"


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1", "LOCALHOST"])
def test_it_answers_to_this_machines_names(address, host):
    assert request(address, "GET", "/config", Host=host)[0] == 200


def test_a_page_that_is_served_to_others_answers_to_every_name():
    from sketch_prompt.space.page import _allow_own_names

    assert _allow_own_names("0.0.0.0") == [] and len(_allow_own_names("127.0.0.1")) == 1


def test_whatever_a_script_sends_is_answered_with_a_message(address, catalogue):
    method = catalogue.methods[0]
    for values in (
        ("", "a red chair", None, method, "minisketch", None),
        ("", "half a character \ud83d", 0.5, method, "minisketch", None),
        ("data:image/png;base64,AAAA", "", 0.5, method, "minisketch", None),
        ("", "a cup", 0.5, "nonsense", "minisketch", None),
        ("", "a cup", 0.5, [method], {"minisketch": 1}, None),
    ):
        answer = called(address, *values)
        assert "event: complete" in answer and "Traceback" not in answer, answer[:300]


@pytest.mark.parametrize(
    "path",
    [
        "/photo/0",
        "/photo/..%2f..%2f..%2fetc%2fpasswd",
        "/photo//etc/passwd",
        "/preview.png/../../page.py",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../pyproject.toml",
    ],
)
def test_no_file_is_served_by_its_path(address, path):
    status, body = request(address, "GET", path)
    assert status in (403, 404) and "root:" not in body and "sketch_prompt" not in body


def test_photos_and_page_answer_to_no_other_name_and_load_nothing_from_elsewhere(address):
    assert request(address, "GET", "/photo/x", Host="evil.example")[0] == 400
    connection = http.client.HTTPConnection(urlsplit(address).hostname, urlsplit(address).port, timeout=60)
    connection.request("GET", "/")
    answer = connection.getresponse()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "https:" not in policy
    page = answer.read().decode()
    assert 'content="Gradio"' not in page and "sketch-prompt: you draw, it finds the photo" in page
