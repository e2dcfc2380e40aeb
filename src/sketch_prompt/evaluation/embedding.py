"""Embed every image of a table, on one process or on several."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from sketch_prompt.data.reading import UnreadableImageError, read_image

from .conditioning import Conditions
from .pairwise import EncodedBatch, PairStore

Domain = Literal["sketch", "photo"]
_DESCRIPTIONS = {"sketch": "Embedding sketches", "photo": "Embedding photos"}


class UnreadableImage(NamedTuple):
    """An image that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class EmbeddingTable:
    """Features of the readable images of a table, in its order.

    Attributes:
        features: (N, D) float32, L2-normalised.
        labels: (N,) class numbers.
        instance_ids: (N,) strings.
        rows: (N,) row of each image in the table it came from.
        unreadable: images of the table that have no features.
        seconds: wall-clock time it took.
    """

    features: np.ndarray
    labels: np.ndarray
    instance_ids: np.ndarray
    rows: np.ndarray
    unreadable: list[UnreadableImage]
    seconds: float = 0.0

    def take(self, indices: np.ndarray) -> "EmbeddingTable":
        """The same table with some of its images, in this order."""
        columns = ("features", "labels", "instance_ids", "rows")
        return replace(self, **{name: getattr(self, name)[indices] for name in columns})


def embed(
    model,
    dataset: datasets.Dataset,
    processor,
    domain: Domain,
    *,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str | torch.device | None = None,
    accelerator: Accelerator | None = None,
    progress: bool = True,
    store: PairStore | None = None,
    conditions: Conditions | None = None,
) -> EmbeddingTable:
    """Features of every readable image of a benchmark's table.

    Batches are the same whatever the number of processes: each process embeds its share of them, and all of
    them receive the whole result.

    Args:
        model: anything with the model contract; it is put in eval mode and back.
        dataset: table with the columns image, label and instance_id.
        processor: its `preprocess(image, domain)` turns a PIL image into pixel values (3, H, W).
        domain: "sketch" or "photo": which encoder and which pipeline.
        batch_size: images a forward pass.
        num_workers: processes that read images; 0 reads them here.
        device: where to embed; the model's device by default. Not with `accelerator`, which brings its own.
        accelerator: shares the work among the processes that `accelerate` started.
        progress: show a bar on stderr (of the first process).
        store: of a model with a re-ranker: keeps what pairwise scoring needs of every image, from the same forward
            pass. Images that it holds already are not encoded again.
        conditions: what more the model's encoder takes for a batch; see `conditioning`.

    Raises:
        ValueError: no image of the table can be read; the first reasons are given.
    """
    start = time.perf_counter()
    if accelerator is not None:
        model, device = accelerator.unwrap_model(model), accelerator.device
    device = torch.device(device or next(model.parameters()).device)
    main_process = accelerator is None or accelerator.is_main_process
    batches = _own_batches(len(dataset), batch_size, accelerator)
    stored = [batch.start for batch in batches if store is not None and batch.start in store]
    known = set(stored)
    loader = DataLoader(
        _Images(dataset, processor, domain),
        batch_sampler=[batch for batch in batches if batch.start not in known],
        num_workers=num_workers,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
    )
    bar = tqdm(
        loader,
        desc=_DESCRIPTIONS[domain],
        unit="batch",
        initial=len(stored),
        total=len(batches),
        disable=not (progress and main_process),
    )
    columns = dataset.select_columns(["label", "instance_id"])[:]
    labels = np.asarray(columns["label"])
    encoded = [store.read(start) for start in stored]
    encoded += _encode_batches(model.to(device), bar, domain, device, store, labels, conditions)
    rows, features, unreadable = _joined(encoded)
    if accelerator is not None:
        rows, features, unreadable = _gather(rows, features, unreadable)
    order = np.argsort(rows, kind="stable")
    if not len(order):
        reasons = [f"{path}: {reason}" for path, reason in list(unreadable.values())[:5]]
        raise ValueError(
            f"None of the {len(dataset)} {domain} images can be read: {'; '.join(reasons) or 'there are none'}."
        )
    rows = rows[order]
    return EmbeddingTable(
        features=features[order],
        labels=labels[rows],
        instance_ids=np.asarray(columns["instance_id"])[rows],
        rows=rows,
        unreadable=[image for _, image in sorted(unreadable.items())],
        seconds=time.perf_counter() - start,
    )


class _Images(Dataset):
    """Pixel values of one row, or the reason why there are none."""

    def __init__(self, dataset: datasets.Dataset, processor, domain: Domain):
        images = dataset.select_columns("image").with_format(None)
        self.images = images.cast_column("image", datasets.Image(decode=False))
        self.processor = processor
        self.domain = domain

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[int, torch.Tensor | UnreadableImage]:
        source = self.images[row]["image"]
        try:
            return row, self.processor.preprocess(read_image(source), self.domain)
        except UnreadableImageError as error:
            return row, UnreadableImage(error.path, error.reason)
        except (ValueError, OSError) as error:  # it opens, but its pixels make no picture
            return row, UnreadableImage(source["path"] or "<bytes>", f"cannot be processed: {error}")


class _Batch(NamedTuple):
    rows: list[int]
    pixel_values: torch.Tensor | None
    unreadable: dict[int, UnreadableImage]


def _collate(items: Sequence[tuple[int, torch.Tensor | UnreadableImage]]) -> _Batch:
    readable = [(row, pixels) for row, pixels in items if not isinstance(pixels, UnreadableImage)]
    pixel_values = torch.stack([pixels for _, pixels in readable]) if readable else None
    unreadable = {row: reason for row, reason in items if isinstance(reason, UnreadableImage)}
    return _Batch([row for row, _ in readable], pixel_values, unreadable)


def _own_batches(size: int, batch_size: int, accelerator: Accelerator | None) -> list[range]:
    batches = [range(start, min(start + batch_size, size)) for start in range(0, size, batch_size)]
    if accelerator is None:
        return batches
    return batches[accelerator.process_index :: accelerator.num_processes]


@torch.inference_mode()
def _encode_batches(
    model,
    loader,
    domain: Domain,
    device: torch.device,
    store: PairStore | None,
    labels: np.ndarray,
    conditions: Conditions | None,
) -> list[EncodedBatch]:
    """The batches of a loader, their `prepared` handed to the store."""
    dtype = next(model.parameters()).dtype
    training = model.training
    model.eval()
    encoded = []
    try:
        for batch in loader:
            features, prepared = np.empty((0, 0), np.float32), {}
            if batch.pixel_values is not None:
                pixel_values = batch.pixel_values.to(device, dtype, non_blocking=True)
                options = {} if conditions is None else conditions(pixel_values, labels[batch.rows])
                features, prepared = _encode(model, pixel_values, domain, store is not None, options)
            result = EncodedBatch(batch.rows, features, prepared, batch.unreadable)
            if store is not None:
                store.add(min(batch.rows + list(batch.unreadable)), result)
            encoded.append(result._replace(prepared={}))
    finally:
        model.train(training)
    return encoded


def _encode(
    model, pixel_values: torch.Tensor, domain: Domain, for_pairs: bool, options: dict
) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    """Features (B, D), and what scoring pairs needs of the images if asked for."""
    if not for_pairs:
        encode = model.get_sketch_features if domain == "sketch" else model.get_photo_features
        return encode(pixel_values, **options).float().cpu().numpy(), {}
    tokens = model.encode_tokens(pixel_values, domain, **options)
    prepared = {name: value.cpu() for name, value in model.prepare_pairs(tokens, domain).items()}
    return model.pool_tokens(tokens, domain).float().cpu().numpy(), prepared


def _joined(
    batches: list[EncodedBatch],
) -> tuple[np.ndarray, np.ndarray, dict[int, UnreadableImage]]:
    rows = [row for batch in batches for row in batch.rows]
    features = [batch.features for batch in batches if batch.rows]
    unreadable = {row: UnreadableImage(*why) for batch in batches for row, why in batch.left_out.items()}
    return np.asarray(rows, np.int64), np.concatenate(features) if features else np.empty((0, 0)), unreadable


def _gather(
    rows: np.ndarray, features: np.ndarray, unreadable: dict[int, UnreadableImage]
) -> tuple[np.ndarray, np.ndarray, dict[int, UnreadableImage]]:
    """What all processes found. One that had nothing to read brings no columns."""
    parts = gather_object([(rows, features, unreadable)])
    found = [(rows, features) for rows, features, _ in parts if len(rows)]
    everything: dict[int, UnreadableImage] = {}
    for part in parts:
        everything |= part[2]
    if not found:
        return rows, features, everything
    all_rows, all_features = zip(*found)
    return np.concatenate(all_rows), np.concatenate(all_features), everything
