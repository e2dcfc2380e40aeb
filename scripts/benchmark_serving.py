"""What a gallery may embed with: torch in float32 and bfloat16, ONNX Runtime in float32 and 8 bits."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from measuring import Figure, alternate

MODEL, BENCHMARK = "sketch-search", "quickdraw-caltech"
_PER_CLASS = 10
_AT_ONCE = 8
_FIRST = 10


def benchmark_serving(repeats: int) -> list[Figure]:
    """Embedding photos on the CPU with torch and with ONNX Runtime."""
    from sketch_prompt.models.loading import load_model

    figures = []
    for name, model in (
        ("ViT-B/32, random weights", vit_b_32()),
        (f"`{MODEL}`", load_model(MODEL, device="cpu")[0]),
    ):
        with tempfile.TemporaryDirectory() as folder:
            encoders = every_encoder(model, Path(folder))
            figures += speed(name, encoders, repeats)
            if name == f"`{MODEL}`":
                figures += quality(encoders)
    return figures


def vit_b_32():
    """The frozen CLIP with random weights and a processor."""
    from transformers import CLIPConfig, CLIPModel

    from sketch_prompt import SketchPromptConfig, SketchPromptModel, SketchPromptProcessor
    from sketch_prompt.processing import SketchPromptImageProcessor

    torch.manual_seed(0)
    config = SketchPromptConfig("frozen-clip", base_model=None)
    model = SketchPromptModel.from_config(config, backbone=CLIPModel(CLIPConfig())).eval()
    model.processor = SketchPromptProcessor(SketchPromptImageProcessor(size=224))
    return model


def every_encoder(model, folder: Path) -> dict:
    """{name: `GalleryEncoder`} of a model; the first is torch in float32."""
    from sketch_prompt.export import export_onnx
    from sketch_prompt.exported import ExportedModel
    from sketch_prompt.gallery.encoder import GalleryEncoder

    encoders = {"torch": GalleryEncoder(model), "torch, bfloat16": GalleryEncoder(model, dtype="bfloat16")}
    for name, int8 in (("ONNX", False), ("ONNX, int8", True)):
        export_onnx(model, folder / name, int8=int8)
        encoders[name] = GalleryEncoder(ExportedModel(folder / name, "cpu"))
    return encoders


def speed(name: str, encoders: dict, repeats: int) -> list[Figure]:
    """Images a second of every encoder, preparing them included, in turns."""
    side = encoders["torch"].processor.image_processor.size
    noise = np.random.default_rng(0).integers(0, 256, (_AT_ONCE, side, side, 3), np.uint8)
    pictures = [Image.fromarray(pixels) for pixels in noise]
    medians = alternate(
        {title: partial(encoder.embed, pictures, "photo") for title, encoder in encoders.items()}, repeats
    )
    base = _AT_ONCE / medians["torch"]
    return [
        Figure(
            f"{name}, {title}",
            f"{_AT_ONCE / seconds:.1f} images a second, {medians['torch'] / seconds:.2f} times as fast",
            f"torch, float32, {base:.1f}",
            raw={"seconds": seconds, "base": medians["torch"], "images": _AT_ONCE},
        )
        for title, seconds in list(medians.items())[1:]
    ]


def quality(encoders: dict) -> list[Figure]:
    """mAP of every encoder on some drawings and photos of unseen classes, and how rankings differ from float32."""
    from sketch_prompt import load_benchmark
    from sketch_prompt.data.loading import first_of_each
    from sketch_prompt.metrics import evaluate_retrieval

    tables = load_benchmark(BENCHMARK)
    sides = {}
    for domain in ("sketch", "photo"):
        table = tables[f"test_{domain}"]
        sides[domain] = table.select(first_of_each(np.array(table["label"][:]), _PER_CLASS))
    labels = {domain: np.array(table["label"][:]) for domain, table in sides.items()}
    figures, expected = [], None
    for title, encoder in encoders.items():
        features = {
            domain: np.concatenate([encoder.embed(rows["image"], domain) for rows in table.iter(_AT_ONCE)])
            for domain, table in sides.items()
        }
        metrics = evaluate_retrieval(features["sketch"], features["photo"], labels["sketch"], labels["photo"])
        order = np.argsort(-features["sketch"] @ features["photo"].T, axis=1, kind="stable")[:, :_FIRST]
        if expected is None:
            expected, base = order, metrics["mAP@all"]
            continue
        same = np.mean([len(np.intersect1d(ours, theirs)) / _FIRST for ours, theirs in zip(order, expected)])
        figures.append(
            Figure(
                f"mAP@all of {len(labels['sketch'])} drawings and {len(labels['photo'])} photos, {title}",
                f"{100 * metrics['mAP@all']:.2f}; {100 * same:.1f} % of the first {_FIRST} are the same",
                f"torch, float32, {100 * base:.2f}",
            )
        )
    return figures
