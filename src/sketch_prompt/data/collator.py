"""From examples to batches."""

from collections.abc import Sequence

import torch


class TripletCollator:
    """Batches of `TripletDataset` examples, in the model's argument names.

    Returns `sketch_pixel_values`, `photo_pixel_values`, `negative_pixel_values` (B, 3, H, W), `labels`,
    `negative_labels`, `instance_ids` (B,) int64, and `unreadable`: the list of `path: reason` of replaced
    images.
    """

    def __call__(self, examples: Sequence[dict]) -> dict:
        """Stack the examples."""
        images = ("sketch_pixel_values", "photo_pixel_values", "negative_pixel_values")
        batch = {name: torch.stack([example[name] for example in examples]) for name in images}
        for name in ("label", "negative_label", "instance_id"):
            batch[f"{name}s"] = torch.tensor([example[name] for example in examples])
        batch["unreadable"] = [record for example in examples for record in example["unreadable"]]
        return batch


class ImageCollator:
    """Batches of `ImageDataset` examples, without the unreadable ones.

    Returns `pixel_values` (B, 3, H, W), `labels`, `instance_ids`, `rows` (B,) int64, and `unreadable`: the
    list of `path: reason` of the images left out. Where none can be read, `pixel_values` has the shape (0,).
    """

    def __call__(self, examples: Sequence[dict]) -> dict:
        """Stack the readable examples."""
        readable = [example for example in examples if "pixel_values" in example]
        pixel_values = [example["pixel_values"] for example in readable]
        batch = {"pixel_values": torch.stack(pixel_values) if readable else torch.empty(0)}
        for name in ("label", "instance_id", "row"):
            batch[f"{name}s"] = torch.tensor([example[name] for example in readable], dtype=torch.int64)
        batch["unreadable"] = [record for example in examples for record in example["unreadable"]]
        return batch
