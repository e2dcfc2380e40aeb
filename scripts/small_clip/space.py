"""The space that the student learns: the teacher's features, centred and reduced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

IMAGENET_CLASSES = 1000


@dataclass
class TeacherSpace:
    """Where the teacher has photos and classes, and what it takes them for.

    Attributes:
        raw: (N, 1280) float16, the teacher's features of all photos; those from `count` on are not computed.
        count: photos with features.
        mean: (1280,) subtracted.
        basis: (1280, D) principal axes, scaled.
        classifier: weights (1000, 1280) and biases (1000,) of the teacher's last layer.
        class_vectors: (rows, D) unit vectors that the classes start from.
        class_opinions: (rows, 1000) what the teacher takes a class's photos for, on average; without a photo,
            itself.
    """

    raw: np.ndarray
    count: int
    mean: Tensor
    basis: Tensor
    classifier: tuple[Tensor, Tensor]
    class_vectors: Tensor
    class_opinions: Tensor

    def project(self, features: Tensor) -> Tensor:
        """Features (B, 1280) -> unit vectors (B, D)."""
        return F.normalize((features.float() - self.mean) @ self.basis, dim=-1)

    def features(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Which of the photos have features (B,), and where those lie (b, D)."""
        known = chosen < self.count
        return torch.from_numpy(known), self.project(torch.from_numpy(self.raw[chosen[known]]))

    def labels(self, chosen: np.ndarray, rows: Tensor, soft_share: float, n_rows: int) -> Tensor:
        """Labels (B, n_rows) of photos: the class and the teacher's opinion, of the photo or of its class."""
        labels = torch.zeros(len(chosen), n_rows)
        known = torch.from_numpy(chosen < self.count)
        opinions = torch.zeros(len(chosen), IMAGENET_CLASSES)
        opinions[known] = self.opinions(torch.from_numpy(self.raw[chosen[known.numpy()]]).float())
        opinions[~known] = self.class_opinions[rows[~known]]
        labels[:, :IMAGENET_CLASSES] = soft_share * opinions
        named = rows >= 0
        labels[~named] /= soft_share
        labels[named, rows[named]] += 1 - soft_share
        # A photo of no class that the teacher did not see says nothing.
        labels[~named & ~known] = 0
        return labels

    def opinions(self, features: Tensor) -> Tensor:
        """Features (B, 1280) -> probabilities (B, 1000)."""
        weight, bias = self.classifier
        return (features @ weight.mT + bias).softmax(dim=-1).clamp(min=1e-30)


def teacher_space(
    raw: np.ndarray,
    count: int,
    rows: np.ndarray,
    n_rows: int,
    classifier: tuple[Tensor, Tensor],
    width: int,
    whitening: float = 0.75,
) -> TeacherSpace:
    """The space from the features of the first `count` photos, whose classes are `rows` (N,).

    Args:
        whitening: power of the principal deviations that is divided out; 0 leaves the axes as long as they
            are, 1 makes them alike.
    """
    known = torch.from_numpy(raw[:count].astype(np.float32))
    mean = known.mean(dim=0)
    centred = known - mean
    variances, axes = torch.linalg.eigh(centred.mT @ centred / count)
    variances, axes = variances.flip(0)[:width], axes.flip(1)[:, :width]
    space = TeacherSpace(
        raw=raw,
        count=count,
        mean=mean,
        basis=axes / variances.sqrt() ** whitening,
        classifier=classifier,
        class_vectors=torch.empty(0),
        class_opinions=torch.empty(0),
    )
    labels = torch.from_numpy(rows[:count])
    opinions = space.opinions(known)
    vectors = torch.zeros(n_rows, width)
    # A class of ImageNet without photos lies where those photos lie that the teacher takes for it.
    projected = space.project(known)
    vectors[:IMAGENET_CLASSES] = F.normalize(opinions.log().softmax(dim=0).mT @ projected, dim=-1)
    class_opinions = torch.zeros(n_rows, IMAGENET_CLASSES)
    class_opinions[:IMAGENET_CLASSES] = torch.eye(IMAGENET_CLASSES)
    for row in labels.unique().tolist():
        if row >= 0:
            vectors[row] = F.normalize(projected[labels == row].mean(dim=0), dim=-1)
            class_opinions[row] = opinions[labels == row].mean(dim=0)
    empty = vectors.norm(dim=1) == 0
    vectors[empty] = F.normalize(torch.randn(int(empty.sum()), width), dim=-1)
    space.class_vectors, space.class_opinions = vectors, class_opinions
    return space


def features_done(path: Path) -> int:
    """How many photos have features in `path`, the file that `teacher.write_features` fills."""
    return int(counter_of(path).read_text()) if counter_of(path).exists() else 0


def counter_of(path: Path) -> Path:
    """The file that says so."""
    return path.with_name(path.name + ".done")
