"""Compute the frozen CLIP's features of the training data once, and keep them for later epochs and runs."""

import hashlib
import json
import os
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from sketch_prompt.data.reading import (
    UnreadableImageError,
    read_file,
    read_image,
    unprocessable_is_unreadable,
)
from sketch_prompt.embedding import LoadedImage, encode_images, split_batches
from sketch_prompt.gallery.fingerprint import describe_model
from sketch_prompt.gallery.store import FeatureStore
from sketch_prompt.models.frozen_clip import FrozenClipConfig, FrozenClipModel
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.models.outputs import SeenFeatures
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.vocabulary import Domain


def seen_features(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    sketches: datasets.Dataset,
    photos: datasets.Dataset,
    class_index: Tensor,
    cache_dir: str | os.PathLike | None = None,
    *,
    batch_size: int = 64,
    num_workers: int = 0,
    accelerator: Accelerator | None = None,
    progress: bool = True,
) -> SeenFeatures:
    """The features of the training data by the frozen CLIP of a model.

    Features are stored by the content of an image and its preprocessing. So an image is embedded only once for all
    epochs, runs and benchmarks.

    Args:
        model: The model to train.
        processor: Turns images into tensors.
        sketches: Table of the training sketches.
        photos: Table of the training photos.
        class_index: (labels of the benchmark,) index of each label in the model's classes.
        cache_dir: Folder of the features; None for one in the cache of `datasets`.
        batch_size: Number of images in a forward pass.
        num_workers: Number of processes that read images.
        accelerator: Divides the work among processes.
        progress: Show progress bars.
    """
    folder = Path(cache_dir or Path(datasets.config.HF_DATASETS_CACHE, "sketch_prompt_features"))
    folder.mkdir(parents=True, exist_ok=True)
    frozen = FrozenClipModel(FrozenClipConfig(base_model=None), backbone=model.clip).eval()
    parts: dict[Domain, tuple[Tensor, Tensor]] = {}
    for domain, table in (("sketch", sketches), ("photo", photos)):
        store = FeatureStore(folder, describe_model(frozen, processor))
        store.read_blocks(verify=True)
        images = _KeyedImages(table, processor, domain, store.digests)
        encode = frozen.get_sketch_features if domain == "sketch" else frozen.get_photo_features
        bar = partial(
            tqdm,
            desc=f"Embedding {domain}s once",
            unit="batch",
            disable=not progress or (accelerator is not None and not accelerator.is_main_process),
        )
        batches = split_batches(range(len(table)), batch_size, accelerator)
        keys: list[tuple[int, str]] = []
        run = partial(_encode, encode)
        for batch in encode_images(frozen, images, batches, run, num_workers, bar):
            if batch.encoded is not None:
                store.append([image.key for image in batch.new], batch.encoded)
            keys += [(image.number, image.key) for image in batch.images if image.key is not None]
        store.flush()
        if accelerator is not None:
            keys = gather_object(keys)
            store.read_blocks()
        parts[domain] = _rows(store, dict(keys), len(table))
    labels = [class_index[torch.as_tensor(np.asarray(table["label"][:]))] for table in (sketches, photos)]
    (sketch_features, _), (photo_features, found) = parts["sketch"], parts["photo"]
    return SeenFeatures(sketch_features, labels[0], photo_features[found], labels[1][found])


def _encode(encode, pixel_values: Tensor, images: list[LoadedImage]) -> np.ndarray:
    return encode(pixel_values).float().cpu().numpy()


def _rows(store: FeatureStore, keys: dict[int, str], count: int) -> tuple[Tensor, Tensor]:
    """(count, D) features, NaN for images without any, and a mask (count,) of the images that have some."""
    rows = sorted(keys)
    stored = torch.from_numpy(store.lookup([keys[row] for row in rows]))
    found = torch.zeros(count, dtype=torch.bool)
    found[rows] = True
    features = torch.full((count, stored.shape[1]), torch.nan)
    features[rows] = stored
    return features, found


class _KeyedImages(Dataset):
    """The images of a table with the digest of their content. Only images without stored features are decoded."""

    def __init__(
        self, table: datasets.Dataset, processor: SketchPromptProcessor, domain: Domain, known: set[str]
    ):
        images = table.select_columns("image").with_format(None)
        self.images = images.cast_column("image", datasets.Image(decode=False))
        self.processor, self.domain, self.known = processor, domain, known
        settings = json.dumps(processor.image_processor.to_dict(), sort_keys=True, default=str)
        self.salt = f"{domain} {settings}".encode()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> LoadedImage:
        source = self.images[row]["image"]
        try:
            content = source["bytes"] or read_file(source["path"])
            key = hashlib.blake2b(self.salt + b"\0" + content, digest_size=16, person=b"seen").hexdigest()
            if key in self.known:
                return LoadedImage(row, key)
            with unprocessable_is_unreadable(source["path"] or "<bytes>"):
                return LoadedImage(row, key, self.processor.preprocess(read_image(content), self.domain))
        except UnreadableImageError as error:
            return LoadedImage(row, unreadable=error.image)
