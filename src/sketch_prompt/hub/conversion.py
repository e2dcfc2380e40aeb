"""Moved to `sketch_prompt.models.conversion`."""

from ..models.conversion import from_reference, load_reference_checkpoint

__all__ = ["from_reference", "load_reference_checkpoint"]
