"""The model and the photos of the gallery's own tests."""

from fakes.photos import model, photos

__all__ = ["model", "photos"]
