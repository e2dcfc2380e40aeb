"""The page on a small MiniSketch gallery."""

import pytest


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory):
    from sketch_prompt.space.catalogue import Catalogue

    catalogue = Catalogue(cache_dir=tmp_path_factory.mktemp("cache"), photos_per_class=3)
    catalogue.prepare()
    return catalogue


@pytest.fixture(scope="session")
def address(catalogue):
    """Where the page is served."""
    pytest.importorskip("gradio", reason="the page needs gradio: pip install -e '.[space]'")
    from sketch_prompt.space.page import launch_page

    address, page = launch_page(catalogue, "127.0.0.1")
    yield address
    page.close()
