"""The one loop that embeds images: read, prepare, batch, encode, on one process or on several.

Evaluation runs it over a benchmark's tables (and so training over its validation data), the gallery over the user's
photos (and so the page). Both decide themselves what is already known and where features are kept, which is how
they go on after an interruption.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sketch_prompt.data.reading import UnreadableImage

Encoded = TypeVar("Encoded")


@dataclass(frozen=True)
class LoadedImage:
    """An image of a dataset, ready to be embedded.

    Attributes:
        number: its number in the dataset.
        key: what its features are kept under. Images with the same key are embedded once. None where it is unreadable.
        pixel_values: (3, H, W); None if it is unreadable, or its features are known.
        unreadable: why it cannot be read; None if it can.
    """

    number: int
    key: Hashable = None
    pixel_values: Tensor | None = None
    unreadable: UnreadableImage | None = None


class EncodedImages(NamedTuple, Generic[Encoded]):
    """A batch that went through the model.

    Attributes:
        images: everything in the batch, without pixel values.
        new: those of them that were encoded, one for each key.
        encoded: what `encode` returned for these; None if there are none.
    """

    images: list[LoadedImage]
    new: list[LoadedImage]
    encoded: Encoded | None


def split_batches(
    numbers: Sequence[int], batch_size: int, accelerator: Accelerator | None = None
) -> list[Sequence[int]]:
    """This process's share of the batches, which are the same for any number of processes."""
    batches = [numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)]
    if accelerator is None:
        return batches
    return batches[accelerator.process_index :: accelerator.num_processes]


@torch.inference_mode()
def encode_images(
    model: nn.Module,
    images: Dataset,
    batches: Sequence[Sequence[int]],
    encode: Callable[[Tensor, list[LoadedImage]], Encoded],
    num_workers: int = 0,
    show: Callable[[Iterable], Iterable] = iter,
) -> Iterator[EncodedImages[Encoded]]:
    """Read and encode the images of a dataset, batch by batch.

    Args:
        model: is in eval mode meanwhile; its first parameter says on which device and in which type to encode.
        images: `images[number]` is a `LoadedImage`.
        batches: numbers of images; see `split_batches`.
        encode: called with pixel values (B, 3, H, W) and the B images they are of.
        num_workers: processes that read images; 0 reads them in this one.
        show: wraps the batches in a progress bar.
    """
    place = next(model.parameters())
    loader = DataLoader(
        images,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=_collate,
        pin_memory=place.device.type == "cuda",
    )
    done: set[Hashable] = set()
    training = model.training
    model.eval()
    try:
        for loaded, new, pixel_values in show(loader):
            fresh = [row for row, image in enumerate(new) if image.key not in done]
            encoded = None
            if fresh:
                if len(fresh) < len(new):
                    new, pixel_values = [new[row] for row in fresh], pixel_values[fresh]
                pixel_values = pixel_values.to(place.device, place.dtype, non_blocking=True)
                encoded = encode(pixel_values, new)
            done.update(image.key for image in new)
            yield EncodedImages(loaded, new if fresh else [], encoded)
    finally:
        model.train(training)


def _collate(images: list[LoadedImage]) -> tuple[list[LoadedImage], list[LoadedImage], Any]:
    """All images without pixel values, the first one of each key, and the stacked pixel values of these."""
    first: dict[Hashable, LoadedImage] = {}
    for image in images:
        if image.pixel_values is not None:
            first.setdefault(image.key, image)
    pixel_values = torch.stack([image.pixel_values for image in first.values()]) if first else None
    bare = {image.number: replace(image, pixel_values=None) for image in images}
    return list(bare.values()), [bare[image.number] for image in first.values()], pixel_values
