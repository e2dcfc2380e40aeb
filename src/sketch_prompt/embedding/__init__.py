"""The loop that embeds images: read, preprocess, batch and encode, in one process or several.

Evaluation runs it over the tables of a benchmark, and the gallery over the user's photos. Each of them decides which
features it has already and where features are stored, so both can continue after an interruption.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sketch_prompt.data.reading import UnreadableImage

if TYPE_CHECKING:  # which imports seconds of other packages
    from accelerate import Accelerator

Encoded = TypeVar("Encoded")


@dataclass(frozen=True)
class LoadedImage:
    """An image that is ready to be embedded.

    Attributes:
        number: Its number in the data set.
        key: Key of its features. Images with the same key are embedded once. None if the image is unreadable.
        pixel_values: (3, H, W). None if the image is unreadable, or its features are known.
        unreadable: Why it cannot be read. None if it can.
    """

    number: int
    key: Hashable = None
    pixel_values: Tensor | None = None
    unreadable: UnreadableImage | None = None


class EncodedImages(NamedTuple, Generic[Encoded]):
    """A batch after encoding.

    Attributes:
        images: All images of the batch, without pixel values.
        new: The images that were encoded, one for each key.
        encoded: The return value of `encode` for these. None if there are none.
    """

    images: list[LoadedImage]
    new: list[LoadedImage]
    encoded: Encoded | None


def split_batches(
    numbers: Sequence[int], batch_size: int, accelerator: "Accelerator | None" = None
) -> list[Sequence[int]]:
    """The batches of this process. All batches together are the same for any number of processes."""
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
    """Read and encode the images of a data set, batch by batch.

    Args:
        model: Put into eval mode meanwhile. Images are encoded on the device and in the data type of its first
            parameter.
        images: `images[number]` is a `LoadedImage`.
        batches: Numbers of images; see `split_batches`.
        encode: Called with pixel values (B, 3, H, W) and their B images.
        num_workers: Number of processes that read images. 0 reads them in this process.
        show: Wraps the batches in a progress bar.
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
    """All images without pixel values, the first image of each key, and the stacked pixel values of these."""
    first: dict[Hashable, LoadedImage] = {}
    for image in images:
        if image.pixel_values is not None:
            first.setdefault(image.key, image)
    pixel_values = torch.stack([image.pixel_values for image in first.values()]) if first else None
    bare = {image.number: replace(image, pixel_values=None) for image in images}
    return list(bare.values()), [bare[image.number] for image in first.values()], pixel_values
