"""The tiny model, and a folder of photos."""

from fakes.photos import model, photos

__all__ = ["model", "photos"]
