import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.testing import assert_close

from fakes.clip import IMAGE_SIZE, images, tiny_clip
from sketch_prompt import SketchPromptConfig, SketchPromptModel, SketchPromptProcessor
from sketch_prompt.explain.explaining import SHOWN_SIDE
from sketch_prompt.processing import SketchPromptImageProcessor


def build(processor=True, method="clip-at", clip=None, **pipeline):
    torch.manual_seed(0)
    config = SketchPromptConfig(method, base_model=None)
    model = SketchPromptModel.from_config(config, backbone=clip or tiny_clip()).eval()
    if processor:
        size = model.clip.config.vision_config.image_size
        model.processor = SketchPromptProcessor(SketchPromptImageProcessor(size=size, **pipeline))
    return model


def drawing(size=(90, 60), box=(10, 10, 50, 40)):
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle(box, outline="black", width=4)
    return image


def photo(size=(80, 50)):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def test_pictures_paths_and_pixel_values_are_explained_alike(tmp_path):
    model = build()
    drawing().save(tmp_path / "sketch.png")
    photo().save(tmp_path / "photo.png")
    pictures = model.explain(drawing(), photo())
    paths = model.explain(tmp_path / "sketch.png", str(tmp_path / "photo.png"))
    inputs = model.processor(sketches=drawing(), photos=photo())
    values = model.explain(inputs.sketch_pixel_values, inputs.photo_pixel_values[0])
    for other in (paths, values):
        assert np.array_equal(other.matches, pictures.matches)
        assert_close(other.similarity, pictures.similarity)
        assert other.score == pytest.approx(pictures.score)
        assert other.sketch_image.size == pictures.sketch_image.size
    assert values.sketch_view is None and pictures.sketch_view is not None
    with torch.no_grad():
        features = (
            model.get_sketch_features(inputs.sketch_pixel_values),
            model.get_photo_features(inputs.photo_pixel_values),
        )
    assert pictures.score == pytest.approx(float((features[0] * features[1]).sum()), abs=1e-6)


def test_blank_patches_are_neither_matched_nor_warm():
    known = build(sketch_resize="squash").explain(drawing((64, 64), (2, 2, 20, 20)), photo())
    assert known.sketch_grid == (4, 4)
    inked = {0, 1, 4, 5}
    assert set(np.flatnonzero(known.ink)) == inked
    assert set(known.matches[:, 0]) <= inked
    assert set(np.flatnonzero(known.sketch_map)) <= inked
    assert known.sketch_map.max() == pytest.approx(known.weights[0])
    assert known.photo_map.max() == pytest.approx(known.weights[0])


@pytest.mark.parametrize(
    ("size", "patch", "grid"), [(32, 8, 4), (42, 6, 7), (32, 16, 2), (30, 8, 3), (224, 16, 14)]
)
def test_any_patch_grid_is_covered_exactly(size, patch, grid):
    model = build(
        clip=tiny_clip(image_size=size, patch_size=patch), sketch_resize="squash", photo_resize="squash"
    )
    known = model.explain(drawing(), photo((100, 100)))
    assert known.sketch_grid == known.photo_grid == (grid, grid)
    scale = known.sketch_image.width / (grid * patch)
    assert scale == int(scale) and known.sketch_image.width >= SHOWN_SIDE * grid * patch // size
    assert known.photo_view == pytest.approx((0, 0, 100 * grid * patch / size, 100 * grid * patch / size))
    assert known.similarity.shape == (grid**2, grid**2)


@pytest.mark.parametrize("mode", ["pad", "crop", "squash"])
def test_patches_lie_where_the_picture_shows_them(mode):
    """A dot drawn at a known place is inside the patch that is said to lie there."""
    model = build(sketch_resize=mode, sketch_crop_margin=mode == "pad", sketch_margin=0.3)
    for x, y in ((45, 60), (80, 75), (60, 40)):
        sketch = Image.new("RGB", (120, 100), "white")
        pen = ImageDraw.Draw(sketch)
        pen.rectangle((x - 4, y - 4, x + 4, y + 4), fill="black")
        if mode == "pad":  # something else for the crop to hold on to
            pen.rectangle((30, 30, 34, 34), fill="black")
        known = model.explain(sketch, photo())
        shown = np.asarray(known.sketch_image.convert("L"))
        original = np.asarray(sketch.convert("L"))
        for match in known.to_dict()["matches"]:
            row, column = match["sketch"]
            left, top, right, bottom = map(round, known.sketch_box(row * 4 + column))
            assert shown[top:bottom, left:right].min() < 128
            left, top, right, bottom = match["sketch_box"]
            rows = slice(max(int(top) - 1, 0), int(bottom) + 2)
            assert original[rows, max(int(left) - 1, 0) : int(right) + 2].min() < 128


def test_errors_say_what_was_wrong_and_what_to_do(tmp_path):
    model = build()
    with pytest.raises(ValueError, match="the sketch is blank"):
        model.explain(Image.new("RGB", (50, 50), "white"), photo())
    with pytest.raises(ValueError, match=r"the photo cannot be used: .*No such file.*nowhere\.png"):
        model.explain(drawing(), tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="the sketch cannot be used: cannot identify image file"):
        model.explain(tmp_path / "text.png", photo())
    with pytest.raises(ValueError, match=r"one sketch: .* not \(2, 3, 32, 32\)"):
        model.explain(images(2), images(1))
    with pytest.raises(ValueError, match=r"do not fit this CLIP"):
        model.explain(images(1)[..., :16], images(1))
    with pytest.raises(ValueError, match=r"without a processor.*SketchPromptProcessor"):
        build(processor=False).explain(drawing(), photo())
    assert build(processor=False).explain(images(1), images(1, 1)).sketch_image.width == 448


def test_explaining_changes_nothing_and_needs_no_gradient():
    model = build()
    before = model.get_sketch_features(images(1))
    known = model.explain(images(1), images(1, 1))
    assert torch.equal(model.get_sketch_features(images(1)), before)
    assert isinstance(known.similarity, np.ndarray) and before.requires_grad
    assert known.photo_image.size == (SHOWN_SIDE, SHOWN_SIDE) and SHOWN_SIDE % IMAGE_SIZE == 0
