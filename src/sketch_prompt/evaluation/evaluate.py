"""Evaluation of any model on any benchmark: embed, rank, report."""

import os
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import datasets
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from sketch_prompt.data.class_names import class_key
from sketch_prompt.embedding.conditioning import conditioned
from sketch_prompt.embedding.tables import EmbeddingTable, embed
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.vocabulary import TEST_SPLITS, Domain, Query

from .class_names import class_name_queries
from .environment import describe_environment, peak_memory
from .leakage import Claim, check_classes
from .pairwise import Stores, open_stores, working_folder
from .published_data import differences_from_published
from .ranking import Ranker, build_ranker
from .report import Report, without_seed
from .search import Search, check_instances, parts_instances, search_categories, search_instances
from .task import Task


@dataclass(frozen=True)
class Evaluation:
    """A report, and the search that it reports.

    Example:
        ```python
        evaluation = evaluate_model(model, processor, load_benchmark("mini"), Task("mini"))
        evaluation.report.metrics["mAP@all"], evaluation.search.quality.argmin()
        ```

    Attributes:
        report: The report, on every process.
        search: The search, on the first process; None on the others.
    """

    report: Report
    search: Search | None


def evaluate_model(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    benchmark: datasets.DatasetDict,
    task: Task,
    *,
    source: str = "",
    work_dir: str | os.PathLike | None = None,
    scratch_dir: str | os.PathLike | None = None,
    pair_dtype: torch.dtype | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str | torch.device | None = None,
    accelerator: Accelerator | None = None,
    progress: bool = True,
) -> Evaluation:
    """Search the photos of a benchmark's unseen classes with its sketches.

    Example:

    ```python
    model = SketchPromptModel.from_pretrained("mini-clip-at")
    evaluation = evaluate_model(model, model.processor, load_benchmark("mini"), Task("mini"))
    evaluation.report.metrics["mAP@all"]
    ```

    Args:
        model: Any method.
        processor: The processor of its checkpoint.
        benchmark: From `load_benchmark`. The splits test_sketch and test_photo are used.
        task: What is evaluated, and how.
        source: Where the model came from, for the report; by default what the model says.
        work_dir: Folder for the encoded images and the scores of a ranking by pairs. With it, a run that was stopped
            can continue. Without it, each side's images are kept in memory up to `pairwise.MEMORY_BYTES`,
            and beyond that in a temporary folder.
        scratch_dir: Where that temporary folder is made; None for the system's place.
        pair_dtype: Type of the encoded images of a ranking by pairs: float16 and bfloat16 take half the space, and the
            device computes with bfloat16 if its hardware can. None for the model's own type.
        batch_size: Images in one forward pass.
        num_workers: Number of processes that read images.
        device: Where to embed; by default the model's device.
        accelerator: Shares the work among processes. The first process ranks.
        progress: Show progress bars on stderr.

    Raises:
        SeenClassError: A test class was seen in training, and `task.allow_seen` is not set.
        ValueError: A split is missing, or none of its images can be read; or, at instance level, the photo of a
            sketch is not in the gallery; or `task.ranking` needs scores of pairs that the model does not give, or
            `task.query` texts that its photos cannot be compared with.
    """
    claim = check_benchmark(model, benchmark, task)
    ranking = task.ranking_with(model)
    by_pairs = ranking != "embedding"
    unwrapped = _unwrapped(model, accelerator)
    is_main_process = accelerator is None or accelerator.is_main_process
    shared = {"progress": progress, "accelerator": accelerator}
    evaluation = None
    with working_folder(work_dir, accelerator, scratch_dir) if by_pairs else nullcontext() as folder:
        stores: Stores = {}
        if by_pairs:
            options = {"accelerator": accelerator, "batch_size": batch_size, "scratch": scratch_dir}
            stores = open_stores(unwrapped, processor, benchmark, folder, pair_dtype, **options)
        given = unwrapped, processor, benchmark, task.condition
        with conditioned(*given, support=task.support, progress=progress) as conditions:
            options = {"batch_size": batch_size, "num_workers": num_workers, "device": device, **shared}
            options |= {"stores": stores, "query": task.query, "conditions": conditions}
            tables = embed_benchmark(model, processor, benchmark, **options)
        if by_pairs or is_main_process:  # all processes score pairs, only the first one ranks by embedding
            ranker = build_ranker(
                ranking, unwrapped, stores, task.shortlist, task.expand, folder=folder, **shared
            )
            search, seconds = _search(benchmark, *tables, task, ranker, progress)
            report = _report(
                model, processor, benchmark, tables, task, claim, ranker, search, seconds, source
            )
            evaluation = Evaluation(report, search)
    if accelerator is None:
        return evaluation
    (report,) = broadcast_object_list([evaluation and evaluation.report])
    return evaluation if is_main_process else Evaluation(report, None)


def check_benchmark(model: SketchPromptPreTrainedModel, benchmark: datasets.DatasetDict, task: Task) -> Claim:
    """What the report may claim, before any work is done. It depends on the classes of the queries.

    Raises:
        SeenClassError: A test class was seen in training, and that is not allowed.
        ValueError: A test split is missing or empty; or, at instance level, the photo of a sketch is not in the
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
    trained = model.config.seen_classes
    queried, searched = (_classes(benchmark[split]) for split in TEST_SPLITS.values())
    distractors = {}
    if task.gallery == "all":
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
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    benchmark: datasets.DatasetDict,
    stores: Stores | None = None,
    query: Query = "sketch",
    **options,
) -> tuple[EmbeddingTable, EmbeddingTable]:
    """Embed the test sketches, or the names of their classes, and the test photos. `options` are those of `embed`."""

    def embedded(domain: Domain) -> EmbeddingTable:
        table = benchmark[TEST_SPLITS[domain]]
        return embed(model, table, processor, domain, store=(stores or {}).get(domain), **options)

    if query == "sketch":
        return embedded("sketch"), embedded("photo")
    photos = embedded("photo")
    unwrapped, sketches = _unwrapped(model, options.get("accelerator")), benchmark[TEST_SPLITS["sketch"]]
    return class_name_queries(unwrapped, processor, sketches, photos.features.shape[1]), photos


def _unwrapped(
    model: SketchPromptPreTrainedModel, accelerator: Accelerator | None
) -> SketchPromptPreTrainedModel:
    return model if accelerator is None else accelerator.unwrap_model(model)


def _search(
    benchmark: datasets.DatasetDict,
    sketches: EmbeddingTable,
    photos: EmbeddingTable,
    task: Task,
    ranker: Ranker,
    progress: bool,
) -> tuple[Search, float]:
    """Search the photos with every sketch. Returns the seconds that it took, too."""
    start = time.perf_counter()
    if task.level == "instance":
        search = search_instances(benchmark, sketches, photos, task.gallery, task.ks, ranker)
    else:
        search = search_categories(sketches, photos, task.convention, task.ks, progress, ranker)
    return search, time.perf_counter() - start


def _report(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor | None,
    benchmark: datasets.DatasetDict,
    embedded: tuple[EmbeddingTable, EmbeddingTable],
    task: Task,
    claim: Claim,
    ranker: Ranker,
    search: Search,
    seconds: float,
    source: str,
) -> Report:
    """Put the results of a search and everything that they depend on into a report."""
    sketches, photos = embedded
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
    return Report(
        method=model.method,
        model=source or model.config.name_or_path or type(model).__name__,
        base_model=model.config.base_model,
        benchmark=task.benchmark,
        train_benchmark=task.train_benchmark,
        level=search.level,
        gallery=search.gallery,
        setting=claim.setting,
        convention=search.convention,
        condition=task.condition if model.is_conditional else None,
        support=task.support if model.is_conditional and task.condition != "none" else None,
        zero_shot=claim.zero_shot,
        claim=claim.text,
        differences=differences_from_published(benchmark, task.benchmark, task.train_benchmark),
        metrics=search.details.mean(),
        intervals={name: list(interval) for name, interval in intervals.items()},
        chance=search.chance,
        per_class={names[label]: scores for label, scores in search.details.per_class().items()},
        queries_per_class={names[label]: counts[label] for label in sorted(counts)},
        curve=search.curve,
        ceilings=search.ceilings,
        preprocessing=_preprocessing(processor),
        seed=model.facts.run.get("seed"),
        recipe=without_seed(model.facts.recipe),
        query_set=search.query_set,
        query_scores=search.query_scores(),
        ranking=ranker.name,
        shortlist=ranker.shortlist,
        rerank_weight=getattr(model.config, "rerank_weight", None) if ranker.name == "rerank" else None,
        expand=task.expand,
        query=task.query,
        lens=model.config.lens if model.config.lens_fit and task.query == "sketch" else None,
        pairs=ranker.pairs,
        queries=len(search.sketches.rows),
        photos=len(search.photos.rows),
        classes=len(counts),
        seconds=sketches.seconds + photos.seconds + seconds,
        unreadable=unreadable,
        peak_memory_mb=peak_memory(weight.device),
        environment=describe_environment(weight.device, weight.dtype),
    )


def _preprocessing(processor: SketchPromptProcessor | None) -> dict[str, Any]:
    return getattr(getattr(processor, "image_processor", None), "settings", {})


def _classes(table: datasets.Dataset) -> dict[str, int]:
    """{class: number of its images} in a table."""
    names = table.features["label"].names
    counts = Counter(table.select_columns("label")[:]["label"])
    return {names[label]: counts[label] for label in sorted(counts)}
