"""The page on few photos: on MiniSketch alone, and as it comes."""

import pytest


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory):
    """The methods for MiniSketch, and MiniSketch."""
    from sketch_prompt.space.catalogue import Catalogue
    from sketch_prompt.space.methods import bundled_methods

    catalogue = Catalogue(bundled_methods(), cache_dir=_cache(tmp_path_factory), photos_per_class=3)
    catalogue.prepare()
    return catalogue


@pytest.fixture(scope="session")
def whole_catalogue(tmp_path_factory):
    """Everything that is bundled."""
    from sketch_prompt.space.catalogue import Catalogue

    catalogue = Catalogue(cache_dir=_cache(tmp_path_factory), photos_per_class=3)
    catalogue.prepare()
    return catalogue


@pytest.fixture(scope="session")
def address(catalogue):
    """Where the page on MiniSketch is served."""
    yield from _serve(catalogue)


@pytest.fixture(scope="session")
def whole_address(whole_catalogue):
    """Where the page is served as it comes."""
    yield from _serve(whole_catalogue)


def _cache(tmp_path_factory):
    """One folder for both, so that the pictures of MiniSketch are drawn once."""
    return tmp_path_factory.getbasetemp() / "page"


def _serve(catalogue):
    pytest.importorskip("gradio", reason="the page needs gradio: pip install -e '.[space]'")
    from sketch_prompt.space.page import launch_page

    address, page = launch_page(catalogue, "127.0.0.1")
    yield address
    page.close()
