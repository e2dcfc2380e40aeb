"""A long list of pairs to score, in pieces that are finished or not: killed at any moment, it goes on where it was."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from sketch_prompt.atomic import atomic_write


class Piece(NamedTuple):
    """Some pairs.

    Attributes:
        sketches: (S,) sketches.
        photos: (P,) photos, each paired with every sketch; or (S, k), the photos of each sketch.
    """

    sketches: np.ndarray
    photos: np.ndarray

    @property
    def pairs(self) -> int:
        """How many there are."""
        return self.photos.size * (len(self.sketches) if self.photos.ndim == 1 else 1)


class ScoringJob:
    """Scores of pieces, each computed once.

    Args:
        pieces: what to score.
        score: the scores of a piece, (S, P) or (S, k).
        folder: where finished pieces are kept; None keeps them in memory, and nothing survives the process.
        accelerator: shares the pieces among processes.
        progress: show a bar with pairs a second and the time left on stderr (of the first process).
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        score: Callable[[Piece], np.ndarray],
        folder: Path | None = None,
        accelerator: Accelerator | None = None,
        progress: bool = True,
    ):
        self.pieces, self.score, self.accelerator, self.progress = pieces, score, accelerator, progress
        self.folder = None if folder is None else folder / f"scores-{_digest(pieces)}"
        self._scores: dict[int, np.ndarray] = {}

    @property
    def pairs(self) -> int:
        """How many pairs there are in all."""
        return sum(piece.pairs for piece in self.pieces)

    def run(self) -> Iterator[tuple[Piece, np.ndarray]]:
        """Score what is not scored yet; then every piece with its scores, in order."""
        process, processes = 0, 1
        if self.accelerator is not None:
            process, processes = self.accelerator.process_index, self.accelerator.num_processes
        missing = [number for number in range(len(self.pieces)) if not self._is_done(number)]
        done = self.pairs - sum(self.pieces[number].pairs for number in missing)
        hidden = not self.progress or process > 0
        with tqdm(
            desc="Scoring pairs", total=self.pairs, initial=done, unit="pair", unit_scale=True, disable=hidden
        ) as bar:
            for number in missing[process::processes]:
                self._keep(number, self.score(self.pieces[number]))
                # the processes work at the same pace, so the first one's bar speaks for all
                bar.update(min(processes * self.pieces[number].pairs, self.pairs - bar.n))
        if processes > 1:
            self.accelerator.wait_for_everyone()
            for scores in gather_object([self._scores]):
                self._scores |= scores
        return ((piece, self._read(number)) for number, piece in enumerate(self.pieces))

    def _is_done(self, number: int) -> bool:
        return self.folder is not None and self._path(number).is_file()

    def _keep(self, number: int, scores: np.ndarray) -> None:
        if self.folder is None:
            self._scores[number] = scores
            return
        with atomic_write(self._path(number)) as temporary:
            np.save(temporary, scores)

    def _read(self, number: int) -> np.ndarray:
        return self._scores[number] if self.folder is None else np.load(self._path(number))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.npy"


def _digest(pieces: Sequence[Piece]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for piece in pieces:
        for numbers in piece:
            digest.update(repr(numbers.shape).encode() + np.ascontiguousarray(numbers, np.int64).tobytes())
    return digest.hexdigest()
