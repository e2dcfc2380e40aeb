"""A tiny recipe and what it needs, and the page."""

from fakes.page import address, catalogue
from fakes.recipes import recipe, sketch_folder, tiny_clip

__all__ = ["address", "catalogue", "recipe", "sketch_folder", "tiny_clip"]
