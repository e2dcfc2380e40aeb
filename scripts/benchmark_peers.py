"""What `benchmark.py` measures beside other libraries, in one run; those that are not installed are left out."""

from collections.abc import Callable, Iterator
from importlib import import_module

import numpy as np

from measuring import Figure, alternate, in_words

_QUERIES_SEED = 1_000_003  # of no gallery vector


def unit_vectors(n: int, seed: int) -> np.ndarray:
    """(n, 512) random directions."""
    vectors = np.random.default_rng(seed).standard_normal((n, 512), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered_vectors(n: int, seed: int) -> np.ndarray:
    """(n, 512) unit vectors: one of 10,000 random directions, the same for every seed, and noise of 3/4 its length."""
    centres = unit_vectors(10_000, 0)
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(0, len(centres), n)] + 0.75 * unit_vectors(n, seed + 1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _installed(
    makers: dict[str, tuple[str, Callable[[], Callable[[], object]]]],
) -> Iterator[tuple[str, Callable]]:
    """What can be run of {name: (module that it needs, makes what is run)}."""
    for name, (module, make) in makers.items():
        try:
            import_module(module)
        except ImportError:
            continue
        yield name, make()


def compare(
    title: str, contenders: dict[str, Callable], repeats: int, per: int = 1, limit: str = ""
) -> list[Figure]:
    """Ours, which is the first, and every other beside it."""
    medians = {name: seconds / per for name, seconds in alternate(contenders, repeats).items()}
    (ours, own), *others = medians.items()
    beside = [f"{name} {in_words(seconds)}" for name, seconds in others]
    return [Figure(f"{title}, {ours}", in_words(own), "; ".join(beside), limit)]


def benchmark_search_peers(repeats: int) -> list[Figure]:
    """Exact search of 10,000 and 100,000 photos of 512 numbers, beside flat indexes of faiss, usearch and LanceDB."""
    figures = []
    for rows, limit in ((10_000, ""), (100_000, "205 MB at the speed of memory; 30 ms wanted")):
        vectors, queries = clustered_vectors(rows, 10), clustered_vectors(20, _QUERIES_SEED)
        figures += compare(
            f"Exact search of {rows:,} x 512, a query",
            dict(_searches(vectors, queries)),
            max(2, repeats // 2),
            len(queries),
            limit,
        )
    return figures


def _searches(vectors: np.ndarray, queries: np.ndarray) -> Iterator[tuple[str, Callable[[], object]]]:
    from sketch_prompt.gallery.indexes import make_index

    def ours():
        index = make_index("exact")
        index.build(np.arange(len(vectors)), vectors)
        return lambda: [index.search(query[None], 10) for query in queries]

    def faiss_flat():
        import faiss

        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return lambda: [index.search(query[None], 10) for query in queries]

    def usearch_exact():
        from usearch.index import MetricKind, search

        return lambda: [search(vectors, query, 10, MetricKind.IP, exact=True) for query in queries]

    def lance_flat():
        import lance
        import pyarrow as pa

        column = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
        table = lance.write_dataset(pa.table({"vector": column}), "memory://", mode="create")
        nearest = {"column": "vector", "k": 10, "metric": "dot"}
        return lambda: [table.to_table(columns=[], nearest={**nearest, "q": query}) for query in queries]

    yield from _installed(
        {
            "Gallery": ("sketch_prompt", ours),
            "faiss IndexFlatIP": ("faiss", faiss_flat),
            "usearch, exact": ("usearch", usearch_exact),
            "Lance, flat": ("lance", lance_flat),
        }
    )


def benchmark_encode_peers(repeats: int) -> list[Figure]:
    """Pictures in, features out: 64 pictures of 256 x 256 through small-clip, beside other libraries."""
    from PIL import Image

    pictures = [Image.effect_noise((256, 256), 60).convert("RGB") for _ in range(64)]
    contenders = dict(_encoders(pictures))
    return compare("A picture through small-clip", contenders, max(2, repeats // 3), len(pictures))


def _encoders(pictures: list) -> Iterator[tuple[str, Callable[[], object]]]:
    import torch

    from sketch_prompt import SketchPromptModel, SketchPromptProcessor
    from sketch_prompt.sources import local_checkpoint

    folder = str(local_checkpoint("small-clip"))

    def ours():
        model = SketchPromptModel.from_base_model("frozen-clip", "small-clip").eval()
        model.processor = SketchPromptProcessor.from_base_model("small-clip")
        return lambda: model.encode(pictures, batch_size=32, show_progress_bar=False)

    def transformers_clip():
        from transformers import CLIPImageProcessorPil, CLIPModel

        model, processor = (
            CLIPModel.from_pretrained(folder).float().eval(),
            CLIPImageProcessorPil.from_pretrained(folder),
        )

        @torch.inference_mode()
        def run():
            for start in range(0, len(pictures), 32):
                model.get_image_features(**processor(pictures[start : start + 32], return_tensors="pt"))

        return run

    def sentence_transformers():
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import CLIPModel

        model = SentenceTransformer(modules=[CLIPModel(folder)], device="cpu").float()
        return lambda: model.encode(pictures, batch_size=32, show_progress_bar=False)

    yield from _installed(
        {
            "model.encode": ("sketch_prompt", ours),
            "transformers": ("transformers", transformers_clip),
            "sentence-transformers": ("sentence_transformers", sentence_transformers),
        }
    )


def benchmark_metric_peers(repeats: int) -> list[Figure]:
    """mAP of 500 sketches in 17,101 photos, beside scikit-learn's average precision."""
    from sketch_prompt.metrics import evaluate_retrieval

    labels = np.random.default_rng(2)
    queries, gallery = unit_vectors(500, 0), unit_vectors(17_101, 1)
    query_labels, gallery_labels = labels.integers(0, 25, 500), labels.integers(0, 25, 17_101)

    def scikit_learn():
        from sklearn.metrics import average_precision_score

        def run():
            scores = queries @ gallery.T
            right = gallery_labels == query_labels[:, None]
            return np.mean([average_precision_score(*row) for row in zip(right, scores)])

        return run

    contenders = {
        "evaluate_retrieval": (
            "sketch_prompt",
            lambda: lambda: evaluate_retrieval(queries, gallery, query_labels, gallery_labels),
        ),
        "scikit-learn": ("sklearn", scikit_learn),
    }
    return compare("Scoring 500 x 17,101 x 512", dict(_installed(contenders)), max(2, repeats // 3))
