"""Ray's workers: the gallery of one process, also if one of two workers is killed meanwhile."""

import os
import signal
import threading
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from fakes.clip import write_clip
from fakes.photos import picture, write_photos
from sketch_prompt import Gallery
from sketch_prompt.gallery.corpus import embed_corpus, part_file

pytest.importorskip("ray", reason="needs the extra 'ray': pip install 'sketch-prompt[ray]'")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """What names the tiny CLIP: every worker loads it."""
    return {"model": "frozen-clip", "base_model": str(write_clip(tmp_path_factory.mktemp("base") / "clip"))}


def write_many(folder, count):
    """Tiny photos, in classes of a thousand."""
    for start in range(0, count, 1000):
        write_photos(folder, {f"class {start // 1000}": min(1000, count - start)}, first=start)
    return folder


def worker_of(path):
    """The process that wrote a part."""
    return int(pq.read_schema(path).metadata[b"worker"].partition(b"@")[0])


def kill_first_worker(directory, killed):
    """Wait for the first part, and kill the process that wrote it."""
    for _ in range(6000):
        if there := sorted(directory.glob("part-*.parquet")):
            killed.append(worker_of(there[0]))
            os.kill(killed[0], signal.SIGKILL)
            return
        time.sleep(0.02)


def embed_with_one_killed(model, photos, output, part_rows):
    killed = []
    killer = threading.Thread(target=kill_first_worker, args=(output, killed))
    killer.start()
    done = embed_corpus(
        photos=photos,
        output=output,
        engine="ray",
        workers=2,
        part_rows=part_rows,
        progress=False,
        device="cpu",
        **model,
    )
    killer.join()
    return done, killed[0]


def assert_equals_one_process(model, photos, output, done, killed, count):
    parts = [part_file(output, part) for part in range(done.parts)]
    rows = [path for part in parts for path in pq.read_table(part, columns=["path"])["path"].to_pylist()]
    assert len(rows) == len(set(rows)) == done.photos == count
    assert {worker_of(path) for path in parts} > {killed}  # others did the rest
    alone = Gallery.build(photos=photos, progress=False, device="cpu", num_workers=0, **model)
    gallery = Gallery.from_embeddings(output, photos_dir=photos, device="cpu", **model)
    assert gallery.photos.paths.tolist() == alone.photos.paths.tolist()
    np.testing.assert_allclose(gallery.features, alone.features, atol=1e-6)
    ours, theirs = (each.search(picture(3), 10) for each in (gallery, alone))
    assert [(hit.path, round(hit.score, 5)) for hit in ours] == [
        (hit.path, round(hit.score, 5)) for hit in theirs
    ]


def test_one_of_two_workers_is_killed_and_nothing_is_lost_or_twice(model, tmp_path):
    photos = write_many(tmp_path / "photos", 120)
    done, killed = embed_with_one_killed(model, photos, tmp_path / "vectors", part_rows=4)
    assert_equals_one_process(model, photos, tmp_path / "vectors", done, killed, 120)


@pytest.mark.slow
def test_twenty_thousand_photos_with_one_of_two_workers_killed(model, tmp_path):
    photos = write_many(tmp_path / "photos", 20_000)
    done, killed = embed_with_one_killed(model, photos, tmp_path / "vectors", part_rows=256)
    assert_equals_one_process(model, photos, tmp_path / "vectors", done, killed, 20_000)
