"""The lens in closed form: ridge regression from sketches to targets, with the identity as prior.

With X = Q - m the centred sketches (n, D) and Y their targets, W minimises

    ||X W - Y||^2 / n + lambda t ||W - s I||^2,     t = tr(X'X / n) / D,     s = rms(Y) / rms(X),

so W = (X'X / n + lambda t I)^-1 (X'Y / n + lambda t s I). As lambda grows, W becomes s I: only centring.
The targets are centred, too. This does not change any ranking: subtracting c from all photos p changes
(q - m) W . p by the same amount for every photo.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .lens import Lens
from .sums import MEAN_ONLY, LensSums
from .validation import Validation

PENALTIES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, math.inf)
"""The lambdas to choose from. Infinity is only centring."""
MIN_GROUPS = 20
"""With fewer groups, only centring is used: there is too little data for a map and for the choice of lambda."""
N_FOLDS = 10

_SAME = 1e-9
_NOT_EARNED = (
    "On held-out groups, no map was better than centring by two standard errors: this lens centres queries and "
    "does not map them."
)


class ClassTargets:
    """One target for each class: the mean feature of its photos, its text, or both.

    y_c = normalise(normalise(p_c - mean p) + normalise(t_c - mean t)), with means over the classes that are fitted. A
    summand that is not given for a class is left out.

    Example:
        >>> targets = ClassTargets(photos=torch.tensor([[1.0, 0.0], [0.0, 1.0], [math.nan, math.nan]]))
        >>> targets.known().tolist()
        [True, True, False]

    Args:
        photos: (C, D) mean photo feature of each class, NaN if it has no photo. None without photos.
        texts: (C, D) text features of the classes. None without texts.
    """

    def __init__(self, photos: Tensor | None = None, texts: Tensor | None = None):
        self._parts = [part.to("cpu", torch.float64) for part in (photos, texts) if part is not None]
        if not self._parts:
            raise ValueError("targets of classes are made of photos, texts or both: give one of them")

    def known(self) -> Tensor:
        """(C,) whether a class has a target."""
        return torch.stack([part.isfinite().all(1) for part in self._parts]).any(0)

    def directions(self, used: Tensor) -> Tensor:
        """(C, D) targets, centred by the classes `used` (C,). 0 for a class without target."""
        total = torch.zeros_like(self._parts[0])
        for part in self._parts:
            there = part.isfinite().all(1)
            part = torch.where(there[:, None], part, 0.0)
            centred = part - part[used & there].mean(0) if (used & there).any() else part
            total += torch.where(there[:, None], _normalize(centred), 0.0)
        return _normalize(total)


class InstanceTargets:
    """The target of a sketch is the photo that it draws. Both are residuals: the mean of their class is subtracted.

    Example:
        >>> InstanceTargets([0, 0, 1]).known().tolist()  # three photos of two classes
        [True, True, True]

    Args:
        classes: (C,) the class of each group.
    """

    def __init__(self, classes: Tensor | Sequence[int]):
        self.classes = torch.as_tensor(classes, dtype=torch.int64)

    def known(self) -> Tensor:
        """(C,) True, as every group has targets."""
        return torch.ones(len(self.classes), dtype=torch.bool)


Targets = ClassTargets | InstanceTargets


def group_folds(names: Sequence[str], known: Tensor, n_folds: int = N_FOLDS) -> Tensor:
    """Assign groups (C,) to folds for cross-validation. The folds depend only on the names, not on their order.

    Args:
        names: C different names.
        known: (C,) groups without a target get `MEAN_ONLY`.
        n_folds: Number of folds, of nearly equal numbers of groups.
    """
    folds = torch.full((len(names),), MEAN_ONLY)
    rows = [row for row in range(len(names)) if known[row]]
    rows.sort(key=lambda row: (hashlib.blake2b(names[row].encode(), digest_size=8).digest(), names[row]))
    for rank, row in enumerate(rows):
        folds[row] = rank % n_folds
    return folds


def fit_lens(
    sums: LensSums,
    targets: Targets | None,
    validation: Validation | None = None,
    penalty: float | None = None,
    penalties: Sequence[float] = PENALTIES,
) -> Lens:
    """Fit m, W and, by cross-validation over groups, lambda.

    The largest lambda is chosen that is not worse than the best one by two standard errors (paired, over groups). So
    only centring is used unless a map is clearly better. Nothing is random. Groups without sketches are ignored.

    Args:
        sums: Sums over the sketches of all processes.
        targets: What sketches are mapped to. None for only centring.
        validation: Held-out sketches and what they search, needed to choose lambda.
        penalty: Lambda, instead of choosing it.
        penalties: The lambdas to choose from.

    Raises:
        ValueError: There are fewer than two drawings, they all look the same to the CLIP, `penalty` is not positive,
            or lambda is to be chosen without `validation`.
    """
    drawings = sums.drawings
    if drawings < 2:
        raise ValueError(f"a lens is fitted on many drawings (some hundred are good), not on {drawings}")
    mean = sums.mean
    _check_spread(sums)
    if penalty is not None and not penalty > 0:
        raise ValueError(f"the penalty lambda must be above 0, not {penalty}")
    if targets is None:
        return Lens(mean, None, math.inf, drawings=drawings)
    folds = torch.where(sums.counts > 0, sums.folds, MEAN_ONLY)
    used = folds != MEAN_ONLY
    groups = int(used.sum())
    if groups < (2 if penalty is not None else MIN_GROUPS):
        note = (
            f"There are drawings and targets of only {groups} classes: a map that carries over to others takes "
            f"{MIN_GROUPS}, so this lens centres queries and does not map them."
        )
        return Lens(mean, None, math.inf, drawings=drawings, groups=groups, notes=(note,))
    scores: dict[float, float] = {}
    if penalty is None:
        if validation is None:
            raise ValueError("lambda is chosen on held-out groups: give validation=, or penalty=")
        penalty, scores = _choose(sums, folds, targets, validation, penalties)
    map = _Equations.of(sums, targets, used).solve(penalty)
    notes = (_NOT_EARNED,) if scores and map is None else ()
    return Lens(mean, map, penalty if map is not None else math.inf, scores, drawings, groups, notes)


def _normalize(rows: Tensor) -> Tensor:
    """Rows with L2 norm 1. Rows that are 0 up to rounding, as for classes that are all the same, become 0."""
    norms = rows.norm(dim=1, keepdim=True)
    return torch.where(norms > 1e-6, rows / norms.clamp_min(1e-6), 0.0)


def _check_spread(sums: LensSums) -> None:
    total = sums.counts.sum()
    squares = sums.squared_norms.sum() / total
    if squares - sums.mean.square().sum() < _SAME * squares:
        raise ValueError(
            "the drawings all look the same to this CLIP: are they blank, or drawn in white? "
            "Drawings are dark lines on a light ground."
        )


class _Equations(NamedTuple):
    """X'X / n, X'Y / n and tr(Y'Y) / n of the groups in use, and the mean of their sketches."""

    mean: Tensor
    gram: Tensor
    cross: Tensor
    squares: float

    @classmethod
    def of(cls, sums: LensSums, targets: Targets, used: Tensor) -> "_Equations":
        total = sums.counts[used].sum()
        folds = sums.folds[used].unique().tolist()
        gram = sum(sums.grams[fold] for fold in folds)
        sketches, counts = sums.sketches * used[:, None], sums.counts * used
        mean = sketches.sum(0) / total
        if isinstance(targets, ClassTargets):
            aims = targets.directions(used)
            gram = gram - total * torch.outer(mean, mean)
            cross = (sketches - counts[:, None] * mean).T @ aims
            squares = counts @ aims.square().sum(1)
        else:
            classes = int(targets.classes.max()) + 1

            def by_class(values: Tensor) -> Tensor:
                return values.new_zeros(classes, *values.shape[1:]).index_add_(0, targets.classes, values)

            numbers = by_class(counts).clamp_min(1e-300)[:, None]
            centres, partners = by_class(sketches), by_class(sums.partners * used[:, None])
            gram = gram - centres.T @ (centres / numbers)
            cross = sum(sums.crosses[fold] for fold in folds) - centres.T @ (partners / numbers)
            squares = sums.squares[folds].sum() - (partners.square() / numbers).sum()
        return cls(mean, gram / total, cross / total, float(squares / total))

    def solve(self, penalty: float) -> Tensor | None:
        """(D, D) W. None if it is the identity: lambda is infinite, or the targets are all the same."""
        if math.isinf(penalty) or not self._is_informative():
            return None
        ridge, scale = self._ridge_and_scale()
        pull = penalty * ridge * torch.eye(len(self.gram), dtype=torch.float64)
        return torch.linalg.solve(self.gram + pull, self.cross + scale * pull, left=True)

    def similarities(self, queries: Tensor, photos: Tensor, penalties: Sequence[float]) -> Iterator[Tensor]:
        """(N, M) float32 inner products of mapped queries and photos, for each penalty in turn.

        X'X is decomposed once, and photos are rotated instead of queries. This leaves one product for each penalty.

        Args:
            queries: (N, D) float64, centred.
            photos: (M, D) float32.
            penalties: The lambdas.
        """
        plain = queries.float() @ photos.T
        if not self._is_informative():
            yield from (plain for _ in penalties)
            return
        ridge, scale = self._ridge_and_scale()
        values, vectors = torch.linalg.eigh(self.gram)
        # Float32 is enough to rank a few photos with.
        values, turned = values.clamp_min(0), (queries @ vectors).float()
        aims, same = (vectors.T @ self.cross).float() @ photos.T, vectors.T.float() @ photos.T
        for penalty in penalties:
            if math.isinf(penalty):
                yield plain
                continue
            pull = penalty * ridge
            yield (turned / (values + pull).float()) @ torch.add(aims, same, alpha=float(scale * pull))

    def _is_informative(self) -> bool:
        return bool(self.gram.diagonal().sum() > _SAME) and self.squares > _SAME

    def _ridge_and_scale(self) -> tuple[Tensor, float]:
        power = self.gram.diagonal().sum()
        return power / len(self.gram), math.sqrt(self.squares / power)


def _choose(
    sums: LensSums, folds: Tensor, targets: Targets, validation: Validation, penalties: Sequence[float]
) -> tuple[float, dict[float, float]]:
    """The penalty to fit with, see `fit_lens`, and the score of each penalty."""
    penalties = sorted({*penalties, math.inf})
    blocks = len(sums.grams)
    totals, rounds = [], []
    for first in range(blocks):
        # Two blocks at a time: every group is held out twice, among different others.
        held_out = (folds == first) | (folds == (first + 1) % blocks)
        used = ~held_out & (folds != MEAN_ONLY)
        equations = _Equations.of(sums, targets, used)
        directions = targets.directions(used) if isinstance(targets, ClassTargets) else None
        search = validation.without(held_out, directions)
        queries = search.queries - equations.mean
        scores = [
            search.scores(similar) for similar in equations.similarities(queries, search.photos, penalties)
        ]
        totals.append(torch.stack(scores).nan_to_num(0))
        rounds.append(scores[0].isfinite())
    times = torch.stack(rounds).sum(0)
    scores = (torch.stack(totals).sum(0) / times)[:, times > 0]
    means = scores.mean(1)
    best = int(means.argmax())
    lost = scores[best] - scores
    worse = lost.mean(1) > 2 * lost.std(1) / math.sqrt(scores.shape[1])
    near = [row for row in range(best, len(penalties)) if not worse[row]]
    return penalties[near[-1]], dict(zip(penalties, means.tolist()))
