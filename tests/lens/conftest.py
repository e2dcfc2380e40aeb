"""A tiny CLIP on disk."""

from fakes.recipes import tiny_clip

__all__ = ["tiny_clip"]
