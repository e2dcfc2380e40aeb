"""The demo Space: the page of `sketch-prompt demo` on the bundled models."""

from sketch_prompt.space.catalogue import Catalogue
from sketch_prompt.space.page import launch_page

catalogue = Catalogue()
catalogue.prepare()
_, page = launch_page(catalogue)
page.block_thread()
