from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from mini_clip import evaluation, pretraining
from mini_clip.augmentation import augment, normalize
from mini_clip.pool import ALL_CLASSES, PictureSet, load_pictures
from mini_clip.training import PretrainingOptions
from sketch_prompt.data.minisketch import SEEN_CLASSES, load_mini


@pytest.fixture
def job(tmp_path):
    return pretraining.PretrainingJob(
        output_dir=tmp_path / "mini-clip",
        work_dir=tmp_path / "work",
        command="python scripts/pretrain_mini_clip.py",
        processes=1,
        photos=PictureSet("photo", ALL_CLASSES, 100_000, instances=1, views=2),
        sketches=PictureSet("sketch", SEEN_CLASSES, 100_000, instances=1, views=1),
        held_out=PictureSet("photo", ALL_CLASSES, 200_000, instances=1, views=1),
        options=PretrainingOptions(steps=2, text_steps=2, batch_size=8, sketch_share=0.25),
    )


def test_a_run_leaves_a_clip_with_tokenizer_processor_and_card(job, tmp_path, monkeypatch):
    small = load_mini(instances_per_class=2, image_size=32, sketches_per_instance=1, cache_dir=tmp_path)
    monkeypatch.setattr(evaluation, "load_mini", lambda: small)
    scores = pretraining.pretrain(job)
    assert all(0 <= value <= 1 for value in scores.values())
    model = CLIPModel.from_pretrained(job.output_dir)
    tokenizer = AutoTokenizer.from_pretrained(job.output_dir)
    assert model.config.text_config.eos_token_id == tokenizer.eos_token_id
    assert CLIPImageProcessor.from_pretrained(job.output_dir).crop_size["height"] == 64
    card = (job.output_dir / "README.md").read_text()
    assert job.command in card and "chance, unseen classes | 0.083" in card
    with pytest.raises(ValueError, match="other options"):
        longer = replace(job, options=replace(job.options, steps=3))
        pretraining.train_vision(pretraining._start(job)[0], None, longer.options, job.checkpoint)


def test_pictures_are_drawn_once_in_the_order_of_their_labels(tmp_path):
    pictures = PictureSet("photo", ("cup", "axe"), 7, instances=2, views=2)
    drawn = load_pictures(pictures, tmp_path, num_proc=1)
    assert drawn.shape == (8, 64, 64, 3)
    assert [ALL_CLASSES[label] for label in pictures.labels] == ["cup"] * 4 + ["axe"] * 4
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert np.array_equal(load_pictures(pictures, tmp_path), drawn)
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_training_and_held_out_pictures_show_instances_the_data_set_does_not():
    ranges = [
        range(s.first_instance, s.first_instance + s.instances)
        for s in (pretraining.PHOTOS, pretraining.HELD_OUT)
    ]
    assert not set(ranges[0]) & set(ranges[1])
    assert min(r.start for r in ranges) > 10_000


def test_no_sketch_of_an_unseen_class_is_ever_drawn_for_training():
    assert set(pretraining.SKETCHES.classes) == set(SEEN_CLASSES)


def test_augmentation_without_strength_only_mirrors():
    torch.manual_seed(0)
    pixels = torch.randint(0, 255, (6, 64, 64, 3), dtype=torch.uint8)
    plain, changed = normalize(pixels), augment(pixels, strength=0.0)
    for before, after in zip(plain, changed):
        error = min((before - after).abs().max(), (before.flip(-1) - after).abs().max())
        assert error < 1e-3
    assert (augment(pixels) - plain).abs().mean() > 0.1
