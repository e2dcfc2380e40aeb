import re
from html.parser import HTMLParser

from PIL import Image
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from sketch_prompt.space.head import DESCRIPTION, ICON, TITLE, OwnHead, asset_path, preview_route

GRADIOS = (
    '<html><head><meta property="og:title" content="Gradio" />\n<meta\n property="og:image"\n '
    'content="https://x.y/z.jpg"\n/><meta name="twitter:creator" content="@Gradio" /></head><body>é</body></html>'
)


class Metas(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "meta":
            fields = dict(attrs)
            self.found.append((fields.get("property") or fields.get("name"), fields.get("content")))


def client(**options):
    routes = [
        Route("/", lambda request: HTMLResponse(GRADIOS)),
        Route("/text", lambda request: PlainTextResponse("as it is")),
        preview_route(),
    ]
    return TestClient(OwnHead(Starlette(routes=routes)), **options)


def test_page_describes_itself_and_not_gradio():
    answer = client(base_url="http://127.0.0.1:7860").get("/")
    metas = dict(Metas(answer.text).found)
    assert metas["og:title"] == TITLE and metas["og:description"] == metas["description"] == DESCRIPTION
    assert metas["og:image"] == "http://127.0.0.1:7860/preview.png"
    assert (
        "Gradio" not in answer.text and "x.y" not in answer.text and answer.text.endswith("é</body></html>")
    )
    assert len(Metas(answer.text).found) == len(metas)


def test_preview_and_icon_are_small_pictures_of_the_usual_size():
    answer = client().get("/preview.png")
    assert answer.headers["content-type"] == "image/png" and len(answer.content) < 150_000
    assert Image.open(asset_path("preview.png")).size == (1200, 630)
    icon = Image.open(asset_path(ICON))
    assert icon.size == (192, 192)


def test_addresses_follow_the_proxy_and_names_cannot_break_out():
    answer = client(base_url="http://a.b").get(
        "/", headers={"x-forwarded-proto": "https", "host": 'x"><script>'}
    )
    assert "<script>" not in answer.text
    assert re.search(r'og:image" content="https://x&quot;', answer.text)


def test_page_loads_nothing_from_elsewhere_but_in_a_space(monkeypatch):
    policy = client().get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy and "http" not in policy
    assert "content-security-policy" not in client().get("/text").headers
    assert client().get("/text").text == "as it is"
    monkeypatch.setenv("SPACE_ID", "me/space")
    assert "content-security-policy" not in client().get("/").headers
