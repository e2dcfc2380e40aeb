"""A tiny recipe and what it needs."""

from fakes.recipes import recipe, sketch_folder, tiny_clip

__all__ = ["recipe", "sketch_folder", "tiny_clip"]
