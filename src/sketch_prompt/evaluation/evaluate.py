"""Evaluation of any model on any benchmark: embed, search, report."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import datasets
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from sketch_prompt.data.benchmarks import default_level
from sketch_prompt.data.class_names import class_key
from sketch_prompt.metrics.core import Convention
from sketch_prompt.vocabulary import TEST_SPLITS

from .conditioning import CATEGORIES, Category, conditioned
from .embedding import EmbeddingTable, embed
from .environment import describe_environment, peak_memory
from .leakage import Claim, check_classes
from .pairwise import Stores, open_stores, working_folder
from .published_data import differences_from_published
from .ranking import DEFAULT_SHORTLIST, RANKINGS, EmbeddingRanker, Ranker, Ranking, build_ranker
from .report import Report
from .search import (
    DEFAULT_KS,
    GalleryScope,
    Level,
    Search,
    check_instances,
    parts_instances,
    search_categories,
    search_instances,
)


@dataclass(frozen=True)
class Task:
    """What is evaluated, and how.

    Attributes:
        protocol: the benchmark's name.
        level: "category" or "instance"; None for the benchmark's own.
        scope: at instance level, the photos that a query searches: those of its "category" or "all".
        convention: at category level "standard" or "interpolated", see `sketch_prompt.metrics.evaluate_retrieval`.
        ks: cut-offs of the metrics; None for those of the level: 100 and 200, or 1, 5 and 10.
        train_protocol: the benchmark trained on, where it is another one.
        allow_seen: evaluate on classes seen in training, and say so in the report.
        ranking: by "embedding", "rerank" (the first photos by embedding again, pair by pair) or "exhaustive" (every
            pair); None for "rerank" where the model can, else "embedding".
        shortlist: how many photos a query "rerank" scores again.
        category: for a model that embeds under a category, which one that is: "given", "predicted" or None, see
            `conditioning`; "auto" is "given" where a sketch searches its category's photos, else "predicted".
    """

    protocol: str
    level: Level | None = None
    scope: GalleryScope = "category"
    convention: Convention = "standard"
    ks: Sequence[int] | None = None
    train_protocol: str | None = None
    allow_seen: bool = False
    ranking: Ranking | None = None
    shortlist: int = DEFAULT_SHORTLIST
    category: Category = "auto"

    def __post_init__(self):
        if self.level is None:
            object.__setattr__(self, "level", default_level(self.protocol))
        if self.ks is None:
            object.__setattr__(self, "ks", DEFAULT_KS[self.level])
        if self.category not in CATEGORIES:
            raise ValueError(
                f"Unknown category {self.category!r}: choose 'auto', 'given', 'predicted' or None."
            )
        if self.category == "auto":
            given = self.level == "instance" and self.scope == "category"
            object.__setattr__(self, "category", "given" if given else "predicted")
        if self.train_protocol == self.protocol:
            object.__setattr__(self, "train_protocol", None)
        if self.ranking not in (None, *RANKINGS):
            raise ValueError(f"Unknown ranking {self.ranking!r}: choose one of {', '.join(RANKINGS)}.")
        if self.shortlist < 1:
            raise ValueError(f"shortlist must be at least 1, not {self.shortlist}.")

    def ranking_of(self, model) -> Ranking:
        """How the photos are ranked with `model`.

        Raises:
            ValueError: by pairs, which the model cannot score.
        """
        can = model.has_reranker
        if self.ranking not in (None, "embedding") and not can:
            raise ValueError(
                f"{model.method} compares embeddings only: ranking={self.ranking!r} needs a method that scores pairs."
            )
        return self.ranking or ("rerank" if can else "embedding")


@dataclass(frozen=True)
class Evaluation:
    """A report, and the search that it reports."""

    report: Report
    search: Search


def evaluate_model(
    model,
    processor,
    benchmark: datasets.DatasetDict,
    protocol: str,
    *,
    source: str = "",
    level: Level | None = None,
    gallery: GalleryScope = "category",
    convention: Convention = "standard",
    ks: Sequence[int] | None = None,
    allow_seen: bool = False,
    ranking: Ranking | None = None,
    shortlist: int = DEFAULT_SHORTLIST,
    work_dir: str | os.PathLike | None = None,
    pair_dtype: torch.dtype | None = None,
    category: Category = "auto",
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
        level: as in `Task`.
        gallery: the `scope` of `Task`.
        convention: as in `Task`.
        ks: as in `Task`.
        allow_seen: as in `Task`.
        ranking: as in `Task`.
        shortlist: as in `Task`.
        work_dir: with a pairwise ranking, where encoded images and scores are kept: the same call goes on where it
            was cut off, whatever killed it. None keeps them in memory.
        pair_dtype: with a pairwise ranking, the type of the encoded images; bfloat16 halves their room and is
            computed with where the device does so in hardware. None for the model's own.
        category: as in `Task`.
        batch_size: images a forward pass.
        num_workers: processes that read images.
        device: where to embed; the model's device by default.
        accelerator: shares the embedding among processes; the first one ranks, and all return its report.
        progress: show bars on stderr.

    Raises:
        SeenClassError: a test class was seen in training, and `allow_seen` is not set.
        ValueError: a split is missing, none of its images can be read, or, at instance level, a sketch's photo
            is not in the gallery.
    """
    evaluation = evaluate_task(
        model,
        processor,
        benchmark,
        Task(
            protocol,
            level,
            gallery,
            convention,
            ks,
            allow_seen=allow_seen,
            ranking=ranking,
            shortlist=shortlist,
            category=category,
        ),
        source=source,
        work_dir=work_dir,
        pair_dtype=pair_dtype,
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
        accelerator=accelerator,
        progress=progress,
    )
    report = None if evaluation is None else evaluation.report
    return report if accelerator is None else broadcast_object_list([report])[0]


def evaluate_task(
    model,
    processor,
    benchmark: datasets.DatasetDict,
    task: Task,
    *,
    source: str = "",
    work_dir: str | os.PathLike | None = None,
    pair_dtype: torch.dtype | None = None,
    progress: bool = True,
    accelerator: Accelerator | None = None,
    **options,
) -> Evaluation | None:
    """What `evaluate_model` reports, with the search itself; None on all processes but the first.

    Args:
        model: as in `evaluate_model`, like all that is not said here.
        task: what is evaluated, and how.
        options: further arguments of `embed`.
    """
    claim = check_benchmark(model, benchmark, task)
    ranking = task.ranking_of(model)
    shared = {"progress": progress, "accelerator": accelerator}
    main_process = accelerator is None or accelerator.is_main_process
    unwrapped = model if accelerator is None else accelerator.unwrap_model(model)
    with nullcontext() if ranking == "embedding" else working_folder(work_dir, accelerator) as folder:
        stores = None
        if ranking != "embedding":
            stores = open_stores(
                unwrapped,
                processor,
                benchmark,
                folder,
                pair_dtype,
                accelerator,
                options.get("batch_size", 64),
            )
        with conditioned(unwrapped, processor, benchmark, task.category, progress=progress) as conditions:
            sketches, photos = embed_benchmark(
                model, processor, benchmark, stores=stores, conditions=conditions, **shared, **options
            )
        if ranking == "embedding" and not main_process:
            return None
        evaluation = report_embeddings(
            model,
            benchmark,
            sketches,
            photos,
            task,
            claim=claim,
            source=source,
            progress=progress,
            ranker=build_ranker(ranking, unwrapped, stores, task.shortlist, folder=folder, **shared),
        )
    return evaluation if main_process else None


def check_benchmark(model, benchmark: datasets.DatasetDict, task: Task) -> Claim:
    """What may be claimed of the evaluation, before any work is done. The guard looks at the queries' classes.

    Raises:
        SeenClassError: a test class was seen in training, and that is not allowed.
        ValueError: a test split is missing or empty, or, at instance level, a sketch's photo is not in the
            gallery.
    """
    for split in TEST_SPLITS.values():
        if split not in benchmark or not len(benchmark[split]):
            raise ValueError(
                f"The benchmark has no {split} (its splits: {', '.join(benchmark) or 'none'}): "
                "an evaluation needs test_sketch and test_photo."
            )
    if task.level == "instance":
        check_instances(benchmark)
    trained = model.config.class_names or ()
    queried, searched = (_classes(benchmark[split]) for split in TEST_SPLITS.values())
    distractors = {}
    if task.level == "category" or task.scope == "all":
        seen = {class_key(name) for name in trained}
        seen |= {
            class_key(name)
            for split in ("train_sketch", "train_photo")
            if split in benchmark
            for name in _classes(benchmark[split])
        }
        distractors = {
            name: photos
            for name, photos in searched.items()
            if name not in queried and class_key(name) in seen
        }
    new_instances = task.level == "instance" and parts_instances(benchmark)
    return check_classes(trained, queried, task.allow_seen, distractors, new_instances)


def embed_benchmark(
    model,
    processor,
    benchmark: datasets.DatasetDict,
    stores: Stores | None = None,
    **options,
) -> tuple[EmbeddingTable, EmbeddingTable]:
    """Features of the test sketches and of the test photos; `options` are those of `embed`."""
    return tuple(
        embed(model, benchmark[split], processor, domain, store=(stores or {}).get(domain), **options)
        for domain, split in TEST_SPLITS.items()
    )


def report_embeddings(
    model,
    benchmark: datasets.DatasetDict,
    sketches: EmbeddingTable,
    photos: EmbeddingTable,
    task: Task,
    *,
    claim: Claim,
    source: str = "",
    progress: bool = True,
    ranker: Ranker | None = None,
) -> Evaluation:
    """Search the photos with every sketch and report it.

    Args:
        model: what made the features, for the facts.
        benchmark: the tables that the features came from.
        sketches: features of the queries.
        photos: features of the gallery.
        task: what is evaluated, and how.
        claim: from `check_benchmark`.
        source: where the model came from.
        progress: show a bar on stderr where ranking takes long.
        ranker: what scores the photos; embeddings by default.
    """
    start = time.perf_counter()
    ranker = ranker or EmbeddingRanker()
    if task.level == "instance":
        search = search_instances(benchmark, sketches, photos, task.scope, task.ks, ranker)
    else:
        search = search_categories(sketches, photos, task.convention, task.ks, progress, ranker)
    names = benchmark[TEST_SPLITS["sketch"]].features["label"].names
    counts = Counter(search.sketches.labels.tolist())
    weight = next(model.parameters())
    intervals = search.details.intervals()
    unreadable = [
        {"domain": domain, "path": path, "reason": reason}
        for domain, images in (
            ("sketch", [*sketches.unreadable, *search.left_out]),
            ("photo", photos.unreadable),
        )
        for path, reason in images
    ]
    report = Report(
        method=model.method,
        model=source or model.config.name_or_path or type(model).__name__,
        base_model=model.config.base_model,
        protocol=task.protocol,
        train_protocol=task.train_protocol,
        level=search.level,
        gallery_scope=search.scope,
        setting=claim.setting,
        convention=search.convention,
        category=(task.category or "none") if model.is_conditional else None,
        zero_shot=claim.zero_shot,
        claim=claim.text,
        differences=differences_from_published(benchmark, task.protocol, task.train_protocol),
        metrics=search.details.mean(),
        intervals={name: list(interval) for name, interval in intervals.items()},
        chance=search.chance,
        per_class={names[label]: scores for label, scores in search.details.per_class().items()},
        queries_per_class={names[label]: counts[label] for label in sorted(counts)},
        curve=search.curve,
        ranking=ranker.name,
        shortlist=getattr(ranker, "shortlist", None),
        pairs=ranker.pairs,
        queries=len(search.sketches.rows),
        gallery=len(search.photos.rows),
        classes=len(counts),
        seconds=sketches.seconds + photos.seconds + time.perf_counter() - start,
        unreadable=unreadable,
        peak_memory_mb=peak_memory(weight.device),
        environment=describe_environment(weight.device, weight.dtype),
    )
    return Evaluation(report, search)


def _classes(table: datasets.Dataset) -> dict[str, int]:
    """{class: number of its images} of a table."""
    names = table.features["label"].names
    counts = Counter(table.select_columns("label")[:]["label"])
    return {names[label]: counts[label] for label in sorted(counts)}
