"""MiniSketch, the embedded data set: procedural objects as paired photos and sketches."""

from .builder import MiniSketchBuilder, load_mini
from .generator import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch

__all__ = ["SEEN_CLASSES", "UNSEEN_CLASSES", "MiniSketch", "MiniSketchBuilder", "load_mini"]
