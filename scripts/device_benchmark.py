"""Embedding and training on a device, as a share of the rate at which it multiplies matrices.

    python scripts/device_benchmark.py --device cuda --json gpu.json   # ViT-B/32 and ViT-L/14 in bfloat16, compiled
    python scripts/device_benchmark.py --rehearse                      # a tiny CLIP on the CPU, to see that it runs

The operations of a pass are counted, not estimated. Rankings of random pictures in bfloat16 and float16 are compared
with those in float32. A gallery is built from JPEG files, to see whether reading and decoding keep up.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

SIZES = {
    "ViT-B/32": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "patch_size": 32,
    },
    "ViT-L/14": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 16,
    "image_size": 32,
}


def rate(run: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Calls a second, after two warm-ups."""
    for _ in range(2):
        run()
    _wait(device)
    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    _wait(device)
    return repeats / (time.perf_counter() - begin)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int, repeats: int) -> float:
    """Floating-point operations a second of a product of square matrices."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 * rate(lambda: a @ b, device, repeats)


def make_model(vision: dict, method: str, device: torch.device, dtype: torch.dtype):
    """A model of a method on a CLIP with random weights."""
    from transformers import CLIPConfig, CLIPModel

    from benchmark import WordIds
    from sketch_prompt import SketchPromptConfig, SketchPromptModel

    torch.manual_seed(0)
    options = {"vision_config": vision}
    if vision["hidden_size"] < 100:
        options |= {"projection_dim": 32, "text_config": {**vision, "max_position_embeddings": 77}}
    clip = CLIPModel(CLIPConfig(**options))
    model = SketchPromptModel.from_config(SketchPromptConfig(method, base_model=None), backbone=clip)
    model.set_classes([f"class {number}" for number in range(104)], WordIds())
    return model.to(device, dtype)


def measure_embedding(name: str, vision: dict, settings: argparse.Namespace, peak: float) -> dict:
    """Photos a second, alone and as a share of the matrix rate."""
    device, dtype = settings.device, settings.dtype
    model = make_model(vision, "clip-at", device, dtype).eval()
    side = vision.get("image_size", 224)
    photos = torch.randn(settings.batch_size, 3, side, side, device=device, dtype=dtype)
    with torch.inference_mode():
        counter = FlopCounterMode(display=False)
        with counter:
            model.get_photo_features(photos)
        embed = torch.compile(model.get_photo_features) if settings.compile else model.get_photo_features
        calls = rate(lambda: embed(photos), device, settings.repeats)
    return {
        "what": f"embedding, {name}",
        "pictures a second": calls * len(photos),
        "share of the matrix rate": calls * counter.get_total_flops() / peak,
    }


def measure_training(name: str, vision: dict, settings: argparse.Namespace, peak: float) -> dict:
    """Triplets a second of optimiser steps, and their share of the matrix rate."""
    device, dtype = settings.device, settings.dtype
    model = make_model(vision, "clip-at", device, torch.float32).train()
    side, count = vision.get("image_size", 224), max(2, settings.batch_size // 4)
    images = [torch.randn(count, 3, side, side, device=device) for _ in range(3)]
    labels = torch.arange(count, device=device)
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = model(*images, labels=labels, negative_labels=labels + count).loss
        loss.backward()
        optimizer.step()

    counter = FlopCounterMode(display=False)
    with counter:
        step()
    calls = rate(step, device, settings.repeats)
    return {
        "what": f"training, {name}",
        "triplets a second": calls * count,
        "share of the matrix rate": calls * counter.get_total_flops() / peak,
    }


@torch.inference_mode()
def compare_rankings(name: str, vision: dict, settings: argparse.Namespace) -> dict:
    """Share of the first ten photos that stay among the first ten in fewer bits."""
    side, found = vision.get("image_size", 224), {"what": f"first ten as in float32, {name}"}
    generator = torch.Generator().manual_seed(0)
    sketches, photos = (torch.randn(count, 3, side, side, generator=generator) for count in (16, 64))
    full = None
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        model = make_model(vision, "clip-at", settings.device, dtype).eval()
        queries = model.get_sketch_features(sketches.to(settings.device, dtype)).float()
        scores = queries @ model.get_photo_features(photos.to(settings.device, dtype)).float().T
        first = scores.topk(10).indices.cpu()
        if full is None:
            full = first
        else:
            same = (first[:, :, None] == full[:, None]).any(1).float().mean()
            found[str(dtype).removeprefix("torch.")] = float(same)
    return found


def measure_files(name: str, vision: dict, settings: argparse.Namespace) -> dict:
    """Photos a second from JPEG files of 640 x 480 to a gallery, and of decoding and preprocessing alone."""
    from sketch_prompt import Gallery, SketchPromptProcessor
    from sketch_prompt.processing import SketchPromptImageProcessor

    dtype = settings.dtype if settings.device.type == "cuda" else torch.float32
    model = make_model(vision, "clip-at", settings.device, dtype).eval()
    model.processor = SketchPromptProcessor(SketchPromptImageProcessor(size=vision.get("image_size", 224)))
    with tempfile.TemporaryDirectory() as folder:
        photos = write_photos(Path(folder), settings.photos)
        begin = time.perf_counter()
        few = photos[: max(1, len(photos) // 16)]
        for photo in few:
            model.processor.preprocess(photo, "photo")
        decoding = len(few) / (time.perf_counter() - begin)
        begin = time.perf_counter()
        Gallery.build(
            model,
            folder,
            index="exact",
            batch_size=settings.batch_size,
            num_workers=settings.workers,
            progress=False,
        )
        seconds = time.perf_counter() - begin
    return {
        "what": f"a gallery of {len(photos):,} JPEG files, {settings.workers} workers, {name}",
        "photos a second": len(photos) / seconds,
        "decoded and preprocessed a second, by one process": decoding,
    }


def write_photos(folder: Path, count: int) -> list[Path]:
    """Different JPEG files of about 60 kB: smooth noise, which compresses like a photo."""
    from PIL import Image

    base = Image.effect_noise((80, 60), 90).resize((640, 480), Image.Resampling.BICUBIC)
    grain = Image.effect_noise((640, 480), 12)
    paths = [folder / f"{number:06d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        turned = base.rotate(number * 360 / count)
        Image.merge("RGB", (turned, grain, Image.blend(turned, grain, 0.3))).save(path, quality=85)
    return paths


def main() -> None:
    """Measure, print a line of JSON for each result, and write all to a file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--photos", type=int, default=20_000, help="JPEG files of the gallery")
    parser.add_argument("--workers", type=int, default=8, help="processes that read them")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rehearse", action="store_true", help="a tiny CLIP, two repeats, nothing compiled")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    settings = parser.parse_args()
    settings.dtype, sizes, side = torch.bfloat16, SIZES, 8192
    if settings.rehearse:
        settings.batch_size, settings.repeats, settings.compile = 8, 2, False
        settings.photos, settings.workers = 32, 0
        sizes, side = {"tiny": TINY}, 256
    on_gpu = settings.device.type == "cuda"
    name = torch.cuda.get_device_name(settings.device) if on_gpu else "CPU"
    peak = matrix_rate(settings.device, settings.dtype, side, settings.repeats)
    results = [{"what": f"matrix products in bfloat16, {name}", "operations a second": peak}]
    for size, vision in sizes.items():
        results += [
            measure_embedding(size, vision, settings, peak),
            measure_training(size, vision, settings, peak),
            compare_rankings(size, vision, settings),
            measure_files(size, vision, settings),
        ]
    for result in results:
        print(json.dumps(result), flush=True)
    if settings.json is not None:
        settings.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
