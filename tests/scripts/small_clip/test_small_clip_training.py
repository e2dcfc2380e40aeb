"""Training of small-clip, on a handful of made-up pictures."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from small_clip import pretraining
from small_clip.architecture import make_model, short_tokenizer, with_tokenizer
from small_clip.augmentation import augment_drawings, augment_photos, line_drawing
from small_clip.pretraining import Job, bundle
from small_clip.sources import Pictures
from small_clip.space import teacher_space
from small_clip.text import fit_text
from small_clip.training import Options, Trainer

ROWS = 1002


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """A folder with a vocabulary of CLIP's make: 512 characters, and the merges of "cat" and "bat"."""
    folder = tmp_path_factory.mktemp("tokenizer")
    characters = [*map(chr, range(33, 127)), *map(chr, range(161, 323))]
    merges = [("a", "t</w>"), ("c", "at</w>"), ("b", "at</w>")]
    tokens = [*characters, *(c + "</w>" for c in characters), *(a + b for a, b in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: row for row, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n"
    )
    return folder


@pytest.fixture
def space():
    rng = np.random.default_rng(0)
    raw = rng.random((40, 1280), dtype=np.float32).astype(np.float16)
    raw[:20, :100] += 3
    classifier = torch.randn(1000, 1280, generator=torch.Generator().manual_seed(0)), torch.zeros(1000)
    rows = np.repeat([1000, 3], 20)
    return teacher_space(raw, 40, rows, ROWS, classifier, width=16), rows


def test_a_class_starts_where_the_teacher_has_its_photos(space):
    space, _ = space
    _, targets = space.features(np.arange(40))
    assert (targets @ space.class_vectors[[1000, 3]].mT).argmax(dim=1).tolist() == [0] * 20 + [1] * 20
    assert torch.allclose(space.class_vectors.norm(dim=1), torch.ones(ROWS), atol=1e-4)


def test_labels_are_the_class_and_the_opinion_of_the_teacher(space):
    space, _ = space
    space.count = 30
    chosen, own = np.array([0, 35, 5]), torch.tensor([1000, 3, -1])
    labels = space.labels(chosen, own, 0.5, ROWS)
    assert torch.allclose(labels.sum(dim=1), torch.ones(3), atol=1e-4)
    assert labels[0, 1000] == 0.5 and labels[1, 3] >= 0.5 and labels[2, 1000:].sum() == 0
    assert space.labels(np.array([35]), torch.tensor([-1]), 0.5, ROWS).sum() == 0


def test_a_line_drawing_is_dark_where_the_photo_changes():
    photo = torch.zeros(1, 3, 64, 64)
    photo[..., 32:] = 1
    lines = line_drawing(photo)
    assert lines[0, 0, 30, 32] < 0.1 and lines[0, 0, 30, 5] == 1


def test_augmented_pictures_keep_their_shape_and_drawings_their_paper():
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 255, (4, 64, 64, 3), dtype=torch.uint8)
    lines = torch.tensor([True, False, False, False])
    assert augment_photos(photos, lines, generator).shape == (4, 3, 64, 64)
    drawings = augment_drawings(torch.full((4, 64, 64), 255, dtype=torch.uint8), generator)
    assert drawings.std(dim=(2, 3)).max() < 1e-5


def test_a_shorter_tokenizer_writes_all_words_and_a_clip_can_be_cut_to_it(vocabulary, tmp_path):
    whole, short = short_tokenizer(vocabulary), short_tokenizer(vocabulary, merges=2)
    assert len(whole) - len(short) == 1
    assert short.decode(short("a cat and a bat").input_ids, skip_special_tokens=True) == "a cat and a bat"
    clip = make_model(whole).eval()
    clip.save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text((vocabulary / "vocab.json").read_text())
    cut = with_tokenizer(tmp_path, short)
    with torch.no_grad():
        expected = clip.get_text_features(**whole(["a cat"], return_tensors="pt")).pooler_output
        found = cut.get_text_features(**short(["a cat"], return_tensors="pt")).pooler_output
    torch.testing.assert_close(found, expected)


@pytest.fixture
def trainer(space, vocabulary, tmp_path):
    space, rows = space
    rng = np.random.default_rng(1)
    pictures = Pictures(
        photos=rng.integers(0, 255, (40, 64, 64, 3), dtype=np.uint8),
        photo_rows=rows,
        may_be_lines=np.ones(40, bool),
        drawings=rng.integers(0, 255, (6, 2, 64, 64), dtype=np.uint8),
        drawing_rows=np.array([1001] * 6),
    )

    def make(minutes):
        torch.manual_seed(0)
        clip = make_model(short_tokenizer(vocabulary))
        clip.visual_projection = torch.nn.Linear(256, 16, bias=False)
        options = Options(minutes=minutes, batch_size=8)
        return Trainer(clip, pictures, space, options, tmp_path / "run")

    (tmp_path / "run").mkdir()
    return make


def test_training_goes_on_where_it_stopped_and_notes_its_curve(trainer):
    first = trainer(minutes=1e-6)
    before = first.student.classes.detach().clone()
    first.run(log_every=1)
    assert first.step == 1 and not torch.equal(first.student.classes, before)
    second = trainer(minutes=1e-6)
    assert second.step == 1 and torch.equal(second.student.classes, first.student.classes)
    longer = trainer(minutes=second.seconds / 60 + 1e-6)
    longer.run(log_every=1)
    lines = [json.loads(line) for line in (first.folder / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]


def test_captions_lead_to_the_vectors_of_their_classes(vocabulary):
    torch.manual_seed(0)
    tokenizer = short_tokenizer(vocabulary)
    clip = make_model(tokenizer)
    vectors = torch.nn.functional.normalize(torch.randn(2, 256), dim=-1)
    fit_text(clip, tokenizer, [["cat"], ["bat", "at"]], vectors, steps=15, batch_size=16)
    with torch.no_grad():
        inputs = tokenizer(["a photo of a cat", "a photo of a bat"], padding=True, return_tensors="pt")
        texts = clip.get_text_features(**inputs).pooler_output
    assert (texts @ vectors.mT).argmax(dim=1).tolist() == [0, 1]


def test_the_bundle_loads_as_a_clip_and_says_what_it_saw(vocabulary, tmp_path, monkeypatch):
    (tmp_path / "work" / "run").mkdir(parents=True)
    facts = {
        "photos": {"classes": ["n01443537"], "files": ["a"]},
        "doodles": {"classes": ["cat"], "key_ids": ["7"]},
    }
    for name, content in facts.items():
        (tmp_path / "work" / f"{name}.json").write_text(json.dumps(content))
    job = Job(tmp_path / "work", vocabulary)
    from small_clip.training import Student

    student = Student(make_model(short_tokenizer(vocabulary)), torch.randn(1000, 256))
    state = {f"module.{name}": tensor for name, tensor in student.state_dict().items()}
    torch.save({"average": state}, job.run_dir / "state.pt")
    bundle(job, tmp_path / "small-clip", text_steps=1)
    clip = CLIPModel.from_pretrained(tmp_path / "small-clip")
    torch.testing.assert_close(
        clip.vision_model.pre_layrnorm.weight.float(), student.tower.pre_layrnorm.weight.half().float()
    )
    assert len(AutoTokenizer.from_pretrained(tmp_path / "small-clip")) == clip.config.text_config.vocab_size
    manifest = json.loads((tmp_path / "small-clip" / pretraining.MANIFEST).read_text())
    assert manifest == {"drawings": {"cat": ["7"]}, "photos": {"Tiny ImageNet: n01443537 goldfish": 1}}
