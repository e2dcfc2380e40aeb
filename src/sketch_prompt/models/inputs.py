"""Check the inputs of the towers, for clearer messages than those of torch."""

import torch
from torch import Tensor


def check_pixel_values(pixel_values: Tensor, size: int) -> None:
    """Raise an error for images that cannot be embedded.

    Args:
        pixel_values: Should be a floating-point tensor (B, 3, size, size) with B at least 1.
        size: Image size of the tower.

    Raises:
        TypeError: They are not a tensor, or a tensor of integers.
        ValueError: They have another shape.
    """
    advice = "prepare them with the processor of the same checkpoint"
    if not isinstance(pixel_values, Tensor):
        raise TypeError(f"images are a tensor of pixel values, not {type(pixel_values).__name__}; {advice}")
    if pixel_values.dim() != 4 or pixel_values.shape[1:] != (3, size, size):
        raise ValueError(
            f"images of shape {tuple(pixel_values.shape)} do not fit this CLIP, which takes (B, 3, {size}, {size}); "
            f"{advice}"
        )
    if pixel_values.shape[0] == 0:  # `len` would fix the batch size of an exported graph
        raise ValueError("the batch of images is empty")
    if not pixel_values.is_floating_point():
        raise TypeError(f"images of type {pixel_values.dtype} are not normalised; {advice}")


def check_input_ids(input_ids: Tensor, vocabulary: int) -> None:
    """Raise an error for texts that cannot be embedded.

    Args:
        input_ids: Should be an integer tensor (B, T) with values below `vocabulary`, B and T at least 1.
        vocabulary: Number of tokens of the tower.

    Raises:
        TypeError: They are not a tensor, or not a tensor of integers.
        ValueError: They have another shape, or values that are not tokens.
    """
    advice = "make them with the processor of the same checkpoint: processor(text=...)"
    if not isinstance(input_ids, Tensor):
        raise TypeError(f"texts are a tensor of token ids, not {type(input_ids).__name__}; {advice}")
    if input_ids.is_floating_point() or input_ids.dtype == torch.bool:
        raise TypeError(f"token ids are whole numbers, not {input_ids.dtype}; {advice}")
    if input_ids.dim() != 2 or 0 in input_ids.shape:
        raise ValueError(
            f"token ids must have the shape (B, T), at least one text, not {tuple(input_ids.shape)}"
        )
    if not torch.compiler.is_compiling() and not (input_ids.min() >= 0 and input_ids.max() < vocabulary):
        raise ValueError(
            f"there are token ids that this CLIP, which knows {vocabulary:,}, does not know; {advice}"
        )
