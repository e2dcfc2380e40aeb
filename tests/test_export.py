"""Encoders leave torch: ONNX with the same features, and one graph for compile and export."""

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sketch_prompt import SketchPromptModel
from sketch_prompt.cli import app
from sketch_prompt.export import Encoder, OnnxEncoders, export_onnx
from sketch_prompt.models.auto import MODELS

METHODS = sorted(MODELS)


@pytest.mark.parametrize("method", METHODS)
def test_onnx_gives_the_models_features_for_any_batch(method, tmp_path):
    pytest.importorskip("onnxruntime")
    model = SketchPromptModel.from_pretrained(f"mini-{method}")
    export_onnx(model, tmp_path)
    encoders = OnnxEncoders(tmp_path)
    for count in (1, 5):
        pixels = torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            expected = {
                "sketch": model.get_sketch_features(pixels),
                "photo": model.get_photo_features(pixels),
            }
        for domain, features in expected.items():
            np.testing.assert_allclose(encoders.embed(pixels.numpy(), domain), features.numpy(), atol=1e-4)
    picture = Image.new("RGB", (90, 70), "teal")
    np.testing.assert_allclose(encoders.encode([picture])[0], model.encode(picture), atol=1e-4)


def test_eight_bits_are_smaller_and_nearly_the_same(tmp_path):
    pytest.importorskip("onnxruntime")
    model = SketchPromptModel.from_pretrained("mini-clip-at")
    full, small = export_onnx(model, tmp_path / "full"), export_onnx(model, tmp_path / "small", int8=True)
    assert small["photo"].stat().st_size < 0.8 * full["photo"].stat().st_size
    pixels = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)).numpy()
    first, second = (OnnxEncoders(tmp_path / name).embed(pixels, "photo") for name in ("full", "small"))
    assert (first * second).sum(axis=1).min() > 0.99


def encoder_of(method, domain):
    """An encoder, two pictures' pixels and what it makes of them."""
    encoder = Encoder(SketchPromptModel.from_pretrained(f"mini-{method}"), domain).eval()
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return encoder, pixels, encoder(pixels)


@pytest.mark.parametrize("method", METHODS)
def test_every_sketch_encoder_compiles_to_one_graph_for_any_batch(method):
    encoder, pixels, expected = encoder_of(method, "sketch")
    with torch.no_grad():
        compiled = torch.compile(encoder, fullgraph=True, backend="eager")
        for batch in (pixels, pixels.repeat(2, 1, 1, 1)):
            torch.testing.assert_close(compiled(batch)[:2], expected, atol=1e-5, rtol=1e-4)
    torch.compiler.reset()


@pytest.mark.parametrize("method", METHODS)
def test_every_photo_encoder_exports_strictly_for_any_batch(method):
    encoder, pixels, expected = encoder_of(method, "photo")
    with torch.no_grad():
        shapes = {"pixel_values": {0: torch.export.Dim("batch")}}
        exported = torch.export.export(encoder, (pixels,), dynamic_shapes=shapes, strict=True).module()
        for batch in (pixels[:1], pixels.repeat(3, 1, 1, 1)):
            torch.testing.assert_close(exported(batch)[:1], expected[:1], atol=1e-5, rtol=1e-4)
    torch.compiler.reset()


def test_the_command_exports(tmp_path):
    pytest.importorskip("onnxruntime")
    done = CliRunner().invoke(
        app, ["export", "-m", "mini-frozen-clip", "-o", str(tmp_path / "onnx"), "--int8"]
    )
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {
        "sketch_encoder.onnx",
        "photo_encoder.onnx",
        "preprocessor_config.json",
        "exported.json",
    }
