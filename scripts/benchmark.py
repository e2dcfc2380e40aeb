"""Speed of what the project exists for, beside the arithmetic it cannot do without.

    python scripts/benchmark.py                 # everything
    python scripts/benchmark.py embed metrics   # these

Every measurement alternates the two contenders in one run and prints medians and their ratio: on a shared
machine only ratios taken together mean anything. Models are ViT-B/32 with random weights, in float32 on the CPU.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch


def alternate(contenders: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each contender, run in turns after one warm-up each."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(title: str, medians: dict[str, float], limit: str) -> None:
    """Print the medians and the ratio of the second contender to the first."""
    (base_name, base), (name, ours) = medians.items()
    print(
        f"{title}\n  {base_name}: {base:.3f} s\n  {name}: {ours:.3f} s\n  ratio {ours / base:.3f} ({limit})\n"
    )


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


def benchmark_embed(repeats: int) -> None:
    """Embedding photos with prompts, against the bare tower."""
    for method, limit in EMBEDDING.items():
        medians = time_embedding(method, repeats)
        report("Embedding 32 photos", medians, limit)


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
        )


TRAINING = {
    "clip-at": "without weight gradients about 2.1; limit 2.25",
    "splip": "a fourth image and 208 sentences with their gradients besides",
}


def benchmark_condition(repeats: int) -> None:
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
    report("Embedding 32 photos under a category", medians, "limit 1.35")
    print(f"Conditioning on a new category's support set\n  {seconds:.3f} s\n")


def benchmark_train(repeats: int) -> None:
    """A training step on 16 triplets, against three forward passes of the bare tower; and its memory, alone."""
    for method, limit in TRAINING.items():
        report("Training on 16 triplets of 104 classes", time_training(method, repeats), limit)
        command = [sys.executable, __file__, "--training-memory", method]
        print(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def time_training(method: str, repeats: int) -> dict[str, float]:
    """Median seconds of three forward passes of the bare tower and of a training step of a method."""
    bare, model = vit_b_32(method)
    images = torch.randn(16, 3, 224, 224)

    def forward():
        with torch.inference_mode():
            for _ in range(3):
                bare(pixel_values=images)

    contenders = {"three bare forward passes": forward, f"{method}, training step": training_step(model)}
    return alternate(contenders, repeats)


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
    print(f"  peak memory of the process {peak:.0f} MB (limit 6,000)\n")


def _unit_vectors(n: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, 512), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _metrics_case(n_queries: int, n_gallery: int):
    labels = np.random.default_rng(2)
    features = _unit_vectors(n_queries, 0), _unit_vectors(n_gallery, 1)
    return *features, labels.integers(0, 25, n_queries), labels.integers(0, 25, n_gallery)


def benchmark_metrics(repeats: int) -> None:
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
    report("Scoring 15,229 x 17,101 x 512", medians, "limit 2")
    alone = subprocess.run(
        [sys.executable, __file__, "--metrics-memory"], capture_output=True, text=True, check=True
    )
    print(alone.stdout)


def metrics_memory() -> None:
    """Peak memory of a process that does nothing but score sketchy-25's size."""
    from sketch_prompt.evaluation.environment import peak_memory
    from sketch_prompt.metrics import evaluate_retrieval

    evaluate_retrieval(*_metrics_case(15_229, 17_101))
    peak = peak_memory(torch.device("cpu"))["process"]
    print(f"  peak memory of the process {peak:.0f} MB (limit 1,500)")


def benchmark_loader(repeats: int) -> None:
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
    images = 3 * len(sampler)
    print(f"Loading triplets, two workers\n  {images / seconds:.0f} images a second (at least 400 wanted)\n")


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


def benchmark_table(repeats: int) -> None:
    """Building the table of a benchmark of 85,000 photos and 75,000 sketches, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        _write_links(Path(folder), n_classes=125, photos_per_class=680, sketches_per_class=600)
        alone = subprocess.run(
            [sys.executable, __file__, "--table", folder], stdout=subprocess.PIPE, text=True, check=True
        )
    print(alone.stdout)


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
    rows = sum(table.num_rows for table in data.values())
    print(
        f"Building a table of {rows:,} paths\n  {seconds:.1f} s, {peak:.0f} MB (limits 60 s and 1,000 MB)\n"
    )


def benchmark_index(repeats: int) -> None:
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
    report(f"Indexing {len(pixels)} JPEGs", medians, "limit 1.15")


def _clustered_vectors(n: int, seed: int) -> np.ndarray:
    """(n, 512) unit vectors: one of 10,000 random directions, the same for every seed, and noise of 3/4 its length."""
    centres = _unit_vectors(10_000, 0)
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(0, len(centres), n)] + 0.75 * _unit_vectors(n, seed + 1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


_QUERIES_SEED = 1_000_003  # of no gallery vector


def benchmark_search(repeats: int) -> None:
    """Exact search of 100,000 photos, and approximate search of a million whose features are on disk."""
    from sketch_prompt.gallery.indexes import make_index

    vectors, queries = _clustered_vectors(100_000, 10), _clustered_vectors(50, _QUERIES_SEED)
    index = make_index("auto")
    index.build(np.arange(len(vectors)), vectors)
    seconds = _median_seconds(index, queries)
    print(f"Search of 100,000 x 512, {index.describe()}\n  {1000 * seconds:.1f} ms a query (limit 30)\n")
    del index, vectors
    with tempfile.TemporaryDirectory() as folder:
        for step in ("--build-large", "--search-large"):
            alone = subprocess.run(
                [sys.executable, __file__, step, folder], stdout=subprocess.PIPE, text=True, check=True
            )
            print(alone.stdout, end="")


def _median_seconds(index, queries: np.ndarray) -> float:
    seconds = []
    for query in queries:
        start = time.perf_counter()
        index.search(query[None], 10)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


_LARGE, _PART = 1_000_000, 25_000
_MODEL = {
    "method": "none",
    "by_category": False,
    "base_model": None,
    "dtype": "float32",
    "weights": [],
    "photos": {},
}


def _large_vectors(folder: str):
    from sketch_prompt.gallery.store import FeatureStore, StoredVectors

    store = FeatureStore(Path(folder) / "features", _MODEL)
    store.read_blocks()
    digests = np.array([f"{number:032x}" for number in range(_LARGE)], object)
    return store, StoredVectors(store, digests)


def build_large(folder: str) -> None:
    """Write a million features into a store, and build and save their index."""
    import json

    from sketch_prompt.evaluation.environment import peak_memory
    from sketch_prompt.gallery.indexes import make_index
    from sketch_prompt.gallery.indexes.recall import RunningTruth

    store, vectors = _large_vectors(folder)
    truth = RunningTruth(_clustered_vectors(200, _QUERIES_SEED))
    for start in range(0, _LARGE, _PART):
        part = _clustered_vectors(_PART, 1000 + start)
        store.append(list(vectors.digests[start : start + _PART]), part)
        truth.add(np.arange(start, start + _PART), part)
    store.flush()
    np.savez(Path(folder) / "truth.npz", queries=truth.queries, ids=truth.ids)
    start, index = time.perf_counter(), make_index("auto")
    index.build(np.arange(_LARGE), vectors)
    seconds = time.perf_counter() - start
    (Path(folder) / "index.json").write_text(json.dumps(index.save(Path(folder), "index")))
    peak = peak_memory(torch.device("cpu"))["process"]
    print(f"Search of {_LARGE:,} x 512, 10,000 clusters, {index.describe()}")
    print(f"  built in {seconds:.0f} s, peak memory {peak:.0f} MB")


def search_large(folder: str) -> None:
    """Load that index and search it, in a process that does nothing else."""
    import json

    from sketch_prompt.evaluation.environment import peak_memory
    from sketch_prompt.gallery.indexes import make_index
    from sketch_prompt.gallery.indexes.recall import recall

    _, vectors = _large_vectors(folder)
    index = make_index("auto")
    index.load(
        Path(folder), json.loads((Path(folder) / "index.json").read_text()), np.arange(_LARGE), vectors
    )
    with np.load(Path(folder) / "truth.npz") as truth:
        queries, ids = truth["queries"], truth["ids"]
    seconds = _median_seconds(index, queries)
    found = recall(index.search(queries, 10).ids, ids)
    peak = peak_memory(torch.device("cpu"))["process"]
    print(f"  {1000 * seconds:.1f} ms a query (limit 15), recall@10 {found:.3f} (at least 0.95 wanted)")
    print(f"  peak memory of the process {peak:.0f} MB (limit 1,500)\n")


def benchmark_pairs(repeats: int) -> None:
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
    print(f"Scoring 4 x 32 pairs of 196 patches\n  {base_name}: {base:.3f} s")
    for name, value in others:
        print(f"  {name}: {value:.3f} s, {base / value:.2f} times as fast")
    print(
        f"  largest error {error:.1e} (limit 1e-5), in bfloat16 {(half - expected).abs().max():.1e}; wanted 1.4 times "
        "in float32 (arithmetic allows 1.6), 2.2 in bfloat16 where the processor multiplies it\n"
    )


BENCHMARKS = {
    "embed": benchmark_embed,
    "condition": benchmark_condition,
    "train": benchmark_train,
    "metrics": benchmark_metrics,
    "loader": benchmark_loader,
    "table": benchmark_table,
    "index": benchmark_index,
    "search": benchmark_search,
    "pairs": benchmark_pairs,
}


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"out of {', '.join(BENCHMARKS)} (default: all of them)"
    )
    parser.add_argument("--repeats", type=int, default=9, help="turns of each contender")
    parser.add_argument("--metrics-memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--table", help=argparse.SUPPRESS)
    parser.add_argument("--training-memory", help=argparse.SUPPRESS)
    parser.add_argument("--build-large", help=argparse.SUPPRESS)
    parser.add_argument("--search-large", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in BENCHMARKS]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if arguments.build_large:
        build_large(arguments.build_large)
        return
    if arguments.search_large:
        search_large(arguments.search_large)
        return
    if arguments.table:
        build_table(arguments.table)
        return
    if arguments.training_memory:
        training_memory(arguments.training_memory)
        return
    if arguments.metrics_memory:
        metrics_memory()
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {arguments.repeats}\n")
    for name in arguments.names or BENCHMARKS:
        BENCHMARKS[name](arguments.repeats)


if __name__ == "__main__":
    main()
