"""A scoring job whose pieces take a while, for a test that kills it: `python killed_job.py FOLDER SECONDS`."""

import sys
import time
from pathlib import Path

import numpy as np

from sketch_prompt.evaluation.pairwise import Piece, ScoringJob

PIECES = [Piece(np.arange(4) + 4 * i, np.arange(5)) for i in range(12)]


def score(piece: Piece) -> np.ndarray:
    """100 * sketch + photo."""
    return (100.0 * piece.sketches[:, None] + piece.photos).astype(np.float32)


def run(folder: Path, seconds: float) -> tuple[np.ndarray, list[int]]:
    """All scores, and the first sketch of every piece that was scored now."""
    scored = []

    def slowly(piece):
        time.sleep(seconds)
        scored.append(int(piece.sketches[0]))
        return score(piece)

    results = ScoringJob(PIECES, slowly, folder, progress=True).run()
    return np.concatenate([scores for _, scores in results]), scored


if __name__ == "__main__":
    run(Path(sys.argv[1]), float(sys.argv[2]))
