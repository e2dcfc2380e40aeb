"""`quickdraw-caltech`, the bundled benchmark of real drawings and real photos."""

from .builder import SEEN_CLASSES, UNSEEN_CLASSES, QuickDrawCaltechBuilder

__all__ = ["SEEN_CLASSES", "UNSEEN_CLASSES", "QuickDrawCaltechBuilder"]
