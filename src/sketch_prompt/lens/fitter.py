"""Fit a lens from features of drawings, photos and class names, batch by batch."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from sketch_prompt.vocabulary import TargetKind

from .ambiguity import clarity
from .fitting import MIN_GROUPS, ClassTargets, InstanceTargets, Targets, fit_lens, group_folds
from .lens import Lens
from .sums import MEAN_ONLY, FeatureMeans, LensSums
from .validation import Sample, Validation

TARGETS: tuple[TargetKind, ...] = get_args(TargetKind)


def check_targets(targets: str) -> None:
    """Raise a ValueError if `targets` is not one of `TARGETS`."""
    if targets not in TARGETS:
        raise ValueError(f"targets must be one of {', '.join(TARGETS)}, not {targets!r}")


class LensFitter:
    """Fits a lens from sums of features, which are added in batches.

    Add all photos first (if the targets need photos), then all sketches, and then call `fit`.

    Example:
        ```python
        fitter = LensFitter(["cat", "dog"], targets="photos")
        fitter.add_photos(photo_features, photo_labels, range(len(photo_labels)), photo_ids)
        fitter.add_sketches(sketch_features, sketch_labels, range(len(sketch_labels)), sketch_ids)
        model.set_lens(fitter.fit(), "photos", ["cat", "dog"])
        ```

    Args:
        class_names: The C classes of the sketches. Labels are indices into them.
        targets: What sketches are mapped to: "photos" (the mean photo of their class), "text" (the text of their
            class), "both", "instances" (the photo that each sketch draws, within its class) or "none" (only centring).
        texts: (C, D) text features of the classes, for "text" and "both", and for `ambiguity`.
        ambiguity: Give less weight to sketches that look like several classes; see `clarity`.

    Raises:
        ValueError: The targets are unknown, or they need texts that are not given.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        targets: TargetKind = "photos",
        texts: Tensor | None = None,
        ambiguity: bool = False,
    ):
        check_targets(targets)
        if targets in ("text", "both") and texts is None:
            raise ValueError(f"targets={targets!r} needs the texts of the classes")
        if ambiguity and texts is None:
            raise ValueError("how ambiguous a drawing is can only be told with the texts of the classes")
        self._ambiguity_texts = texts if ambiguity else None
        self.class_names, self.targets = list(class_names), targets
        self._texts = texts if targets in ("text", "both") else None
        self._means: FeatureMeans | None = None
        self._photos, self._sketches = Sample(), Sample()
        self._drawn: dict[str, int] = {}
        self._drawn_features: list[Tensor] = []
        self._drawn_labels: list[int] = []
        self._sums: LensSums | None = None

    @property
    def needs_photos(self) -> bool:
        """Whether the targets are made of photos."""
        return self.targets in ("photos", "both", "instances")

    def add_photos(self, features, labels, rows, instance_ids: Sequence[str] | None = None) -> None:
        """Add photos.

        Args:
            features: (B, D)
            labels: (B,) classes of the photos.
            rows: (B,) row numbers of the photos in the data.
            instance_ids: (B,) ids that distinguish the photos of a class, for "instances".

        Raises:
            ValueError: A feature is not finite, or a label is out of range.
        """
        features, labels, rows = torch.as_tensor(features), torch.as_tensor(labels), torch.as_tensor(rows)
        if self._means is None:
            self._means = FeatureMeans(len(self.class_names), features.shape[1])
        self._means.add(features, labels)
        if self.targets != "instances":
            self._photos.add(features, labels, rows)
            return
        for feature, label, instance in zip(features.detach().cpu().float(), labels.tolist(), instance_ids):
            if self._drawn.setdefault(f"{label}/{instance}", len(self._drawn)) == len(self._drawn_labels):
                self._drawn_features.append(feature)
                self._drawn_labels.append(label)

    def add_sketches(self, features, labels, rows, instance_ids: Sequence[str] | None = None) -> None:
        """Add sketches. `instance_ids` name the photos that they draw. Otherwise as `add_photos`."""
        features, labels, rows = torch.as_tensor(features), torch.as_tensor(labels), torch.as_tensor(rows)
        if self._sums is None:
            self._begin_sketches(features.shape[1])
        weights = None
        if self._ambiguity_texts is not None:
            weights = clarity(features, self._ambiguity_texts, labels)
        if self.targets != "instances":
            self._sums.add(features, labels, weights=weights)
            self._sketches.add(features, labels, rows)
            return
        names = [f"{label}/{instance}" for label, instance in zip(labels.tolist(), instance_ids)]
        photos = torch.tensor([self._drawn.get(name, -1) for name in names])
        there = photos >= 0
        groups = torch.where(there, photos if self._by_photo else labels, len(self._sums.folds) - 1)
        partners = torch.zeros_like(features)
        partners[there] = self._all_drawn[photos[there]].to(features)
        self._sums.add(features, groups, partners, weights)
        self._sketches.add(features[there], groups[there], rows[there], photos[there])

    def fit(self, penalty: float | None = None) -> Lens:
        """Fit the lens.

        Args:
            penalty: Lambda. None chooses it on held-out groups.

        Raises:
            ValueError: There are too few drawings; see `fit_lens`.
        """
        if self._sums is None:
            raise ValueError("a lens is fitted on many drawings (some hundred are good), not on 0")
        if self.targets == "none":
            return fit_lens(self._sums, None)
        validation = Validation(
            self._sketches,
            self._photos if self.needs_photos else None,
            self._goal.classes if isinstance(self._goal, InstanceTargets) else None,
        )
        return fit_lens(self._sums, self._goal, validation, penalty)

    def _begin_sketches(self, dim: int) -> None:
        """Compute the targets from the photos, and choose the classes that have any."""
        if self.needs_photos and self._means is None:
            raise ValueError(f"targets={self.targets!r} needs photos")
        if self.targets == "instances":
            self._begin_instances(dim)
            return
        known = torch.zeros(len(self.class_names), dtype=torch.bool)
        self._goal: Targets | None = None
        if self.targets != "none":
            means = self._means.means if self.needs_photos else None
            self._goal = ClassTargets(means, self._texts)
            known = self._goal.known()
        self._sums = LensSums(group_folds(self.class_names, known), dim)

    def _begin_instances(self, dim: int) -> None:
        self._all_drawn = torch.stack(self._drawn_features)
        labels = torch.tensor(self._drawn_labels)
        # With few classes, other photos of the same classes are held out; with many, other classes.
        self._by_photo = len(labels.unique()) < MIN_GROUPS
        numbers = torch.arange(len(labels))
        names = list(self._drawn) if self._by_photo else self.class_names
        classes = labels if self._by_photo else torch.arange(len(names))
        self._photos.add(self._all_drawn, numbers if self._by_photo else labels, numbers, numbers)
        # The last group has the sketches whose photo is missing.
        self._goal = InstanceTargets(torch.cat([classes, classes.new_tensor([int(classes.max()) + 1])]))
        folds = group_folds(names, torch.ones(len(names), dtype=torch.bool))
        self._sums = LensSums(torch.cat([folds, folds.new_tensor([MEAN_ONLY])]), dim, partners=True)


def fit_features(
    sketches: np.ndarray | Tensor,
    labels: Sequence[int],
    class_names: Sequence[str],
    targets: TargetKind = "photos",
    *,
    photos: np.ndarray | Tensor | None = None,
    photo_labels: Sequence[int] | None = None,
    texts: np.ndarray | Tensor | None = None,
    instance_ids: Sequence[str] | None = None,
    photo_instance_ids: Sequence[str] | None = None,
    penalty: float | None = None,
    ambiguity: bool = False,
) -> Lens:
    """Fit a lens to features in memory.

    Args:
        sketches: (N, D) features of drawings.
        labels: (N,) indices into `class_names`.
        class_names: C names.
        targets: See `LensFitter`.
        photos: (M, D) features of photos.
        photo_labels: (M,) indices into `class_names`.
        texts: (C, D) text features of the classes.
        instance_ids: (N,) the photo of its class that each drawing draws.
        photo_instance_ids: (M,) ids of the photos.
        penalty: Lambda. None chooses it on held-out classes.
        ambiguity: See `LensFitter`.

    Raises:
        ValueError: There are too few drawings, or features are not finite.
    """
    fitter = LensFitter(class_names, targets, None if texts is None else torch.as_tensor(texts), ambiguity)
    if fitter.needs_photos:
        if photos is None:
            raise ValueError(f"targets={targets!r} needs photos")
        fitter.add_photos(photos, photo_labels, np.arange(len(photos)), photo_instance_ids)
    fitter.add_sketches(sketches, labels, np.arange(len(sketches)), instance_ids)
    return fitter.fit(penalty)
