"""Category-level evaluation of any model on any benchmark."""

import time
from collections.abc import Sequence

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from sketch_prompt.metrics import chance_level, retrieval_details
from sketch_prompt.metrics.core import Convention

from .embedding import EmbeddingTable, embed
from .environment import describe_environment, peak_memory
from .leakage import Claim, check_classes
from .report import Report

TEST_SPLITS = {"sketch": "test_sketch", "photo": "test_photo"}


def evaluate_model(
    model,
    processor,
    benchmark: datasets.DatasetDict,
    protocol: str,
    *,
    source: str = "",
    convention: Convention = "standard",
    ks: Sequence[int] = (100, 200),
    allow_seen: bool = False,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str | torch.device | None = None,
    accelerator: Accelerator | None = None,
    progress: bool = True,
) -> Report:
    """Search the photos of a benchmark's unseen classes with its unseen sketches.

    Args:
        model: anything with the model contract.
        processor: the checkpoint's own.
        benchmark: from `load_benchmark`; its splits test_sketch and test_photo are used.
        protocol: the benchmark's name, for the report.
        source: where the model came from, for the report; its own record of that by default.
        convention: "standard" or "interpolated", see `sketch_prompt.metrics.evaluate_retrieval`.
        ks: cut-offs of mAP@k and P@k.
        allow_seen: evaluate on classes seen in training, and say so in the report.
        batch_size: images a forward pass.
        num_workers: processes that read images.
        device: where to embed; the model's device by default.
        accelerator: shares the embedding among processes; the first one ranks, and all return its report.
        progress: show bars on stderr.

    Raises:
        SeenClassError: a test class was seen in training, and `allow_seen` is not set.
        ValueError: a split is missing, or none of its images can be read.
    """
    claim = check_benchmark(model, benchmark, allow_seen)
    tables = embed_benchmark(
        model,
        processor,
        benchmark,
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
        accelerator=accelerator,
        progress=progress,
    )
    report = None
    if accelerator is None or accelerator.is_main_process:
        report = report_embeddings(
            model,
            benchmark,
            *tables,
            claim=claim,
            protocol=protocol,
            source=source,
            convention=convention,
            ks=ks,
            progress=progress,
        )
    return report if accelerator is None else broadcast_object_list([report])[0]


def check_benchmark(model, benchmark: datasets.DatasetDict, allow_seen: bool = False) -> Claim:
    """The leakage guard on a model and a benchmark, before any work is done.

    Raises:
        SeenClassError: a test class was seen in training, and `allow_seen` is not set.
        ValueError: a test split is missing or empty.
    """
    for split in TEST_SPLITS.values():
        if split not in benchmark or not len(benchmark[split]):
            raise ValueError(
                f"The benchmark has no {split} (its splits: {', '.join(benchmark) or 'none'}): "
                "an evaluation needs test_sketch and test_photo."
            )
    sketches = benchmark[TEST_SPLITS["sketch"]]
    names = sketches.features["label"].names
    test_classes = [names[label] for label in set(sketches.select_columns("label")[:]["label"])]
    return check_classes(model.config.class_names or (), test_classes, allow_seen)


def embed_benchmark(
    model, processor, benchmark: datasets.DatasetDict, **options
) -> tuple[EmbeddingTable, EmbeddingTable]:
    """Features of the test sketches and of the test photos; `options` are those of `embed`."""
    return tuple(
        embed(model, benchmark[split], processor, domain, **options) for domain, split in TEST_SPLITS.items()
    )


def report_embeddings(
    model,
    benchmark: datasets.DatasetDict,
    sketches: EmbeddingTable,
    photos: EmbeddingTable,
    *,
    claim: Claim,
    protocol: str,
    source: str = "",
    convention: Convention = "standard",
    ks: Sequence[int] = (100, 200),
    progress: bool = True,
) -> Report:
    """Rank the photos for every sketch and report it.

    Args:
        model: what made the features, for the facts.
        benchmark: for the class names.
        sketches: features of the queries.
        photos: features of the gallery.
        claim: from `check_benchmark`.
        protocol: the benchmark's name.
        source: where the model came from.
        convention: as in `evaluate_model`.
        ks: as in `evaluate_model`.
        progress: show a bar on stderr where ranking takes long.
    """
    start = time.perf_counter()
    details = retrieval_details(
        sketches.features,
        photos.features,
        sketches.labels,
        photos.labels,
        convention,
        ks,
        progress=None if progress else False,
    )
    names = benchmark[TEST_SPLITS["sketch"]].features["label"].names
    weight = next(model.parameters())
    unreadable = [
        {"domain": domain, "path": path, "reason": reason}
        for domain, table in (("sketch", sketches), ("photo", photos))
        for path, reason in table.unreadable
    ]
    return Report(
        method=model.method,
        model=source or model.config.name_or_path or type(model).__name__,
        protocol=protocol,
        convention=convention,
        zero_shot=claim.zero_shot,
        claim=claim.text,
        metrics=details.mean(),
        chance=chance_level(sketches.labels, photos.labels, convention, ks),
        per_class={names[label]: scores for label, scores in details.per_class().items()},
        queries=len(sketches.features),
        gallery=len(photos.features),
        classes=len(np.unique(sketches.labels)),
        seconds=sketches.seconds + photos.seconds + time.perf_counter() - start,
        unreadable=unreadable,
        peak_memory_mb=peak_memory(weight.device),
        environment=describe_environment(weight.device, weight.dtype),
    )
