"""The recipe and the data of the training's own tests."""

from training.conftest import recipe, sketch_folder, tiny_clip

__all__ = ["recipe", "sketch_folder", "tiny_clip"]
