"""Whether a search found anything that looks like what was asked for.

A score says little by itself: it depends on the method, and on how many photos there are. So a gallery is asked what
scores it gives when there *is* something to find: to people's drawings of the things that it has photos of, and to
their names. A search whose best photos score lower than nearly all of these is called weak.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.doodles import doodle_classes, read_doodles
from sketch_prompt.data.strokes import rasterize
from sketch_prompt.gallery.gallery import Gallery, Hit

FALSE_ALARMS = 0.05
_BEST = 5  # photos whose mean score counts
_DRAWINGS = 5  # of each thing
_FEWEST_THINGS = 10


@dataclass(frozen=True)
class WeakLimits:
    """Below which strength a search is weak: of the searches for things that are there, a share of `FALSE_ALARMS`.

    Attributes:
        drawing: for a drawing alone.
        words: for words alone; None where the method cannot search by words.
    """

    drawing: float
    words: float | None = None

    def are_weak(self, hits: Sequence[Hit], has_drawing: bool, has_words: bool) -> bool:
        """Whether the first hits of a search are weak; what was asked in both ways is not judged."""
        if not hits or has_drawing == has_words:
            return False
        limit = self.drawing if has_drawing else self.words
        return limit is not None and strength(hits) < limit


def strength(hits: Sequence[Hit]) -> float:
    """How well the best photos match: the mean of their scores."""
    return float(np.mean([hit.score for hit in hits[:_BEST]]))


def find_limits(gallery: Gallery) -> WeakLimits | None:
    """The limits of a gallery; None where too few of its categories are things that there are drawings of."""
    drawn = {class_key(name): name for name in doodle_classes()}
    things = [drawn[class_key(name)] for name in gallery.photos.categories if class_key(name) in drawn]
    if len(things) < _FEWEST_THINGS:
        return None
    drawings = [
        strength(gallery.search(rasterize(doodle.strokes), _BEST))
        for doodle in read_doodles(things, _DRAWINGS)
    ]
    try:
        words = _limit([strength(gallery.search(text=name, top_k=_BEST)) for name in things])
    except ValueError:  # this method's texts and photos are not embedded in one place
        words = None
    return WeakLimits(_limit(drawings), words)


def _limit(strengths: list[float]) -> float:
    return float(np.quantile(strengths, FALSE_ALARMS))
