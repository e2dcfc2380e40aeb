"""What ranking by pairs adds to an evaluation: a place for encoded images and scores, and the ranker over them."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import datasets
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from sketch_prompt.models.backbone import fingerprint as backbone_fingerprint

from .pair_store import PairStore, claim_folder
from .rankers import EmbeddingRanker, ExhaustiveRanker, Ranker, Ranking, Reranker
from .search import TEST_SPLITS

Stores = dict[str, PairStore]


@contextmanager
def working_folder(
    work_dir: str | os.PathLike | None, accelerator: Accelerator | None
) -> Iterator[Path | None]:
    """The folder of a pairwise ranking.

    Args:
        work_dir: the one asked for. Without it a single process works in memory (None), and several processes share
            a temporary folder, deleted afterwards; on several machines it must be given, on a disk they share.
        accelerator: of several processes.
    """
    if work_dir is not None or accelerator is None or accelerator.num_processes == 1:
        yield None if work_dir is None else Path(work_dir)
        return
    made = [tempfile.mkdtemp(prefix="sketch-prompt-pairs-") if accelerator.is_main_process else None]
    folder = Path(broadcast_object_list(made)[0])
    yield folder
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(folder)


def open_stores(
    model,
    processor,
    benchmark: datasets.DatasetDict,
    folder: Path | None,
    dtype: torch.dtype | None,
    accelerator: Accelerator | None = None,
    batch_size: int = 64,
) -> Stores:
    """A store for the test sketches and one for the test photos, in a folder or in memory.

    Raises:
        ValueError: the folder holds those of another model, processor or benchmark.
    """
    if folder is None:
        return {domain: PairStore(None, dtype) for domain in TEST_SPLITS}
    images = {}
    for split in TEST_SPLITS.values():
        columns = benchmark[split].select_columns(["label", "instance_id"])[:]
        images[split] = _digest(json.dumps([columns["label"], columns["instance_id"]]).encode())
    tensors = sorted(model.adapter_tensors().items())
    identity = {
        "model": model.method,
        "weights": _digest(*(value.detach().float().cpu().numpy().tobytes() for _, value in tensors)),
        "backbone": backbone_fingerprint(model.clip),
        "processor": processor.image_processor.to_dict(),
        "images": images,
        "batch_size": batch_size,
        "dtype": str(dtype or model.dtype),
    }
    with nullcontext() if accelerator is None else accelerator.main_process_first():
        claim_folder(folder, identity)
    return {domain: PairStore(folder / split, dtype) for domain, split in TEST_SPLITS.items()}


def build_ranker(ranking: Ranking, model, stores: Stores | None, shortlist: int, **options) -> Ranker:
    """The ranker of a name; `options` are those of `ExhaustiveRanker`."""
    if ranking == "embedding":
        return EmbeddingRanker()
    if ranking == "rerank":
        return Reranker(model, stores["sketch"], stores["photo"], shortlist=shortlist, **options)
    return ExhaustiveRanker(model, stores["sketch"], stores["photo"], **options)


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
