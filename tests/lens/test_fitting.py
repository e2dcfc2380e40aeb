"""The closed form against brute force, and what it does with too little or with nonsense."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from fakes.worlds import World
from sketch_prompt.lens import (
    MIN_GROUPS,
    ClassTargets,
    FeatureMeans,
    InstanceTargets,
    LensSums,
    Validation,
    apply_lens,
    fit_lens,
    group_folds,
)
from sketch_prompt.metrics import FeatureScores, retrieval_details


def brute_force(x, y, penalty):
    """The ridge problem as one least-squares problem."""
    n, dim = x.shape
    t = float((x**2).sum() / n / dim)
    s = math.sqrt(float((y**2).mean() / (x**2).mean()))
    root = math.sqrt(penalty * t)
    left = np.vstack([x / math.sqrt(n), root * np.eye(dim)])
    right = np.vstack([y / math.sqrt(n), root * s * np.eye(dim)])
    return np.linalg.lstsq(left, right, rcond=None)[0]


def direction(rows):
    return normalize(rows - rows.mean(0), dim=1)


def brute_targets(world, kind, used):
    photos = torch.stack([world.photos[world.labels == c].mean(0) for c in range(world.classes)])
    parts = {"photos": [photos], "text": [world.texts], "both": [photos, world.texts]}[kind]
    return normalize(sum(normalize(p - p[used].mean(0), dim=1) for p in parts), dim=1)


@pytest.mark.parametrize("kind", ["photos", "text", "both"])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_the_map_solves_the_ridge_problem(kind, penalty):
    world = World()
    targets = world.targets(kind)
    lens = fit_lens(world.sums(group_folds(world.names, targets.known())), targets, penalty=penalty)
    aims = brute_targets(world, kind, slice(None))
    x = world.sketches - world.sketches.mean(0)
    expected = brute_force(x.numpy(), aims[world.labels].numpy(), penalty)
    assert lens.mean.numpy() == pytest.approx(world.sketches.mean(0).numpy(), abs=1e-12)
    assert lens.map.numpy() == pytest.approx(expected, abs=1e-10)
    queries = lens(world.sketches)
    assert queries.numpy() == pytest.approx(
        normalize(x @ torch.from_numpy(expected), dim=1).numpy(), abs=1e-9
    )


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_instance_targets_map_residuals_to_residuals(penalty):
    world = World()
    folds = group_folds(world.names, torch.ones(world.classes, dtype=torch.bool))
    lens = fit_lens(world.sums(folds, partners=True), InstanceTargets(range(world.classes)), penalty=penalty)

    def residuals(rows):
        return torch.cat(
            [rows[world.labels == c] - rows[world.labels == c].mean(0) for c in range(world.classes)]
        )

    expected = brute_force(residuals(world.sketches).numpy(), residuals(world.photos).numpy(), penalty)
    assert lens.map.numpy() == pytest.approx(expected, abs=1e-10)


def test_photos_as_groups_are_residuals_of_their_one_category():
    world = World(classes=30, per_class=3)
    folds = group_folds(world.names, torch.ones(30, dtype=torch.bool))
    lens = fit_lens(world.sums(folds, partners=True), InstanceTargets([0] * 30), penalty=1.0)
    x, y = (rows - rows.mean(0) for rows in (world.sketches, world.photos))
    assert lens.map.numpy() == pytest.approx(brute_force(x.numpy(), y.numpy(), 1.0), abs=1e-10)


@pytest.mark.parametrize("kind", ["photos", "text", "both"])
def test_lambda_is_scored_on_groups_that_were_left_out(kind):
    world = World(noise=0.8)
    targets = world.targets(kind)
    folds = group_folds(world.names, targets.known())
    photos = None if kind == "text" else world.sample(world.photos)
    validation = Validation(world.sample(world.sketches), photos)
    lens = fit_lens(world.sums(folds), targets, validation, penalties=(0.1, 10.0))
    assert list(lens.scores) == [0.1, 10.0, math.inf]
    blocks = int(folds.max()) + 1
    for penalty, score in lens.scores.items():
        per_class = [[] for _ in world.names]
        for first in range(blocks):
            held = (folds == first) | (folds == (first + 1) % blocks)
            rows = ~held[world.labels]
            mean = world.sketches[rows].mean(0)
            aims = brute_targets(world, kind, ~held)
            map = torch.eye(world.dim, dtype=torch.float64)
            if penalty < math.inf:
                x = (world.sketches[rows] - mean).numpy()
                map = torch.from_numpy(brute_force(x, aims[world.labels[rows]].numpy(), penalty))
            queries = apply_lens(world.sketches[~rows], mean, map).float()
            if photos is None:
                gallery, shown = aims[held].float(), held.nonzero()[:, 0]
            else:
                gallery, shown = world.photos[~rows].float(), world.labels[~rows]
            details = retrieval_details(
                FeatureScores(queries, gallery), world.labels[~rows], shown, ks=(1,), progress=False
            )
            for label, precision in zip(world.labels[~rows].tolist(), details.values["AP@all"]):
                per_class[label].append(precision)
        assert score == pytest.approx(np.mean([np.mean(values) for values in per_class]), abs=1e-6)


def test_a_map_that_helps_on_other_classes_is_found():
    world = World(classes=60, dim=8, noise=0.3)
    targets = world.targets("photos")
    validation = Validation(world.sample(world.sketches), world.sample(world.photos))
    lens = fit_lens(world.sums(group_folds(world.names, targets.known())), targets, validation)
    assert lens.map is not None and lens.penalty <= 1
    assert lens.scores[lens.penalty] > lens.scores[math.inf] + 0.1
    assert not lens.notes


def test_a_map_that_does_not_help_on_other_classes_is_not_kept():
    world = World(classes=40, noise=0.5)
    shuffled = world.labels[torch.randperm(len(world.labels), generator=torch.Generator().manual_seed(1))]
    world.sketches = normalize(torch.randn(len(shuffled), world.dim, dtype=torch.float64), dim=1)
    targets = world.targets("photos")
    validation = Validation(world.sample(world.sketches), world.sample(world.photos))
    lens = fit_lens(world.sums(group_folds(world.names, targets.known())), targets, validation)
    assert lens.map is None and lens.penalty == math.inf
    assert "two standard errors" in lens.notes[0]


def test_the_fit_is_the_same_every_time_and_in_any_order():
    world = World()
    targets = world.targets("photos")
    folds = group_folds(world.names, targets.known())
    validation = Validation(world.sample(world.sketches), world.sample(world.photos))
    first, second = (fit_lens(world.sums(folds), targets, validation) for _ in range(2))
    assert torch.equal(first.mean, second.mean) and first.scores == second.scores
    turned = LensSums(folds, world.dim)
    for rows in torch.arange(len(world.labels)).flip(0).split(7):
        turned.add(world.sketches[rows], world.labels[rows])
    other = fit_lens(turned, targets, validation)
    assert other.penalty == first.penalty
    assert torch.allclose(other.mean, first.mean, atol=1e-14, rtol=0)
    assert torch.allclose(other.map, first.map, atol=1e-12, rtol=0) if first.map is not None else True


def test_folds_go_by_the_names_of_the_groups():
    names, known = [f"c{number}" for number in range(23)], torch.ones(23, dtype=torch.bool)
    folds = group_folds(names, known)
    turned = group_folds(names[::-1], known)
    assert torch.equal(folds, turned.flip(0))
    counts = torch.bincount(folds)
    assert counts.max() - counts.min() <= 1
    known[4] = False
    assert group_folds(names, known)[4] == -1


def test_a_great_lambda_is_centring():
    world = World()
    targets = world.targets("photos")
    folds = group_folds(world.names, targets.known())
    mapped = fit_lens(world.sums(folds), targets, penalty=1e9)
    centred = fit_lens(world.sums(folds), targets, penalty=math.inf)
    assert centred.map is None
    assert torch.allclose(mapped(world.sketches), centred(world.sketches), atol=1e-6)


def test_few_classes_are_centred_and_told():
    world = World(classes=MIN_GROUPS - 1)
    targets = world.targets("photos")
    lens = fit_lens(world.sums(group_folds(world.names, targets.known())), targets)
    assert lens.map is None and f"only {MIN_GROUPS - 1} classes" in lens.notes[0]
    assert torch.allclose(lens.mean, world.sketches.mean(0))


def test_one_class_is_centred_even_if_lambda_is_given():
    world = World(classes=1)
    lens = fit_lens(world.sums([0]), world.targets("photos"), penalty=1.0)
    assert lens.map is None and "only 1 classes" in lens.notes[0]


def test_classes_without_a_target_count_for_the_mean_alone():
    world = World(classes=30)
    world.texts[:5] = torch.nan
    targets = world.targets("text")
    sums = world.sums(group_folds(world.names, targets.known()))
    lens = fit_lens(sums, targets, penalty=1.0)
    assert lens.groups == 25
    assert torch.allclose(lens.mean, world.sketches.mean(0))
    there = world.labels >= 5
    x = world.sketches[there] - world.sketches[there].mean(0)
    aims = direction(world.texts[5:])[world.labels[there] - 5]
    assert lens.map.numpy() == pytest.approx(brute_force(x.numpy(), aims.numpy(), 1.0), abs=1e-10)


def test_both_takes_the_text_where_a_class_has_no_photo():
    world = World(classes=30)
    photos = world.means()
    photos[:5] = torch.nan
    directions = ClassTargets(photos, world.texts).directions(torch.ones(30, dtype=torch.bool))
    assert torch.allclose(directions[:5], direction(world.texts)[:5])


@pytest.mark.parametrize("rank", [1, 3])
def test_a_singular_covariance_has_a_solution(rank):
    world = World(per_class=2)
    random = torch.Generator().manual_seed(0)
    flat = torch.randn(rank, world.dim, generator=random, dtype=torch.float64)
    world.sketches = torch.randn(len(world.labels), rank, generator=random, dtype=torch.float64) @ flat
    targets = world.targets("photos")
    lens = fit_lens(world.sums(group_folds(world.names, targets.known())), targets, penalty=1e-6)
    assert lens.map.isfinite().all()
    assert lens(world.sketches).isfinite().all()


def test_no_drawings_one_drawing_and_blank_drawings_are_refused():
    world = World()
    empty = LensSums([0] * 24, world.dim)
    with pytest.raises(ValueError, match="not on 0"):
        fit_lens(empty, None)
    with pytest.raises(ValueError, match="not on 1"):
        fit_lens(world.sums([0] * 24, rows=slice(1)), None)
    world.sketches = world.sketches[:1].expand_as(world.sketches)
    with pytest.raises(ValueError, match="are they blank"):
        fit_lens(world.sums([0] * 24), None)


def test_a_lambda_that_is_not_positive_is_refused():
    world = World()
    with pytest.raises(ValueError, match="above 0, not -1"):
        fit_lens(world.sums([0] * 24), world.targets("photos"), penalty=-1)
    with pytest.raises(ValueError, match="above 0, not nan"):
        fit_lens(world.sums([0] * 24), world.targets("photos"), penalty=math.nan)


def test_targets_that_are_all_the_same_leave_centring():
    world = World()
    world.texts = world.texts[:1].expand_as(world.texts)
    lens = fit_lens(
        world.sums(group_folds(world.names, torch.ones(24, dtype=torch.bool))),
        world.targets("text"),
        penalty=1.0,
    )
    assert lens.map is None and lens.penalty == math.inf


def test_a_query_at_the_mean_stays_as_it_is():
    mean = normalize(torch.ones(4), dim=0)
    assert torch.equal(apply_lens(mean[None], mean, None), mean[None])
    assert apply_lens(torch.eye(4), mean, torch.eye(4)).norm(dim=1) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["photos", "text"])
def test_classes_without_sketches_take_no_part(kind):
    world, larger = World(classes=30), World(classes=30)
    larger.names += [f"unseen {number}" for number in range(9)]
    larger.texts = torch.cat([larger.texts, torch.eye(9, world.dim, dtype=torch.float64)])
    fits = []
    for data in (world, larger):
        means = FeatureMeans(len(data.names), data.dim)
        means.add(data.photos, data.labels)
        photos = data.sample(data.photos)
        if data is larger:
            unseen = torch.arange(30, 39)
            means.add(larger.texts[30:], unseen)
            photos.add(larger.texts[30:], unseen, unseen + 1000)
        targets = ClassTargets(means.means) if kind == "photos" else ClassTargets(texts=data.texts)
        folds = group_folds(world.names, torch.ones(30, dtype=torch.bool))
        folds = torch.cat([folds, torch.arange(len(data.names) - 30) % 10])
        validation = Validation(data.sample(data.sketches), photos if kind == "photos" else None)
        fits.append(fit_lens(data.sums(folds), targets, validation, penalties=(0.1, 10)))
    assert fits[0].scores == pytest.approx(fits[1].scores)
    assert fits[0].penalty == fits[1].penalty
