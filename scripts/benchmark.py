"""Speed of what the project exists for, beside the arithmetic it cannot do without, and beside other libraries.

    python scripts/benchmark.py                 # everything; an hour on two cores
    python scripts/benchmark.py embed metrics   # these
    python scripts/benchmark.py --json docs/performance.json   # and keep the figures, beside those that are there
    python scripts/performance.py               # docs/performance.md from them

Every measurement alternates the contenders in one run and prints medians and their ratio: on a shared machine only
ratios taken together mean anything. Models are ViT-B/32 with random weights, in float32 on the CPU.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmark_peers import benchmark_encode_peers, benchmark_metric_peers, benchmark_search_peers
from benchmark_serving import benchmark_serving
from benchmark_start import benchmark_start
from measuring import Figure, alternate, in_words, ratio
from sketch_prompt.machine import available_cores


class WordIds:
    """Stands in for a processor: texts of one token a word, in CLIP's vocabulary."""

    def __call__(self, text: list[str], return_tensors: str = "pt"):
        """Token ids (B, T), padded with the end token."""
        from transformers import BatchFeature

        rows = [[49406, *(1 + sum(map(ord, word)) for word in words.split()), 49407] for words in text]
        width = max(map(len, rows))
        ids = torch.tensor([row + [49407] * (width - len(row)) for row in rows])
        return BatchFeature({"input_ids": ids})


def vit_b_32(method: str):
    """A bare vision tower with random weights, and a model of `method` with 104 classes on the same weights."""
    from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection

    from sketch_prompt import SketchPromptConfig, SketchPromptModel

    torch.manual_seed(0)
    clip = CLIPModel(CLIPConfig())
    bare = CLIPVisionModelWithProjection(clip.config.vision_config).eval()
    bare.vision_model.load_state_dict(clip.vision_model.state_dict())
    bare.visual_projection.load_state_dict(clip.visual_projection.state_dict())
    model = SketchPromptModel.from_config(SketchPromptConfig(method, base_model=None), backbone=clip)
    model.set_classes([f"class {number}" for number in range(104)], WordIds())
    return bare, model


EMBEDDING = {
    "clip-at": "three more tokens on fifty are 1.06; limit 1.10",
    "splip": "six more tokens on fifty are 1.12; limit 1.25",
}


def benchmark_embed(repeats: int) -> list[Figure]:
    """Embedding photos with prompts, against the bare tower."""
    return [
        ratio("Embedding 32 photos", time_embedding(method, repeats), limit)
        for method, limit in EMBEDDING.items()
    ]


def time_embedding(method: str, repeats: int) -> dict[str, float]:
    """Median seconds of embedding photos with the bare tower and with a method."""
    bare, model = vit_b_32(method)
    photos = torch.randn(32, 3, 224, 224)
    model.eval()
    with torch.inference_mode():
        return alternate(
            {
                "CLIPVisionModelWithProjection": lambda: bare(pixel_values=photos),
                f"{method}, get_photo_features": lambda: model.get_photo_features(photos),
            },
            repeats,
            torch.get_num_threads(),
        )


TRAINING = {
    "clip-at": "without weight gradients about 2.1; limit 2.25",
    "splip": "a fourth image and 208 sentences with their gradients besides",
}


def benchmark_condition(repeats: int) -> list[Figure]:
    """Embedding photos of a category with DP-CLIP, against the bare tower; and what a new category costs."""
    from sketch_prompt import DpClipConfig, DpClipModel

    bare, clip_at = vit_b_32("clip-at")
    model = DpClipModel(DpClipConfig(base_model=None), backbone=clip_at.clip).eval()
    photos = torch.randn(32, 3, 224, 224)
    support, text = (torch.randn(1, 3, 224, 224), torch.randn(2, 3, 224, 224)), torch.randn(512) / 512**0.5
    with torch.inference_mode():
        condition = model.condition_on(*support, text)
        medians = alternate(
            {
                "CLIPVisionModelWithProjection": lambda: bare(pixel_values=photos),
                "DpClipModel.get_photo_features": lambda: model.get_photo_features(
                    photos, condition=condition
                ),
            },
            repeats,
        )
        seconds = alternate({"new": lambda: model.condition_on(*support, text)}, repeats)["new"]
    return [
        ratio("Embedding 32 photos under a category", medians, "limit 1.35"),
        Figure("Conditioning on a new category's support set", in_words(seconds)),
    ]


def benchmark_train(repeats: int) -> list[Figure]:
    """A training step on 16 triplets, against three forward passes of the bare tower; and its memory, alone."""
    figures = []
    for method, limit in TRAINING.items():
        figures += [
            ratio("Training on 16 triplets of 104 classes", time_training(method, repeats), limit),
            Figure(
                f"the same, {method}, memory of the process",
                _alone("--training-memory", method),
                limit="6,000 MB",
            ),
        ]
    return figures


def _alone(*arguments: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def time_training(method: str, repeats: int) -> dict[str, float]:
    """Median seconds of three forward passes of the bare tower and of a training step of a method."""
    bare, model = vit_b_32(method)
    images = torch.randn(16, 3, 224, 224)

    def forward():
        with torch.inference_mode():
            for _ in range(3):
                bare(pixel_values=images)

    contenders = {"three bare forward passes": forward, f"{method}, training step": training_step(model)}
    return alternate(contenders, repeats, torch.get_num_threads())


def training_step(model) -> Callable[[], None]:
    """An optimiser step on 16 triplets of random pixels."""
    images = [torch.randn(16, 3, 224, 224) for _ in range(3)]
    labels = torch.arange(16)
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=1e-4)
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        model(*images, labels=labels, negative_labels=labels + 16).loss.backward()
        optimizer.step()

    return step


def training_memory(method: str) -> None:
    """Peak memory of a process that does nothing but train two steps."""
    from sketch_prompt.evaluation.environment import peak_memory

    step = training_step(vit_b_32(method)[1])
    step()
    step()
    peak = peak_memory(torch.device("cpu"))["process"]
    print(f"{peak:,.0f} MB")


def _unit_vectors(n: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, 512), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _metrics_case(n_queries: int, n_gallery: int):
    labels = np.random.default_rng(2)
    features = _unit_vectors(n_queries, 0), _unit_vectors(n_gallery, 1)
    return *features, labels.integers(0, 25, n_queries), labels.integers(0, 25, n_gallery)


def benchmark_metrics(repeats: int) -> list[Figure]:
    """`evaluate_retrieval` at the size of sketchy-25, against the matrix product and a sort of every row."""
    from sketch_prompt.metrics import evaluate_retrieval

    queries, gallery, query_labels, gallery_labels = _metrics_case(15_229, 17_101)

    def product_and_sort():
        for start in range(0, len(queries), 512):
            np.sort(queries[start : start + 512] @ gallery.T, axis=1)

    medians = alternate(
        {
            "matrix product + np.sort": product_and_sort,
            "evaluate_retrieval": lambda: evaluate_retrieval(queries, gallery, query_labels, gallery_labels),
        },
        max(1, repeats // 3),
    )
    return [
        ratio("Scoring 15,229 x 17,101 x 512", medians, "limit 2"),
        Figure("the same, memory of the process", _alone("--metrics-memory"), limit="1,500 MB"),
    ]


def metrics_memory() -> None:
    """Peak memory of a process that does nothing but score sketchy-25's size."""
    from sketch_prompt.evaluation.environment import peak_memory
    from sketch_prompt.metrics import evaluate_retrieval

    evaluate_retrieval(*_metrics_case(15_229, 17_101))
    peak = peak_memory(torch.device("cpu"))["process"]
    print(f"{peak:,.0f} MB")


def benchmark_loader(repeats: int) -> list[Figure]:
    """Triplets of 256 x 256 JPEG photos and PNG sketches as the training loop loads them, with two workers."""
    from torch.utils.data import DataLoader

    from sketch_prompt import load_benchmark
    from sketch_prompt.data.loading import TripletCollator, TripletDataset
    from sketch_prompt.data.samplers import TripletSampler
    from sketch_prompt.processing import SketchPromptImageProcessor

    with tempfile.TemporaryDirectory() as folder:
        _write_pictures(Path(folder), n_classes=4, per_class=128)
        data = load_benchmark("sketch-folder", folder, unseen_fraction=0, cache_dir=f"{folder}/cache")
        tables = data["train_sketch"], data["train_photo"]
        sampler = TripletSampler(*tables)
        dataset = TripletDataset(*tables, SketchPromptImageProcessor(size=224), sampler)
        loader = DataLoader(
            dataset,
            batch_size=64,
            sampler=sampler,
            collate_fn=TripletCollator(),
            num_workers=2,
            persistent_workers=True,
        )
        seconds = alternate({"epoch": lambda: sum(1 for _ in loader)}, repeats)["epoch"]
    rate = 3 * len(sampler) / seconds
    return [
        Figure("Loading triplets, two workers", f"{rate:.0f} images a second", limit="at least 400 wanted")
    ]


def _write_pictures(folder: Path, n_classes: int, per_class: int) -> None:
    from PIL import Image

    for number in range(n_classes):
        for domain, extension in (("photo", "jpg"), ("sketch", "png")):
            (folder / domain / f"class {number}").mkdir(parents=True)
            for k in range(per_class):
                texture = Image.effect_noise((64, 64), 60).resize((256, 256), Image.Resampling.BICUBIC)
                picture = (
                    texture.convert("RGB") if domain == "photo" else texture.point(lambda v: 255 * (v > 90))
                )
                picture.save(folder / domain / f"class {number}" / f"{k}.{extension}", quality=80)


def benchmark_table(repeats: int) -> list[Figure]:
    """Building the table of a benchmark of 85,000 photos and 75,000 sketches, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        _write_links(Path(folder), n_classes=125, photos_per_class=680, sketches_per_class=600)
        return [Figure("Table of 160,000 pictures", _alone("--table", folder), limit="60 s and 1,000 MB")]


def _write_links(folder: Path, n_classes: int, photos_per_class: int, sketches_per_class: int) -> None:
    """Many names for a few tiny files."""
    from PIL import Image

    for number in range(n_classes):
        for domain, count in (("photo", photos_per_class), ("sketch", sketches_per_class)):
            class_folder = folder / domain / f"class {number}"
            class_folder.mkdir(parents=True)
            Image.new("L", (16, 16)).save(class_folder / "0.png")
            for k in range(1, count):
                os.link(class_folder / "0.png", class_folder / f"{k}.png")


def build_table(folder: str) -> None:
    """Time and peak memory of a process that does nothing but build a table."""
    from sketch_prompt import load_benchmark
    from sketch_prompt.evaluation.environment import peak_memory

    start = time.perf_counter()
    data = load_benchmark("sketch-folder", folder, cache_dir=f"{folder}/cache")
    seconds = time.perf_counter() - start
    peak = peak_memory(torch.device("cpu"))["process"]
    print(f"{seconds:.1f} s, {peak:,.0f} MB for {sum(table.num_rows for table in data.values()):,} rows")


def benchmark_index(repeats: int) -> list[Figure]:
    """Indexing 256 x 256 JPEGs from a folder, against the model on tensors that are decoded already."""
    from sketch_prompt import Gallery, SketchPromptProcessor
    from sketch_prompt.processing import SketchPromptImageProcessor

    _, model = vit_b_32("clip-at")
    model.processor = SketchPromptProcessor(SketchPromptImageProcessor(size=224))
    with tempfile.TemporaryDirectory() as folder:
        _write_pictures(Path(folder), n_classes=2, per_class=96)
        photos = Path(folder) / "photo"
        pixels = [model.processor.preprocess(path, "photo") for path in sorted(photos.rglob("*.jpg"))]
        batches = torch.stack(pixels).split(64)

        @torch.inference_mode()
        def embed():
            for batch in batches:
                model.get_photo_features(batch)

        contenders = {
            "get_photo_features": embed,
            "Gallery.build": lambda: Gallery.build(model, photos, progress=False),
        }
        medians = alternate(contenders, max(1, repeats // 2))
    return [ratio(f"Indexing {len(pixels)} JPEGs", medians, "limit 1.15")]


def benchmark_large(repeats: int) -> list[Figure]:
    """Galleries of 100,000 and a million made-up photos in 8 bits and in one; and what the slopes say of more."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "large.json"
        command = [sys.executable, str(Path(__file__).with_name("large_gallery.py")), "--json", str(results)]
        subprocess.run(command, check=True)
        return of_large_galleries(json.loads(results.read_text()))


def benchmark_pairs(repeats: int) -> list[Figure]:
    """ZSE-SBIR's scores of 4 sketches x 32 photos at ViT-B/16's size, against the plain computation.

    Plain: repeated tokens of every pair through cross attention and relation network, in whichever batch is fastest.
    """
    from sketch_prompt import ZseSbirConfig
    from sketch_prompt.models.zse_sbir.matching import PairMatcher

    torch.manual_seed(0)
    matcher = PairMatcher(768, 14, ZseSbirConfig(backbone="vit", base_model=None)).eval()
    sketches, photos = torch.randn(4, 197, 768), torch.randn(32, 197, 768)

    def plain(batch: int) -> torch.Tensor:
        pairs = [(i, j) for i in range(len(sketches)) for j in range(len(photos))]
        parts = [zip(*pairs[start : start + batch]) for start in range(0, len(pairs), batch)]
        return torch.cat([matcher(sketches[list(i)], photos[list(j)]).scores for i, j in parts]).view(4, 32)

    def ours(dtype: torch.dtype) -> torch.Tensor:
        sides = [
            {name: value.to(dtype) for name, value in matcher.prepare(tokens, domain).items()}
            for tokens, domain in ((sketches, "sketch"), (photos, "photo"))
        ]
        return matcher.score(*sides)

    with torch.inference_mode():
        seconds = alternate({size: partial(plain, size) for size in (1, 2, 4, 8, 16, 32)}, 1)
        best = min(seconds, key=seconds.get)
        expected, half = plain(best), ours(torch.bfloat16)
        error = (ours(torch.float32) - expected).abs().max()
        medians = alternate(
            {
                f"plain, float32, {best} pairs at a time": partial(plain, best),
                "score_pairs, float32": partial(ours, torch.float32),
                "score_pairs, images kept in bfloat16": partial(ours, torch.bfloat16),
            },
            max(1, repeats // 2),
        )
    (base_name, base), *others = medians.items()
    wanted = ("1.4 times wanted; arithmetic allows 1.6", "2.2 times where the processor multiplies bfloat16")
    figures = [
        Figure(
            f"Scoring 4 x 32 pairs of 196 patches, {name}",
            f"{base / value:.2f} times as fast",
            f"{base_name}, {in_words(base)}",
            limit,
        )
        for (name, value), limit in zip(others, wanted)
    ]
    errors = f"{error:.1e}, in bfloat16 {(half - expected).abs().max():.1e}"
    return [*figures, Figure("Largest error of these scores", errors, limit="1e-5 in float32")]


BENCHMARKS = {
    "embed": benchmark_embed,
    "condition": benchmark_condition,
    "train": benchmark_train,
    "metrics": benchmark_metrics,
    "loader": benchmark_loader,
    "table": benchmark_table,
    "index": benchmark_index,
    "pairs": benchmark_pairs,
    "search": benchmark_search_peers,
    "large": benchmark_large,
    "encode": benchmark_encode_peers,
    "scoring": benchmark_metric_peers,
    "serving": benchmark_serving,
    "start": benchmark_start,
}


CODE_BYTES: dict[str, Callable[[int], float]] = {
    "float32": lambda width: 4 * width,
    "float16": lambda width: 2 * width,
    "int8": lambda width: width,
    "binary": lambda width: min(width, width // 8 + 16) / 2,  # four bits for each axis; see `indexes.axes`
}


def of_large_galleries(measured: dict) -> list[Figure]:
    """The figures of `large_gallery.py`; and for every precision what the slope between the two sizes says of more."""
    figures, sizes = [], {}
    for gallery in measured["galleries"]:
        search, built = gallery["search"], gallery["build"]
        title = f"{gallery['rows']:,} x {gallery['width']}, {gallery['precision']}"
        figures += [
            Figure(
                f"{title}: a query",
                f"{search['ms']:.1f} ms, recall@10 {search['recall@10']:.3f}",
                limit="15 ms, 0.95",
            ),
            Figure(
                f"{title}: memory, build",
                f"{search['resident_mb']:,.0f} MB, {built['seconds']:.0f} s",
                f"imports, {search['imports_mb']:,.0f} MB",
                f"codes alone {_code_bytes(gallery) * gallery['rows'] / 1e6:,.0f} MB",
            ),
        ]
        sizes.setdefault(gallery["precision"], []).append(gallery)
    for precision, (*_, last) in sizes.items():
        first = sizes[precision][0]
        if first is last:
            continue
        rows = last["rows"] - first["rows"]
        slope = (last["search"]["resident_mb"] - first["search"]["resident_mb"]) / rows
        for wanted in (10_000_000, 100_000_000):
            memory = last["search"]["resident_mb"] + slope * (wanted - last["rows"])
            # Lists grow with the root of the number of photos, and so do the photos in one.
            seconds = last["search"]["ms"] * (wanted / last["rows"]) ** 0.5
            figures.append(
                Figure(
                    f"{wanted:,} x {last['width']}, {precision}, computed from the slope",
                    f"{memory:,.0f} MB, {seconds:.0f} ms a query",
                    limit="1,200 MB and 15 ms wanted" if wanted == 10_000_000 else "",
                )
            )
    return figures


def _code_bytes(gallery: dict) -> float:
    """Bytes of a photo in memory: its code, its number, and where its features are."""
    return CODE_BYTES[gallery["precision"]](gallery["width"]) + 8 + 4


def keep(path: Path, name: str, figures: list[Figure], setup: str) -> None:
    """Put the figures of a benchmark into a file, beside those of others."""
    kept = json.loads(path.read_text()) if path.is_file() else {}
    machine = f"{_processor()}, {available_cores()} cores; Python {platform.python_version()}, {setup}"
    first = (BENCHMARKS[name].__doc__ or "").splitlines()[0]
    kept[name] = {
        "about": first,
        "date": date.today().isoformat(),
        "machine": machine,
        "load": f"{os.getloadavg()[0]:.1f}",
        "figures": [vars(figure) for figure in figures],
    }
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"out of {', '.join(BENCHMARKS)} (default: all of them)"
    )
    parser.add_argument("--json", type=Path, help="file to keep the figures in")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each contender")
    parser.add_argument("--metrics-memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--table", help=argparse.SUPPRESS)
    parser.add_argument("--training-memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in BENCHMARKS]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if arguments.table:
        build_table(arguments.table)
        return
    if arguments.training_memory:
        training_memory(arguments.training_memory)
        return
    if arguments.metrics_memory:
        metrics_memory()
        return
    setup = f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {arguments.repeats}"
    print(f"{setup}\n")
    for name in arguments.names or BENCHMARKS:
        figures = BENCHMARKS[name](arguments.repeats)
        print(*(f"  {figure}" for figure in figures), "", sep="\n", flush=True)
        if arguments.json is not None:
            keep(arguments.json, name, figures, setup)


if __name__ == "__main__":
    main()
