"""A gallery of the user's own photos: embedded once, searched with drawings and texts."""

from .gallery import Gallery

__all__ = ["Gallery"]
