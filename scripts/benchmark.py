"""Speed of what the project exists for, beside the arithmetic it cannot do without.

    python scripts/benchmark.py                 # everything
    python scripts/benchmark.py embed metrics   # these

Every measurement alternates the two contenders in one run and prints medians and their ratio: on a shared
machine only ratios taken together mean anything. Models are ViT-B/32 with random weights, in float32 on the CPU.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

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
    print(f"{title}\n  {base_name}: {base:.3f} s\n  {name}: {ours:.3f} s\n  ratio {ours / base:.3f} ({limit})\n")


def vit_b_32():
    """A bare vision tower with random weights, and a CLIP-AT model around a CLIP with the same weights."""
    from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection

    from sketch_prompt import ClipAtConfig, ClipAtModel

    torch.manual_seed(0)
    clip = CLIPModel(CLIPConfig())
    bare = CLIPVisionModelWithProjection(clip.config.vision_config).eval()
    bare.vision_model.load_state_dict(clip.vision_model.state_dict())
    bare.visual_projection.load_state_dict(clip.visual_projection.state_dict())
    return bare, ClipAtModel(ClipAtConfig(base_model=None), backbone=clip)


def benchmark_embed(repeats: int) -> None:
    """Embedding photos with prompts, against the bare tower."""
    bare, model = vit_b_32()
    photos = torch.randn(32, 3, 224, 224)
    model.eval()
    with torch.inference_mode():
        medians = alternate(
            {
                "CLIPVisionModelWithProjection": lambda: bare(pixel_values=photos),
                "ClipAtModel.get_photo_features": lambda: model.get_photo_features(photos),
            },
            repeats,
        )
    report("Embedding 32 photos", medians, "three more tokens on fifty are 1.06; limit 1.10")


def benchmark_train(repeats: int) -> None:
    """A training step on 16 triplets, against three forward passes of the bare tower."""
    bare, model = vit_b_32()
    images = [torch.randn(16, 3, 224, 224) for _ in range(3)]
    labels = torch.arange(16)
    model.adapter.class_embeddings = torch.nn.functional.normalize(torch.randn(104, 512), dim=-1)
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=1e-4)
    model.train()

    def forward():
        with torch.inference_mode():
            for batch in images:
                bare(pixel_values=batch)

    def step():
        optimizer.zero_grad()
        model(*images, labels=labels).loss.backward()
        optimizer.step()

    medians = alternate({"three bare forward passes": forward, "training step": step}, repeats)
    report("Training on 16 triplets", medians, "without weight gradients about 2.1; limit 2.25")


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
    alone = subprocess.run([sys.executable, __file__, "--metrics-memory"], capture_output=True, text=True, check=True)
    print(alone.stdout)


def metrics_memory() -> None:
    """Peak memory of a process that does nothing but score sketchy-25's size."""
    from sketch_prompt.metrics import evaluate_retrieval

    evaluate_retrieval(*_metrics_case(15_229, 17_101))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory of the process {peak:.0f} MB (limit 1,500)")


BENCHMARKS = {"embed": benchmark_embed, "train": benchmark_train, "metrics": benchmark_metrics}


def main() -> None:
    """Run the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which (default: all)")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each contender")
    parser.add_argument("--metrics-memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.metrics_memory:
        metrics_memory()
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {arguments.repeats}\n")
    for name in arguments.names or BENCHMARKS:
        BENCHMARKS[name](arguments.repeats)


if __name__ == "__main__":
    main()
