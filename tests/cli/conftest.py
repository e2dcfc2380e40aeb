"""A folder of photos."""

from fakes.photos import photos

__all__ = ["photos"]
