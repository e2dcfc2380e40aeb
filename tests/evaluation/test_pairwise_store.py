"""Encoded images are found again by their rows, in memory or on disk."""

import errno

import numpy as np
import pytest
import torch

from sketch_prompt.evaluation import pairwise
from sketch_prompt.evaluation.pairwise import EncodedBatch, PairStore, claim_folder


def batch(rows, left_out=()):
    values = torch.tensor(rows, dtype=torch.float32)
    prepared = {"tokens": values[:, None, None].expand(-1, 3, 4), "places": torch.tensor(rows)[:, None]}
    features = values[:, None].numpy().repeat(2, axis=1)
    return EncodedBatch(rows, features, prepared, {row: (f"{row}.png", "broken") for row in left_out})


@pytest.fixture(params=["memory", "folder"])
def folder(request, tmp_path):
    return tmp_path / "store" if request.param == "folder" else None


def test_images_come_back_by_row_in_any_order(folder):
    store = PairStore(folder)
    store.add(0, batch([0, 1, 3], left_out=[2]))
    store.add(4, batch([4, 5]))
    assert 0 in store and 4 in store and 8 not in store
    taken = store.take(np.array([5, 0, 3]))
    assert taken["tokens"].shape == (3, 3, 4) and taken["tokens"][:, 0, 0].tolist() == [5, 0, 3]
    assert taken["places"][:, 0].tolist() == [5, 0, 3] and taken["places"].dtype == torch.int64
    again = store.read(0)
    assert again.rows == [0, 1, 3] and again.left_out == {2: ("2.png", "broken")} and again.prepared == {}
    assert again.features.tolist() == [[0, 0], [1, 1], [3, 3]]


def test_a_batch_without_a_readable_image_is_kept_as_such(folder):
    store = PairStore(folder)
    store.add(0, EncodedBatch([], np.empty((0, 0), np.float32), {}, {0: ("0.png", "broken")}))
    store.add(1, batch([1]))
    assert store.read(0).left_out == {0: ("0.png", "broken")}
    assert store.take(np.array([1]))["tokens"][0, 0, 0] == 1


def test_bfloat16_halves_floats_and_leaves_numbers_alone(folder):
    store = PairStore(folder, torch.bfloat16)
    store.add(0, batch([7]))
    taken = store.take(np.array([7]))
    assert taken["tokens"].dtype == torch.bfloat16 and taken["places"].dtype == torch.int64


def test_few_files_stay_open_and_each_is_checked_once(tmp_path, monkeypatch):
    store = PairStore(tmp_path)
    for start in range(0, 40, 2):
        store.add(start, batch([start, start + 1]))
    checked, check = [], pairwise.check_tensors
    monkeypatch.setattr(
        pairwise, "check_tensors", lambda path, *rest: checked.append(path) or check(path, *rest)
    )
    for _ in range(2):
        taken = store.take(np.arange(40)[::-1].copy())
        assert taken["tokens"][:, 0, 0].tolist() == list(range(39, -1, -1))
    assert len(store._files) == pairwise._OPEN_FILES and len(checked) == len(set(checked)) == 20


def test_a_full_disk_says_where_to_put_a_work_folder(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pairwise, "MEMORY_BYTES", 0)
    monkeypatch.setattr(pairwise, "save_file", full)
    with pytest.raises(OSError, match=r"name a work folder on a larger disk \(work_dir, --work-dir\)"):
        PairStore(scratch=tmp_path).add(0, batch([0]))


def test_a_folder_outlives_its_store(tmp_path):
    PairStore(tmp_path).add(0, batch([0, 1]))
    again = PairStore(tmp_path)
    assert 0 in again and again.take(np.array([1]))["tokens"][0, 0, 0] == 1


def test_a_folder_belongs_to_one_job(tmp_path):
    claim_folder(tmp_path / "work", {"model": "a", "weights": (1, 2)})
    claim_folder(tmp_path / "work", {"model": "a", "weights": (1, 2)})
    with pytest.raises(ValueError, match=r"another evaluation \(its dtype, weights differ\)"):
        claim_folder(tmp_path / "work", {"model": "a", "weights": (1, 3), "dtype": "x"})
