import datasets
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.data.loading import ImageTable, TripletCollator, TripletDataset, instance_code
from sketch_prompt.data.samplers import TripletSampler


@pytest.fixture
def tables(sketch_folder, tmp_path):
    split = {"seen": ["cat", "dog", "tree"], "unseen": ["cup"]}
    return load_benchmark("sketch-folder", sketch_folder, split=split, cache_dir=tmp_path / "cache")


def batches(tables, processor, *, level="category", workers=0, augment=None, epoch=0, **options):
    sampler = TripletSampler(tables["train_sketch"], tables["train_photo"], level=level, seed=3)
    sampler.set_epoch(epoch)
    dataset = TripletDataset(
        tables["train_sketch"], tables["train_photo"], processor, sampler, augment=augment, **options
    )
    return list(
        DataLoader(dataset, batch_size=4, sampler=sampler, collate_fn=TripletCollator(), num_workers=workers)
    )


def shift(sketch, photo, negative, rng):
    """An augmentation that shows its random numbers."""
    return tuple(
        image.point([int(rng.integers(256))] * 256 * len(image.getbands()))
        for image in (sketch, photo, negative)
    )


def test_a_batch_has_the_models_arguments(tables, processor):
    batch = batches(tables, processor)[0]
    for name in ("sketch_pixel_values", "photo_pixel_values", "negative_pixel_values"):
        assert batch[name].shape == (4, 3, 8, 8) and batch[name].dtype == torch.float32
    for name in ("labels", "negative_labels", "instance_ids"):
        assert batch[name].shape == (4,) and batch[name].dtype == torch.int64
    assert (batch["labels"] != batch["negative_labels"]).all()
    assert batch["unreadable"] == []


def test_a_second_sketch_is_another_one_of_the_class(tables, processor):
    plain, found = batches(tables, processor), batches(tables, processor, second_sketch=True)
    sketches = tables["train_sketch"]
    of_class = {}
    for row in range(len(sketches)):
        image = processor.preprocess(sketches[row]["image"], "sketch")
        of_class.setdefault(sketches[row]["label"], []).append(image)
    for without, batch in zip(plain, found):
        assert "mismatched_sketch_pixel_values" not in without
        assert torch.equal(without["photo_pixel_values"], batch["photo_pixel_values"])
        rows = zip(
            batch["labels"].tolist(), batch["mismatched_sketch_pixel_values"], batch["sketch_pixel_values"]
        )
        for label, second, own in rows:
            assert any(torch.equal(second, image) for image in of_class[label])
            assert len(of_class[label]) == 1 or not torch.equal(second, own)


def test_an_epoch_shows_every_sketch(tables, processor):
    assert (
        sum(len(batch["labels"]) for batch in batches(tables, processor)) == tables["train_sketch"].num_rows
    )


@pytest.mark.parametrize("level", ["category", "instance"])
def test_batches_do_not_depend_on_the_number_of_workers(tables, processor, sketch_folder, level):
    (sketch_folder / "photo" / "cat" / "b.jpg").write_bytes(b"broken")
    one = batches(tables, processor, level=level, augment=shift)
    other = batches(tables, processor, level=level, augment=shift, workers=2)
    assert len(one) == len(other)
    for a, b in zip(one, other):
        assert a["unreadable"] == b["unreadable"]
        assert all(torch.equal(a[name], b[name]) for name in a if name != "unreadable")


@pytest.mark.parametrize(("level", "per_class"), [("category", 4), ("instance", 3)])
def test_unreadable_images_are_replaced_by_their_class_and_recorded(
    tables, processor, sketch_folder, level, per_class
):
    for broken in ("photo/cat/b.jpg", "photo/tree/c.png", "sketch/dog/a-1.png"):
        (sketch_folder / broken).write_bytes(b"broken")
    loaded = [batch for epoch in range(8) for batch in batches(tables, processor, level=level, epoch=epoch)]
    labels = torch.cat([batch["labels"] for batch in loaded])
    assert torch.bincount(labels).tolist() == [per_class * 8] * 3
    records = {
        record.split(": ")[0].removeprefix(str(sketch_folder)) for b in loaded for record in b["unreadable"]
    }
    assert records == {"/photo/cat/b.jpg", "/photo/tree/c.png", "/sketch/dog/a-1.png"}
    if level == "category":
        assert all((batch["labels"] != batch["negative_labels"]).all() for batch in loaded)


def test_a_class_without_any_readable_image_is_an_error_that_lists_them(tables, processor, sketch_folder):
    for path in (sketch_folder / "sketch" / "cat").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(RuntimeError, match=r"no readable triplet in 100 draws.*not an image"):
        batches(tables, processor)


def test_instance_triplets_carry_the_code_of_the_sketchs_instance(tables, processor):
    batch = batches(tables, processor, level="instance")[0]
    known = {instance_code(name) for name in tables["train_photo"]["instance_id"]}
    assert set(batch["instance_ids"].tolist()) <= known


def test_images_in_memory_are_read_like_files():
    pictures = [Image.new("RGB", (9, 9), (10 * i,) * 3) for i in range(3)]
    columns = {"image": pictures, "label": [0, 1, 1], "instance_id": ["a", "b", "c"]}
    table = ImageTable(datasets.Dataset.from_dict(columns))
    assert table.read(2).getpixel((0, 0)) == (20, 20, 20)
    assert table.labels.tolist() == [0, 1, 1] and table.instance_codes[1] == instance_code("b")


def test_instance_codes_are_the_same_everywhere():
    assert instance_code("n02691156_10168") == 2042464076639973870
