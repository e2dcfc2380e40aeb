"""From training examples to a batch."""

from collections.abc import Sequence

from torch.utils.data import default_collate

# Entries of an example and what they are called in a batch.
_TENSORS = {
    "sketch_pixel_values": "sketch_pixel_values",
    "photo_pixel_values": "photo_pixel_values",
    "negative_pixel_values": "negative_pixel_values",
    "label": "labels",
    "negative_label": "negative_labels",
    "instance_id": "instance_ids",
}


class TripletCollator:
    """Batches of `TripletDataset` examples, in the model's argument names.

    Returns `sketch_pixel_values`, `photo_pixel_values`, `negative_pixel_values` (B, 3, H, W), `labels`,
    `negative_labels`, `instance_ids` (B,) int64, and `unreadable`: the list of `path: reason` of replaced
    images.
    """

    def __call__(self, examples: Sequence[dict]) -> dict:
        """Stack the examples."""
        # In a worker, default_collate stacks straight into the memory it shares with the training process.
        tensors = default_collate([{key: example[key] for key in _TENSORS} for example in examples])
        batch = {_TENSORS[key]: tensor for key, tensor in tensors.items()}
        batch["unreadable"] = [record for example in examples for record in example["unreadable"]]
        return batch
