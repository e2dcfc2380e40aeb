"""AmbiScore against a loop, and what it does to a fit."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from sketch_prompt.lens import clarity, fit_features


def world(classes=30, per_class=6, dim=12, seed=0):
    random = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    texts = normalize(noise(classes, dim), dim=1)
    labels = torch.arange(classes * per_class) % classes
    sketches = normalize(texts[labels] + 0.5 * noise(len(labels), dim) + 0.3, dim=1)
    photos = normalize(texts[labels] + 0.3 * noise(len(labels), dim), dim=1)
    return sketches, labels, photos, texts, [f"class {number}" for number in range(classes)]


def brute_weights(sketches, labels, texts, epsilon=10.0):
    weights = []
    for sketch, label in zip(sketches.tolist(), labels.tolist()):
        powers = [math.exp(1.5 * sum(a * b for a, b in zip(sketch, text))) for text in texts.tolist()]
        s = 1 - powers[label] / sum(powers)
        weights.append((epsilon ** (1 - s) - 1) / (epsilon - 1))
    return np.array(weights)


def test_clarity_is_the_formula():
    sketches, labels, _, texts, _ = world()
    assert clarity(sketches, texts, labels).numpy() == pytest.approx(
        brute_weights(sketches, labels, texts), rel=1e-12
    )


def test_a_drawing_that_only_its_class_fits_counts_1_and_one_that_nothing_fits_less_than_its_share():
    texts = torch.eye(4)
    sharp = clarity(texts[:1], texts, torch.tensor([0]), temperature=0.01)
    assert float(sharp) == pytest.approx(1)
    flat = clarity(normalize(torch.ones(1, 4), dim=1), texts, torch.tensor([0]))
    assert float(flat) == pytest.approx((10**0.25 - 1) / 9) and float(flat) < 0.25


@pytest.mark.parametrize("kind", ["photos", "instances"])
def test_a_fit_with_ambiguity_is_the_weighted_least_squares_of_a_loop(kind):
    sketches, labels, photos, texts, names = world()
    weights = brute_weights(sketches, labels, texts)
    ids = [str(number) for number in range(len(labels))]
    lens = fit_features(
        sketches, labels, names, kind, photos=photos, photo_labels=labels, texts=texts,
        instance_ids=ids, photo_instance_ids=ids, penalty=1.0, ambiguity=True,
    )  # fmt: skip
    x, photos, labels, w = (
        sketches.numpy(),
        photos.numpy().astype(np.float32).astype(float),
        labels.numpy(),
        weights,
    )
    mean = (w[:, None] * x).sum(0) / w.sum()
    if kind == "photos":
        centres = np.stack([photos[labels == c].mean(0) for c in range(len(names))])
        aims = centres - centres.mean(0)
        y = (aims / np.linalg.norm(aims, axis=1, keepdims=True))[labels]
        x = x - mean
    else:

        def residuals(rows):
            out = np.empty_like(rows)
            for c in range(len(names)):
                own = labels == c
                out[own] = rows[own] - (w[own, None] * rows[own]).sum(0) / w[own].sum()
            return out

        x, y = residuals(x), residuals(photos)
    gram, cross = (x.T * w) @ x / w.sum(), (x.T * w) @ y / w.sum()
    t = np.trace(gram) / len(gram)
    s = math.sqrt((w * (y**2).sum(1)).sum() / w.sum() / np.trace(gram))
    expected = np.linalg.solve(gram + t * np.eye(len(gram)), cross + t * s * np.eye(len(gram)))
    assert lens.mean.numpy() == pytest.approx(mean, abs=1e-12)
    assert lens.map.numpy() == pytest.approx(expected, abs=1e-7)
    assert lens.drawings == len(labels)


def test_ambiguity_needs_texts():
    sketches, labels, photos, _, names = world()
    with pytest.raises(ValueError, match="how ambiguous a drawing is can only be told"):
        fit_features(sketches, labels, names, photos=photos, photo_labels=labels, ambiguity=True)
