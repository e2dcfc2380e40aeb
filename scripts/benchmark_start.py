"""How long `sketch-prompt search` takes to start: whole processes, beside those that only import what it needs."""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from measuring import Figure

MODEL = "sketch-search"
_PHOTOS = 24
_SIDE = 96
_IMPORTS = {
    "importing torch": "import torch",
    "importing torch and the CLIP of transformers": "import torch; from transformers import CLIPModel",
}
_SEARCH = ["-m", "sketch_prompt", "search"]


def benchmark_start(repeats: int) -> list[Figure]:
    """A whole `sketch-prompt search` by a drawing, in seconds of the processor, beside what it must import."""
    from sketch_prompt import Gallery, SketchPromptModel
    from sketch_prompt.export import export_onnx

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photos, drawing = folder / "photos", folder / "drawing.png"
        photos.mkdir()
        noise = np.random.default_rng(0)
        for number in range(_PHOTOS):
            pixels = noise.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
            Image.fromarray(pixels).save(photos / f"{number}.png")
        Image.fromarray(pixels).save(drawing)
        export_onnx(SketchPromptModel.from_pretrained(MODEL), folder / "onnx")
        programs = {name: ["-c", code] for name, code in _IMPORTS.items()}
        for name, model in ((MODEL, MODEL), ("exported encoders", folder / "onnx")):
            Gallery.build(model, photos, folder / name, progress=False)
            programs[name] = [*_SEARCH, str(folder / name), str(drawing)]
        medians = _alternate(programs, repeats)
    least = dict(zip((MODEL, "exported encoders"), reversed(_IMPORTS)))
    return [
        Figure(
            f"search, {name}",
            f"{medians[name]:.2f} s",
            f"{import_}, {medians[import_]:.2f} s",
            "2 s wanted",
            raw={"seconds": medians[name], "base": medians[import_]},
        )
        for name, import_ in least.items()
    ]


def _alternate(programs: dict[str, list[str]], repeats: int) -> dict[str, float]:
    """Median seconds of the processor of each program, a process each, run in turns after one warm-up each."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(repeats + 1):
        for name, arguments in programs.items():
            before = os.times()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            after = os.times()
            if turn:
                used = after.children_user + after.children_system
                seconds[name].append(used - before.children_user - before.children_system)
    return {name: statistics.median(values) for name, values in seconds.items()}
