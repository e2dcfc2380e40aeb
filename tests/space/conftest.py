"""The page, and a browser to use it with."""

import shutil

import pytest

from fakes.page import address, catalogue, whole_address, whole_catalogue

__all__ = ["address", "browser", "catalogue", "visit", "whole_address", "whole_catalogue"]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or your system's package of it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Opens the page in a window of a given size; whatever goes wrong in the browser is collected and must be none."""
    problems, contexts, served = [], [], [address]

    def open_page(width=1280, height=900, link=None, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda line: line.type == "error" and problems.append(line.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda answer: answer.status >= 400 and problems.append(answer.url))
        page.on("request", lambda request: is_elsewhere(request.url) and problems.append(request.url))
        served.append((link or address).partition("#")[0])
        page.goto(link or address)
        page.locator(".photo").first.wait_for()
        return page

    def is_elsewhere(url):
        return not url.startswith((*served, "data:", "blob:"))

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
