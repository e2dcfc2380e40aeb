"""Losses against loops over their definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from sketch_prompt import losses


def unit(n, d, seed):
    return normalize(
        torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1
    )


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 6), d=st.integers(2, 9), margin=st.floats(0, 2), seed=st.integers(0, 1000))
def test_triplet_loss_is_its_definition(n, d, margin, seed):
    s, p, q = (unit(n, d, seed + i) for i in range(3))
    expected = 0.0
    for i in range(n):
        near = 1 - sum(float(a * b) for a, b in zip(s[i], p[i]))
        far = 1 - sum(float(a * b) for a, b in zip(s[i], q[i]))
        expected += max(0.0, margin + near - far) / n
    assert losses.triplet_loss(s, p, q, margin).item() == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 6), c=st.integers(1, 7), temperature=st.floats(0.01, 3), seed=st.integers(0, 1000))
def test_classification_loss_is_its_definition(n, c, temperature, seed):
    x, classes = unit(n, 5, seed), unit(c, 5, seed + 1)
    labels = torch.randint(c, (n,), generator=torch.Generator().manual_seed(seed))
    expected = 0.0
    for i in range(n):
        logits = [float(x[i] @ classes[k]) / temperature for k in range(c)]
        top = max(logits)
        expected -= (logits[labels[i]] - top - math.log(sum(math.exp(v - top) for v in logits))) / n
    assert losses.classification_loss(x, classes, labels, temperature).item() == pytest.approx(
        expected, abs=1e-8
    )


def test_a_label_that_is_no_class_is_an_error():
    with pytest.raises(IndexError, match=r"\[0, 3\), got up to 3"):
        losses.classification_loss(unit(2, 4, 0), unit(3, 4, 1), torch.tensor([0, 3]), 0.1)


def test_weighted_sum_refuses_a_term_without_a_weight():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert losses.weighted_sum(terms, {"a": 0.5, "b": 1.0}).item() == 4.0
    with pytest.raises(KeyError, match="b"):
        losses.weighted_sum(terms, {"a": 0.5})


def test_the_squared_triplet_loss_is_its_formula_row_by_row():
    s, p, n = (unit(7, 5, seed) for seed in (4, 5, 6))
    margins = torch.linspace(-0.5, 1.5, 7, dtype=torch.float64)
    rows = [
        max(0.0, float(((a - b) ** 2).sum() - ((a - c) ** 2).sum() + mu))
        for a, b, c, mu in zip(s, p, n, margins)
    ]
    assert 0.0 in rows and max(rows) > 0
    assert losses.squared_triplet_loss(s, p, n, margins).item() == pytest.approx(sum(rows) / 7, abs=1e-6)


def test_class_margins_are_cosines_except_within_a_class():
    classes = unit(4, 5, 1)
    labels, negatives = torch.tensor([0, 1, 3, 2]), torch.tensor([1, 0, 3, 0])
    expected = [float(classes[a] @ classes[b]) if a != b else 0.2 for a, b in zip(labels, negatives)]
    assert losses.class_margins(classes, labels, negatives, 0.2).tolist() == pytest.approx(expected)


def test_the_conditional_jigsaw_asks_the_photo_to_help_more_than_the_negative():
    own, positive, negative = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(2)).unbind()
    y = torch.tensor([0, 5, 2, 2, 1])

    def entropy(logits, row):
        return math.log(sum(math.exp(v) for v in logits[row].tolist())) - logits[row, y[row]].item()

    expected = (
        sum(entropy(own, i) + max(0.0, entropy(positive, i) - entropy(negative, i)) for i in range(5)) / 5
    )
    assert losses.conditional_jigsaw_loss(own, positive, negative, y).item() == pytest.approx(
        expected, abs=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 7), d=st.integers(2, 9), margin=st.floats(0, 2), seed=st.integers(0, 1000))
def test_hardest_triplet_loss_is_its_definition(n, d, margin, seed):
    s, p = unit(n, d, seed), unit(n, d, seed + 1)
    instances = torch.randint(0, 3, (n,), generator=torch.Generator().manual_seed(seed))
    excesses = []
    for i in range(n):
        distance = [(1 - sum(float(a * b) for a, b in zip(s[i], p[j]))) / 2 for j in range(n)]
        others = [distance[j] for j in range(n) if instances[j] != instances[i]]
        if others:
            excesses.append(max(0.0, margin + distance[i] - min(others)))
    expected = sum(excesses) / max(1, len(excesses))
    s.requires_grad_()
    loss = losses.hardest_triplet_loss(s, p, instances, margin)
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-9) and torch.isfinite(s.grad).all()


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=4), d=st.integers(2, 9), seed=st.integers(0, 1000)
)
def test_f_divergence_loss_is_its_definition(counts, d, seed):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    labels = torch.tensor(labels)[order]
    s, p, q = (unit(len(labels), d, seed + i) for i in range(3))
    n, distributions = min(counts), []
    for c in range(len(counts)):
        rows = [i for i in range(len(labels)) if labels[i] == c][:n]
        delta = [float((s[i] * q[i]).sum() - (s[i] * p[i]).sum()) for i in rows]
        total = sum(math.exp(v) for v in delta)
        distributions.append([math.exp(v) / total for v in delta])
    pairs = [(a, b) for a in distributions for b in distributions if a is not b]
    divergences = [sum(x * math.log(x / y) for x, y in zip(a, b)) for a, b in pairs]
    expected = sum(divergences) / max(1, len(pairs))
    assert losses.f_divergence_loss(s, p, q, labels).item() == pytest.approx(expected, abs=1e-9)


def test_patch_shuffling_loss_wants_the_photo_that_was_shuffled_alike_nearer_by_the_margin():
    sketch, photo, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]]), torch.tensor([[0.8, 0.6]])
    assert losses.patch_shuffling_loss(sketch, photo, other, 0.3).item() == pytest.approx(0.3 + 0.4 - 0.2)
    assert losses.patch_shuffling_loss(sketch, sketch, other, 0.1).item() == 0


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), d=st.integers(2, 9), margin=st.floats(0, 2), seed=st.integers(0, 1000))
def test_euclidean_triplet_loss_is_its_definition(n, d, margin, seed):
    s, p, q = (3 * unit(n, d, seed + i) for i in range(3))
    expected = sum(max(0.0, margin + math.dist(a, b) - math.dist(a, c)) for a, b, c in zip(s, p, q)) / n
    assert losses.euclidean_triplet_loss(s, p, q, margin).item() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 5), m=st.integers(1, 5), seed=st.integers(0, 1000))
def test_relation_loss_is_its_definition(n, m, seed):
    scores = torch.rand(n + m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = sum((x - 0.99) ** 2 for x in scores[:n].tolist()) + sum(
        (x - 0.01) ** 2 for x in scores[n:].tolist()
    )
    assert losses.relation_loss(scores[:n], scores[n:, None]).item() == pytest.approx(
        expected / (n + m), abs=1e-9
    )


def test_the_balanced_relation_loss_counts_both_kinds_of_pairs_half():
    scores = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    matches = torch.eye(3, 4, dtype=torch.bool)
    matching, others = scores[matches], scores[~matches]
    expected = ((matching - 0.99).square().mean() + (others - 0.01).square().mean()) / 2
    assert losses.balanced_relation_loss(scores, matches, (3, 9)).item() == pytest.approx(expected.item())
    alike = torch.tensor([[True, False], [False, True]])
    square = scores[:2, :2]
    assert losses.balanced_relation_loss(square, alike, (2, 2)).item() == pytest.approx(
        losses.relation_loss(square[alike], square[~alike]).item()
    )
    # parts of the pairs, with the counts of all of them, add up
    parts = [losses.balanced_relation_loss(scores[i : i + 1], matches[i : i + 1], (3, 9)) for i in range(3)]
    assert sum(parts).item() == pytest.approx(expected.item())
    assert losses.balanced_relation_loss(square, torch.ones(2, 2, dtype=torch.bool), (4, 0)).isfinite()
