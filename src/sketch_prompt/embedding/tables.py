"""Embed the readable images of a benchmark's table, in one process or several."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from sketch_prompt.data.reading import (
    UnreadableImage,
    UnreadableImageError,
    read_image,
    unprocessable_is_unreadable,
)
from sketch_prompt.vocabulary import Domain

from . import LoadedImage, encode_images, split_batches
from .conditioning import Conditions

if TYPE_CHECKING:
    from sketch_prompt.evaluation.pairwise import PairStore
    from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
    from sketch_prompt.processing import SketchPromptProcessor

_DESCRIPTIONS = {"sketch": "Embedding sketches", "photo": "Embedding photos"}


class EncodedBatch(NamedTuple):
    """A batch of encoded images.

    Attributes:
        rows: Rows of the images in the table.
        features: (B, D) float32 embeddings.
        prepared: Tensors for scoring pairs, named tensors (B, ...) on the CPU: the `tokens` of the images.
        left_out: {row: (path, reason)} for images that cannot be read.
    """

    rows: list[int]
    features: np.ndarray
    prepared: dict[str, Tensor]
    left_out: dict[int, tuple[str, str]]


@dataclass(frozen=True)
class EmbeddingTable:
    """Features of the readable images of a table, in its order.

    Example:
        ```python
        photos = embed(model, load_benchmark("mini")["test_photo"], processor, "photo")
        photos.features @ photos.features[0]
        ```

    Attributes:
        features: (N, D) float32, L2-normalised.
        labels: (N,) class numbers.
        instance_ids: (N,) strings.
        rows: (N,) row of each image in the original table.
        unreadable: Images of the table without features.
        seconds: Wall-clock time of embedding.
    """

    features: np.ndarray
    labels: np.ndarray
    instance_ids: np.ndarray
    rows: np.ndarray
    unreadable: list[UnreadableImage]
    seconds: float = 0.0

    def take(self, indices: np.ndarray) -> EmbeddingTable:
        """The table with only some of its images, in this order."""
        columns = ("features", "labels", "instance_ids", "rows")
        return replace(self, **{name: getattr(self, name)[indices] for name in columns})


def embed(
    model: SketchPromptPreTrainedModel,
    dataset: datasets.Dataset,
    processor: SketchPromptProcessor,
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
    """Embed each readable image of a benchmark's table.

    Batches are the same for any number of processes. Each process embeds its share of them, and all processes get the
    whole result.

    Args:
        model: Any method. It is in eval mode meanwhile.
        dataset: Table with the columns image, label and instance_id.
        processor: Its `preprocess(image, domain)` turns a PIL image into pixel values (3, H, W).
        domain: "sketch" or "photo", for the encoder and the preprocessing.
        batch_size: Number of images in a forward pass.
        num_workers: Number of processes that read images. 0 reads them in this process.
        device: Device to embed on, by default the model's. Not together with `accelerator`, which has its own.
        accelerator: Shares the work among the processes that `accelerate` started.
        progress: Show a progress bar on stderr (of the first process).
        store: For a model with a re-ranker: keeps the tokens of each image, from the same forward pass. Images that
            are already in it are not encoded again.
        conditions: Further arguments of the model's encoder for a batch; see `conditioning`.

    Raises:
        ValueError: No image of the table can be read. The message gives the first reasons.
    """
    start = time.perf_counter()
    if accelerator is not None:
        model, device = accelerator.unwrap_model(model), accelerator.device
    model = model.to(device or next(model.parameters()).device)
    batches = split_batches(range(len(dataset)), batch_size, accelerator)
    stored = [batch.start for batch in batches if store is not None and batch.start in store]
    bar = partial(
        tqdm,
        desc=_DESCRIPTIONS[domain],
        unit="batch",
        initial=len(stored),
        total=len(batches),
        disable=not progress or (accelerator is not None and not accelerator.is_main_process),
    )
    columns = dataset.select_columns(["label", "instance_id"])[:]
    labels = np.asarray(columns["label"])

    def encode(pixel_values: Tensor, images: list[LoadedImage]) -> tuple[np.ndarray, dict[str, Tensor]]:
        rows = [image.number for image in images]
        options = {} if conditions is None else conditions(pixel_values, labels[rows])
        return _encode(model, pixel_values, domain, store is not None, options)

    batches = [batch for batch in batches if batch.start not in set(stored)]
    encoded = [store.read(start) for start in stored]
    images = _TableImages(dataset, processor, domain)
    for batch in encode_images(model, images, batches, encode, num_workers, bar):
        features, prepared = batch.encoded or (np.empty((0, 0), np.float32), {})
        unreadable = {image.number: image.unreadable for image in batch.images if image.unreadable}
        result = EncodedBatch([image.number for image in batch.new], features, prepared, unreadable)
        if store is not None:
            store.add(batch.images[0].number, result)
        encoded.append(result._replace(prepared={}))
    if accelerator is not None:
        encoded = gather_object(encoded)
    return _join(encoded, columns, domain, start)


class _TableImages(Dataset):
    """The images of a benchmark's table, preprocessed for the model."""

    def __init__(self, table: datasets.Dataset, processor: SketchPromptProcessor, domain: Domain):
        images = table.select_columns("image").with_format(None)
        self.images = images.cast_column("image", datasets.Image(decode=False))
        self.processor = processor
        self.domain = domain

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> LoadedImage:
        source = self.images[row]["image"]
        try:
            with unprocessable_is_unreadable(source["path"] or "<bytes>"):
                return LoadedImage(row, row, self.processor.preprocess(read_image(source), self.domain))
        except UnreadableImageError as error:
            return LoadedImage(row, unreadable=error.image)


def _encode(
    model: SketchPromptPreTrainedModel, pixel_values: Tensor, domain: Domain, for_pairs: bool, options: dict
) -> tuple[np.ndarray, dict[str, Tensor]]:
    """Features (B, D), and the tokens of the images if asked for."""
    if not for_pairs:
        encode = model.get_sketch_features if domain == "sketch" else model.get_photo_features
        return encode(pixel_values, **options).float().cpu().numpy(), {}
    tokens = model.encode_tokens(pixel_values, domain, **options)
    features = model.pool_tokens(tokens, domain)
    return features.float().cpu().numpy(), {"tokens": tokens.cpu()}


def _join(
    batches: list[EncodedBatch], columns: dict[str, list], domain: Domain, start: float
) -> EmbeddingTable:
    """The batches of all processes as one table, in the order of the rows."""
    unreadable = {row: UnreadableImage(*why) for batch in batches for row, why in batch.left_out.items()}
    unreadable = [image for _, image in sorted(unreadable.items())]
    rows = np.asarray([row for batch in batches for row in batch.rows], np.int64)
    if not len(rows):
        reasons = "; ".join(map(str, unreadable[:5])) or "the table is empty"
        raise ValueError(f"None of the {len(columns['label'])} {domain} images can be read: {reasons}.")
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    return EmbeddingTable(
        features=np.concatenate([batch.features for batch in batches if batch.rows])[order],
        labels=np.asarray(columns["label"])[rows],
        instance_ids=np.asarray(columns["instance_id"])[rows],
        rows=rows,
        unreadable=unreadable,
        seconds=time.perf_counter() - start,
    )
