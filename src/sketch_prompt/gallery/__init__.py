"""A gallery of the user's own photos: embedded once, searched by drawings and words."""

from .gallery import Gallery

__all__ = ["Gallery"]
