import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.photos import make_model
from sketch_prompt.gallery import store as module
from sketch_prompt.gallery.fingerprint import describe_model
from sketch_prompt.gallery.store import FeatureStore, StoredVectors

MODEL = describe_model(model := make_model(), model.processor)


def digest(number):
    return f"{number:032x}"


def features(numbers):
    return np.array([[number, -number, 0.5] for number in numbers], np.float32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=12, unique=True), max_size=8), st.booleans(), st.data())
def test_features_come_back_whatever_was_appended_and_flushed(tmp_path_factory, batches, on_disk, data):
    directory = tmp_path_factory.mktemp("store") if on_disk else None
    store, known = FeatureStore(directory, MODEL), set()
    for batch in batches:
        store.append([digest(number) for number in batch], features(batch))
        known.update(batch)
        if data.draw(st.booleans()):
            store.flush()
        if on_disk and data.draw(st.booleans()):
            store.flush()
            store = FeatureStore(directory, MODEL)
            store.read_blocks()
    assert store.digests == {digest(number) for number in known}
    wanted = data.draw(st.lists(st.sampled_from(sorted(known)), max_size=20)) if known else []
    if wanted:
        np.testing.assert_array_equal(store.lookup([digest(n) for n in wanted]), features(wanted))
        vectors = StoredVectors(store, np.array([digest(n) for n in wanted], object))
        np.testing.assert_array_equal(vectors[:3], features(wanted)[:3])
        store.compact(np.array([digest(n) for n in wanted], object))
        assert store.digests == {digest(n) for n in wanted}
        np.testing.assert_array_equal(store.lookup([digest(n) for n in wanted]), features(wanted))
    lacking = store.lacking(np.array([digest(n) for n in (*wanted, 61)], object))
    assert lacking.tolist() == [False] * len(wanted) + [True]
    with pytest.raises(KeyError):
        store.lookup([digest(61)])


def test_features_are_written_down_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 10)
    store = FeatureStore(tmp_path, MODEL)
    for start in range(0, 35, 5):
        store.append([digest(n) for n in range(start, start + 5)], features(range(start, start + 5)))
    assert len(list(tmp_path.iterdir())) == 3  # the last five wait for more
    store.flush_seconds = 0
    store.append([digest(40)], features([40]))
    assert len(list(tmp_path.iterdir())) == 4


def test_small_and_useless_blocks_are_put_together(tmp_path):
    store = FeatureStore(tmp_path, MODEL)
    for number in range(6):
        store.append([digest(number)], features([number]))
        store.flush()
    assert store.is_scattered(6)
    store.compact(np.array([digest(4), digest(1), digest(1)], object))
    store.delete_others()
    assert len(list(tmp_path.iterdir())) == 1 and not store.is_scattered(2)
    again = FeatureStore(tmp_path, MODEL)
    again.read_blocks()
    assert again.digests == {digest(1), digest(4)}
