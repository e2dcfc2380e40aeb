import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import CLIPConfig, CLIPTokenizer
from transformers.image_utils import IMAGENET_DEFAULT_MEAN
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sketch_prompt.processing import SketchPromptImageProcessor, SketchPromptProcessor


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def drawing(size: int = 256, width: int = 1) -> Image.Image:
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).line(
        [(size // 4, size // 4), (size // 2, size * 3 // 4)], fill="black", width=width
    )
    return image


@pytest.fixture
def base_model(tmp_path) -> Path:
    """A CLIP folder as the Hub has them, without weights: config, image processor, tokenizer."""
    folder = tmp_path / "base"
    letters = list("abcdefghijklmnopqrstuvwxyz")
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[]).save_pretrained(folder)
    CLIPConfig(text_config={"max_position_embeddings": 19}).save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48}, image_mean=[0.1, 0.2, 0.3]
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_path_is_read_to_its_end(tmp_path, file_format):
    path = tmp_path / "image"
    noise(12, 10).save(path, file_format)
    tensor = SketchPromptImageProcessor(size=12).preprocess(path)
    assert torch.equal(tensor, SketchPromptImageProcessor(size=12).preprocess(Image.open(path)))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.zeros((2, 3, 8, 8)), "pass a batch as a list"),
        (np.zeros((8, 8, 7)), "is not an image"),
        (np.full((8, 8, 3), 200.0), r"must be in \[0, 1\]"),
        (np.full((8, 8), np.nan), r"must be in \[0, 1\]"),
        (np.full((8, 8), -1), "is not understood"),
        (np.zeros((0, 8, 3), dtype=np.uint8), "empty"),
        (None, "expected a PIL image"),
        ("missing.png", "No such file"),
    ],
)
def test_a_bad_item_is_named_with_its_index_and_reason(bad, reason):
    with pytest.raises(ValueError, match=rf"photos\[1\] cannot be used: .*{reason}"):
        SketchPromptProcessor(SketchPromptImageProcessor())(photos=[noise(8, 8), bad])


@pytest.mark.parametrize(
    "size", [(64, 64), (100, 80), (81, 133), (50, 31), (640, 427), (256, 256), (20, 150)]
)
def test_the_photo_pipeline_is_clips(size):
    image = noise(*size)
    clip = CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    ours = SketchPromptImageProcessor(size=64).preprocess(image, "photo")
    torch.testing.assert_close(ours, clip(image, return_tensors="pt").pixel_values[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 100_000), (100_000, 3)])
@pytest.mark.parametrize("mode", ["pad", "crop", "squash"])
def test_tiny_and_elongated_images_work(size, mode):
    processor = SketchPromptImageProcessor(
        size=32, photo_resize=mode, sketch_resize=mode, sketch_crop_margin=True, sketch_line_width=1
    )
    for domain in ("sketch", "photo"):
        tensor = processor.preprocess(Image.new("RGB", size, "gray"), domain)
        assert tensor.shape == (3, 32, 32) and tensor.isfinite().all()


def test_cropping_a_long_image_before_resizing_shows_the_same_centre():
    ramp = np.linspace(0, 255, 4000).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp, (40, 4000)).copy())
    tensor = SketchPromptImageProcessor(size=40, do_normalize=False).preprocess(image, "photo")
    assert torch.allclose(tensor[0, 20] * 255, torch.from_numpy(ramp[1980:2020].copy()).float(), atol=1)


def test_pad_keeps_the_whole_picture_and_fills_with_the_domains_background():
    wide = Image.new("RGB", (40, 20), (10, 200, 30))
    processor = SketchPromptImageProcessor(size=40, photo_resize="pad", photo_pad_color="blue")
    photo, sketch = (np.asarray(processor.to_square(wide, domain)) for domain in ("photo", "sketch"))
    for padded, background in ((photo, [0, 0, 255]), (sketch, [255, 255, 255])):
        assert (padded[10:30] == [10, 200, 30]).all()
        assert (padded[:10] == background).all() and (padded[30:] == background).all()


def test_squash_keeps_the_corners():
    image = Image.new("RGB", (80, 20), "white")
    image.paste("black", (0, 0, 20, 20))
    squashed = np.asarray(
        SketchPromptImageProcessor(size=16, photo_resize="squash").to_square(image, "photo")
    )
    assert (squashed[:, :2] == 0).all() and (squashed[:, -8:] == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "1", "LA"])
def test_a_blank_sketch_stays_blank(mode):
    processor = SketchPromptImageProcessor(
        size=32, sketch_crop_margin=True, sketch_line_width=1, do_normalize=False
    )
    blank = Image.new(mode, (300, 200), "white" if mode == "RGB" else 1 if mode == "1" else (255, 255))
    assert torch.equal(processor.preprocess(blank, "sketch"), torch.ones(3, 32, 32))


def test_line_width_keeps_thin_lines_of_a_shrunk_sketch_dark():
    def darkest(line_width):
        processor = SketchPromptImageProcessor(size=64, sketch_line_width=line_width, do_normalize=False)
        return processor.preprocess(drawing(512), "sketch").amin().item()

    assert darkest(0) > 0.7 and darkest(1) < 0.3


def test_line_width_leaves_a_sketch_that_is_not_shrunk_alone():
    image = drawing(64)
    plain, kept = (SketchPromptImageProcessor(size=64, sketch_line_width=width) for width in (0, 1))
    assert torch.equal(plain.preprocess(image, "sketch"), kept.preprocess(image, "sketch"))


def test_normalisation_by_name_by_numbers_and_off():
    image = noise(16, 16)
    values = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    imagenet = SketchPromptImageProcessor(size=16, normalization="imagenet")
    assert imagenet.image_mean == list(IMAGENET_DEFAULT_MEAN)
    own = SketchPromptImageProcessor(size=16, image_mean=[0.5, 0.4, 0.3], image_std=[0.1, 0.2, 0.3])
    expected = (values - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.1, 0.2, 0.3]).view(
        3, 1, 1
    )
    torch.testing.assert_close(own.preprocess(image), expected, atol=1e-5, rtol=1e-5)
    off = SketchPromptImageProcessor(size=16, do_normalize=False)
    torch.testing.assert_close(off.preprocess(image), values)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sketch_line_widht": 1}, "did you mean 'sketch_line_width'"),
        ({"photo_resize": "stretch"}, "photo_resize must be one of pad, crop, squash"),
        ({"size": 0}, "size must be a positive number"),
        ({"size": {"height": 64, "width": 32}}, "one square side"),
        ({"sketch_margin": -1}, "sketch_margin must not be negative"),
        ({"normalization": "clipp"}, "normalization must be one of clip, imagenet"),
        ({"normalization": "clip", "image_mean": [0, 0, 0]}, "not both"),
        ({"image_std": [1, 0, 1]}, "std positive"),
        ({"photo_pad_color": "no colour"}, "unknown color"),
    ],
)
def test_a_wrong_field_is_a_clear_error(fields, message):
    with pytest.raises(ValueError, match=message):
        SketchPromptImageProcessor(**fields)


def test_an_unknown_domain_is_a_clear_error():
    with pytest.raises(ValueError, match="domain must be one of sketch, photo"):
        SketchPromptImageProcessor().preprocess(noise(8, 8), "painting")


def test_a_batch_equals_its_items():
    processor = SketchPromptProcessor(SketchPromptImageProcessor(size=32, sketch_crop_margin=True))
    pictures = [noise(40, 30, seed) for seed in range(3)]
    batch = processor(sketches=pictures, photos=pictures)
    for index, picture in enumerate(pictures):
        assert torch.equal(batch["sketch_pixel_values"][index], processor.preprocess(picture, "sketch"))
        assert torch.equal(batch["photo_pixel_values"][index], processor.preprocess(picture, "photo"))
    assert processor(photos=pictures, return_tensors="np")["photo_pixel_values"].shape == (3, 3, 32, 32)
    only = processor.image_processor(pictures, domain="sketch")["pixel_values"]
    assert torch.equal(only, batch["sketch_pixel_values"])


def test_saving_and_loading_keeps_every_field_and_bit(tmp_path, base_model):
    processor = SketchPromptProcessor.from_base_model(
        base_model, sketch_line_width=0.5, sketch_crop_margin=True, photo_resize="pad"
    )
    processor.save_pretrained(tmp_path / "saved")
    loaded = SketchPromptProcessor.from_pretrained(tmp_path / "saved")
    assert loaded.image_processor.to_dict() == processor.image_processor.to_dict()
    inputs = {"sketches": drawing(), "photos": noise(50, 40), "text": ["a photo of a cat", "a dog"]}
    before, after = processor(**inputs), loaded(**inputs)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    changed = SketchPromptProcessor.from_pretrained(tmp_path / "saved", sketch_crop_margin=False)
    assert changed.image_processor.sketch_crop_margin is False and changed.image_processor.size == 48


def test_an_unknown_key_in_a_saved_config_is_named(tmp_path):
    SketchPromptProcessor(SketchPromptImageProcessor()).save_pretrained(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sketch_resise": "pad"}))
    with pytest.raises(ValueError, match=r"unknown key 'sketch_resise'.*did you mean 'sketch_resize'"):
        SketchPromptProcessor.from_pretrained(tmp_path)


def test_a_base_model_gives_its_size_normalisation_and_text_length(base_model):
    processor = SketchPromptProcessor.from_base_model(base_model)
    image = noise(60, 50)
    clip = CLIPImageProcessorPil.from_pretrained(base_model)
    expected = clip(image, return_tensors="pt").pixel_values
    torch.testing.assert_close(processor(photos=image)["photo_pixel_values"], expected, atol=1e-5, rtol=0)
    assert processor.image_processor.image_mean == [0.1, 0.2, 0.3]
    assert processor(text="a " * 100)["input_ids"].shape == (1, 19)
    assert processor(text="a", padding="max_length")["input_ids"].shape == (1, 19)
    imagenet = SketchPromptProcessor.from_base_model(base_model, normalization="imagenet").image_processor
    assert imagenet.image_mean == list(IMAGENET_DEFAULT_MEAN)


def test_a_checkpoint_without_a_tokenizer_loads_and_says_so_when_asked_for_text(tmp_path):
    SketchPromptProcessor(SketchPromptImageProcessor(size=16)).save_pretrained(tmp_path)
    processor = SketchPromptProcessor.from_pretrained(tmp_path)
    assert processor.tokenizer is None
    assert processor(sketches=drawing())["sketch_pixel_values"].shape == (1, 3, 16, 16)
    with pytest.raises(ValueError, match="no tokenizer"):
        processor(text="a cat")


def test_the_real_clip_folder_loads(shared):
    processor = SketchPromptProcessor.from_base_model(shared("real-clip"))
    batch = processor(photos=noise(80, 60), text=processor.class_prompt("hot-air_balloon"))
    assert batch["photo_pixel_values"].shape == (1, 3, 64, 64)
    assert (
        processor.tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True)
        == "a photo of a hot - air balloon"
    )


def test_nothing_to_process_is_an_error():
    processor = SketchPromptProcessor(SketchPromptImageProcessor())
    with pytest.raises(ValueError, match="nothing to process"):
        processor()
    with pytest.raises(ValueError, match="photos is an empty list"):
        processor(photos=[])


def test_scores_rank_the_gallery_with_ties_in_gallery_order():
    processor = SketchPromptProcessor(SketchPromptImageProcessor())
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    gallery = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    scores = processor.score(queries, gallery)
    assert scores.tolist() == [[0, 1, 1], [1, 0, 0]]
    first, second = processor.post_process_retrieval(scores, top_k=2)
    assert first["indices"].tolist() == [1, 2] and second["indices"].tolist() == [0, 1]
    assert first["scores"].tolist() == [1, 1]


@pytest.mark.parametrize("domain", ["sketch", "photo"])
def test_a_larger_square_shows_the_same_view(domain):
    processor = SketchPromptImageProcessor(size=32, sketch_crop_margin=True, sketch_line_width=1.0)
    image = drawing(200, 6).resize((200, 120))
    large = processor.to_square(image, domain, scale=4)
    assert large.size == (128, 128)
    small = np.asarray(processor.to_square(image, domain).convert("L"), float)
    shrunk = np.asarray(large.convert("L").resize((32, 32), Image.Resampling.BOX), float)
    assert np.abs(shrunk - small).mean() < 8


def test_field_of_view_follows_crop_and_padding():
    sketch = Image.new("RGB", (100, 60), "white")
    sketch.paste("black", (20, 10, 60, 30))
    processor = SketchPromptImageProcessor(size=32, sketch_crop_margin=True, sketch_margin=0.1)
    # 40 x 20 of ink, 4 pixels around, padded to a square: 48 x 48 from (16, -4)
    assert processor.field_of_view(sketch, "sketch") == pytest.approx((16, -4, 64, 44), abs=1.6)
    assert processor.field_of_view(sketch, "photo") == pytest.approx((20, 0, 80, 60), abs=60 / 32)
    assert SketchPromptImageProcessor(photo_resize="squash").field_of_view(sketch, "photo") == (0, 0, 100, 60)


@pytest.mark.parametrize("do_normalize", [True, False])
def test_denormalizing_gives_the_colours_back(do_normalize):
    processor = SketchPromptImageProcessor(size=24, do_normalize=do_normalize, normalization="imagenet")
    image = noise(24, 24)
    colours = processor.denormalize(processor.preprocess(image))
    assert torch.allclose(
        colours * 255, torch.from_numpy(np.array(image)).permute(2, 0, 1).float(), atol=1e-3
    )
