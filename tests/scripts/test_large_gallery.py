"""Made-up photos are like the real ones, the same for every run, and a gallery of them is measured by its steps."""

import numpy as np
import pytest

import large_gallery
from large_gallery import MadeUpPhotos, build, likeness, search, widened, write


@pytest.fixture(scope="module")
def real():
    generator = np.random.default_rng(0)
    centres = 0.3 + 0.5 * generator.standard_normal((60, 16)) * np.linspace(1, 0.2, 16)
    photos = np.repeat(centres, 20, axis=0) + 0.15 * generator.standard_normal((1200, 16))
    return (photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32)


def test_made_up_photos_have_the_statistics_of_the_real_ones(real):
    (made_up,) = MadeUpPhotos(real, 6000).parts()
    chosen = made_up[np.random.default_rng(1).permutation(len(made_up))[: len(real)]]
    shuffled = real[np.random.default_rng(2).permutation(len(real))]
    ours, theirs = likeness(chosen, shuffled[:100]), likeness(shuffled, shuffled[:100])
    for name in list(theirs)[:3]:
        assert ours[name] == pytest.approx(theirs[name], rel=0.25, abs=0.03), name


def test_made_up_photos_are_the_same_in_every_run_however_many_there_are(real, monkeypatch):
    monkeypatch.setattr(large_gallery, "_PART", 500)
    few = np.concatenate(list(MadeUpPhotos(real, 1000).parts()))
    many = np.concatenate(list(MadeUpPhotos(real, 2000).parts()))
    np.testing.assert_array_equal(few, many[:1000])
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, atol=1e-6)


def test_wider_features_are_as_alike_as_the_narrow_ones(real):
    wide = widened(real, 2)
    assert wide.shape == (1200, 32)
    np.testing.assert_allclose(np.linalg.norm(wide, axis=1), 1, atol=1e-5)


def test_a_gallery_is_written_built_and_searched_step_by_step(real, tmp_path):
    np.savez(tmp_path / "real.npz", photos=real, sketches=real[::40])
    write(tmp_path, 3000)
    for precision in ("int8", "binary"):
        built = build(tmp_path, 3000, precision, "ivf")
        assert built["index"]["precision"] == precision and built["index_mb"] > 0
        found = search(tmp_path, 3000, precision, "ivf")
        assert found["recall@10"] >= 0.9 and found["resident_mb"] >= found["imports_mb"] > 0
