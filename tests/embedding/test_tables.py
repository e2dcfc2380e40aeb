from pathlib import Path

import numpy as np
import pytest
import torch

from fakes.benchmarks import write_benchmark
from fakes.models import TinyModel, TinyProcessor
from fakes.processes import run_together
from sketch_prompt.evaluation import embed


@pytest.fixture
def benchmark(tmp_path):
    return write_benchmark(tmp_path)


def test_features_stand_in_the_order_of_the_table_whatever_the_batch_size(benchmark):
    model, photos = TinyModel(), benchmark["test_photo"]
    table = embed(model, photos, TinyProcessor(), "photo", batch_size=5, progress=False)
    assert model.batches == [5, 5, 5, 3]
    model.eval()
    with torch.inference_mode():
        expected = [
            model.get_photo_features(TinyProcessor().preprocess(image, "photo")[None])[0].numpy()
            for image in photos["image"]
        ]
    np.testing.assert_allclose(table.features, expected, atol=1e-6)
    assert table.features.dtype == np.float32
    assert table.labels.tolist() == list(photos["label"])
    assert table.instance_ids.tolist() == list(photos["instance_id"])
    assert table.rows.tolist() == list(range(18))


def test_unreadable_images_are_skipped_and_listed(benchmark):
    photos = benchmark["test_photo"]
    paths = [row["image"].filename for row in photos]
    Path(paths[4]).write_bytes(b"no image")
    Path(paths[7]).unlink()
    table = embed(TinyModel(), photos, TinyProcessor(), "photo", batch_size=4, progress=False)
    assert [image.path for image in table.unreadable] == [paths[4], paths[7]]
    assert all(image.reason for image in table.unreadable)
    assert table.rows.tolist() == [row for row in range(18) if row not in (4, 7)]
    assert table.labels.tolist() == [photos["label"][row] for row in table.rows]
    assert len(table.features) == 16


def test_a_whole_batch_of_unreadable_images_is_skipped(benchmark):
    for row in list(benchmark["test_photo"])[:4]:
        Path(row["image"].filename).write_bytes(b"")
    table = embed(
        TinyModel(), benchmark["test_photo"], TinyProcessor(), "photo", batch_size=2, progress=False
    )
    assert len(table.features) == 14


def test_no_readable_image_is_an_error_that_says_why(benchmark):
    photos = benchmark["test_photo"].select(range(2))
    for row in photos:
        Path(row["image"].filename).write_bytes(b"")
    with pytest.raises(ValueError, match=r"None of the 2 photo images can be read: .*0\.png"):
        embed(TinyModel(), photos, TinyProcessor(), "photo", progress=False)


def test_workers_give_the_same_features(benchmark):
    options = {"batch_size": 5, "progress": False}
    here = embed(TinyModel(), benchmark["test_photo"], TinyProcessor(), "photo", **options)
    there = embed(TinyModel(), benchmark["test_photo"], TinyProcessor(), "photo", num_workers=2, **options)
    np.testing.assert_array_equal(here.features, there.features)


@pytest.mark.parametrize("training", [True, False])
def test_model_embeds_in_eval_mode_and_returns_to_its_mode(benchmark, training):
    model = TinyModel().train(training)
    first, second = (
        embed(model, benchmark["test_sketch"], TinyProcessor(), "sketch", progress=False).features
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert model.training is training


def test_images_held_in_the_table_are_read_too(benchmark):
    photos = benchmark["test_photo"]
    expected = embed(TinyModel(), photos, TinyProcessor(), "photo", progress=False)
    images = [{"bytes": Path(row["image"].filename).read_bytes(), "path": None} for row in photos]
    held = photos.remove_columns("image").add_column("image", images, feature=photos.features["image"])
    table = embed(TinyModel(), held, TinyProcessor(), "photo", progress=False)
    np.testing.assert_array_equal(table.features, expected.features)


def test_bar_is_on_stderr(benchmark, capsys):
    embed(TinyModel(), benchmark["test_sketch"], TinyProcessor(), "sketch")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Embedding sketches" in captured.err


SHARED_WORK = """
import sys
from pathlib import Path
import numpy as np
from accelerate import Accelerator
from fakes.benchmarks import read_benchmark, write_benchmark
from fakes.models import TinyModel, TinyPairModel, TinyProcessor
from sketch_prompt.evaluation import Task, embed, evaluate_model

accelerator = Accelerator(cpu=True)
# of one photo a class the second process gets no batch, and the class whose photo is broken has none
for photos, shares in ((6, (3, 2)), (1, (1, 0))):
    folder = Path(sys.argv[1]) / str(photos)
    if accelerator.is_main_process:
        write_benchmark(folder, photos=photos)
        (folder / "photo" / "bee" / "0.png").write_bytes(b"")
    accelerator.wait_for_everyone()
    benchmark = read_benchmark(folder)
    table = benchmark["test_photo"]
    model = TinyModel()
    options = dict(batch_size=4, progress=False)
    shared = embed(model, table, TinyProcessor(), "photo", accelerator=accelerator, **options)
    assert len(model.batches) == shares[accelerator.process_index], model.batches
    alone = embed(model, table, TinyProcessor(), "photo", **options)
    for name in ("features", "labels", "instance_ids", "rows"):
        np.testing.assert_array_equal(getattr(shared, name), getattr(alone, name))
    assert shared.unreadable == alone.unreadable and len(alone.unreadable) == 1
    evaluation = (model, TinyProcessor(), benchmark, Task("tiny-3"))
    together = evaluate_model(*evaluation, accelerator=accelerator, **options)
    assert (together.search is not None) == accelerator.is_main_process
    together = together.report
    assert together.metrics == evaluate_model(*evaluation, **options).report.metrics
    assert together.unreadable[0]["path"] == alone.unreadable[0].path
    for ranking in ("rerank", "exhaustive"):
        model, lone = TinyPairModel(), TinyPairModel()
        chosen = (*evaluation[1:-1], Task("tiny-3", ranking=ranking, shortlist=3))
        together = evaluate_model(model, *chosen, accelerator=accelerator, **options).report
        assert together.metrics == evaluate_model(lone, *chosen, **options).report.metrics
        assert model.encoded < lone.encoded or photos == 1
sys.stdout.write(f"process {accelerator.process_index} of {accelerator.num_processes} agrees\\n")
"""


def test_two_processes_share_the_batches_and_agree_with_one(tmp_path):
    done = run_together(2, "-c", SHARED_WORK, tmp_path)
    for number, process in enumerate(done):
        assert process.returncode == 0, process.stderr
        assert f"process {number} of 2 agrees" in process.stdout.splitlines()
