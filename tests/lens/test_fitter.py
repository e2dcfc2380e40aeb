"""Features in, a lens out: every kind of target, in any batches, with what is missing said."""

import numpy as np
import pytest
import torch

from fakes.worlds import World
from sketch_prompt.lens import TARGETS, InstanceTargets, LensFitter, LensSums, fit_features, fit_lens


def fit(world, targets, batch=1000, penalty=1.0, ids=None):
    ids = [str(n % 8) for n in range(len(world.labels))] if ids is None else ids
    fitter = LensFitter(world.names, targets, world.texts)
    rows = torch.arange(len(world.labels))
    for part in rows.split(batch):
        if fitter.needs_photos:
            chosen = [f"{ids[n]}" for n in part.tolist()]
            fitter.add_photos(world.photos[part], world.labels[part], part, chosen)
    for part in rows.split(batch):
        fitter.add_sketches(world.sketches[part], world.labels[part], part, [ids[n] for n in part.tolist()])
    return fitter.fit(penalty)


def unique_ids(world):
    return [f"photo {number}" for number in range(len(world.labels))]


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("penalty", [1.0, None])
def test_the_size_of_batches_does_not_matter(targets, penalty):
    world = World()
    ids = unique_ids(world)
    whole, parts = (fit(world, targets, size, penalty, ids) for size in (1000, 7))
    assert whole.penalty == parts.penalty
    assert torch.allclose(whole.mean, parts.mean, atol=1e-12, rtol=0)
    if whole.map is not None:
        assert torch.allclose(whole.map, parts.map, atol=1e-10, rtol=0)


def test_few_categories_are_learned_from_photo_by_photo():
    world = World(classes=30, per_class=3)
    labels = torch.zeros_like(world.labels)
    ids = [str(number) for number in world.labels.tolist()]
    photos = torch.stack([world.photos[world.labels == n][0] for n in range(30)])
    lens = fit_features(
        world.sketches,
        labels,
        ["shoe"],
        "instances",
        photos=photos,
        photo_labels=[0] * 30,
        instance_ids=ids,
        photo_instance_ids=[str(n) for n in range(30)],
        penalty=1.0,
    )
    assert lens.groups == 30
    sums = LensSums(torch.arange(30) % 5, world.dim, partners=True)
    sums.add(world.sketches, world.labels, photos[world.labels])
    assert torch.allclose(lens.map, fit_lens(sums, InstanceTargets([0] * 30), penalty=1.0).map, atol=1e-10)


def test_sketches_of_no_photo_count_for_the_mean_alone():
    world = World(classes=30)
    ids = unique_ids(world)
    without = fit(world, "instances", ids=ids)
    extra = World(classes=30, seed=1)
    fitter = LensFitter(world.names, "instances")
    rows = torch.arange(len(ids))
    fitter.add_photos(world.photos, world.labels, rows, ids)
    fitter.add_sketches(world.sketches, world.labels, rows, ids)
    fitter.add_sketches(extra.sketches, extra.labels, rows + len(ids), ["none"] * len(ids))
    lens = fitter.fit(1.0)
    assert torch.allclose(lens.map, without.map, atol=1e-10)
    assert torch.allclose(lens.mean, torch.cat([world.sketches, extra.sketches]).mean(0))


def test_arrays_are_taken_too():
    world = World()
    lens = fit_features(
        world.sketches.numpy().astype(np.float32),
        world.labels.tolist(),
        world.names,
        "both",
        photos=world.photos.numpy().astype(np.float32),
        photo_labels=world.labels.numpy(),
        texts=world.texts.numpy(),
        penalty=1.0,
    )
    assert torch.allclose(lens.map, fit(world, "both").map, atol=1e-5)


def test_what_is_missing_is_said():
    world = World()
    with pytest.raises(ValueError, match="one of photos, text, both, instances, none, not 'photo'"):
        LensFitter(world.names, "photo")
    with pytest.raises(ValueError, match="needs the texts"):
        LensFitter(world.names, "text")
    with pytest.raises(ValueError, match="needs photos"):
        fit_features(world.sketches, world.labels, world.names, "photos")
    with pytest.raises(ValueError, match="needs photos"):
        LensFitter(world.names, "photos").add_sketches(world.sketches, world.labels, world.labels)
    with pytest.raises(ValueError, match="not on 0"):
        LensFitter(world.names, "none").fit()
