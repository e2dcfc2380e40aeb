"""Operations on images: any image as upright RGB, and the geometry of the preprocessing."""

import os

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps

ImageLike = Image.Image | np.ndarray | torch.Tensor | str | os.PathLike

RESIZE_MODES = ("pad", "crop", "squash")
EXIF_ORIENTATION = 0x0112
INK_BELOW = 240  # grey levels above this are paper, including JPEG noise around white; below it is ink
LONGEST_RESIZE = 8  # with `crop`, images longer than this many sides are cropped before they are resized


def to_rgb(image: ImageLike) -> Image.Image:
    """Any image as an upright 8-bit RGB image on white.

    Takes PIL images of any mode, paths, NumPy arrays ((H, W) or (H, W, C)) and tensors ((H, W) or (C, H, W)) of uint8,
    uint16, bool, or floats in [0, 1]. The EXIF orientation is applied, transparency becomes white, more than eight
    bits are scaled (not clipped), and the first frame of an animation is used.

    Raises:
        TypeError: It is not an image.
        ValueError: The array does not have the shape or range of an image.
        OSError: The file cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        with Image.open(image) as opened:
            opened.load()
            return to_rgb(opened)
    if isinstance(image, torch.Tensor):
        if image.is_meta:
            raise ValueError("a tensor on the device 'meta' has no values")
        if image.dtype == torch.bfloat16:  # which NumPy does not know
            image = image.float()
        return _array_to_rgb(_channels_last(image.detach().cpu().numpy(), expected_axis=0))
    if isinstance(image, np.ndarray):
        return _array_to_rgb(_channels_last(image, expected_axis=-1))
    if not isinstance(image, Image.Image):
        raise TypeError(f"expected a PIL image, an array, a tensor or a path, got {type(image).__name__}")
    if image.width == 0 or image.height == 0:
        raise ValueError(f"the image is empty ({image.width} x {image.height} pixels)")
    return _pil_to_rgb(image)


def _pil_to_rgb(image: Image.Image) -> Image.Image:
    if getattr(image, "is_animated", False):
        image.seek(0)
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _array_to_rgb(_deep_grey_to_uint8(np.asarray(image)))
    if image.mode == "LAB":
        return ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(_to_rgba(image))
        return canvas.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_rgba(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    return image.convert("RGBA")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block does not matter
        return 1


def _deep_grey_to_uint8(grey: np.ndarray) -> np.ndarray:
    """Grey of more than eight bits as uint8.

    The modes `I` and `F` have no fixed range. The smallest usual maximum that fits is used (1 for floats, 255, 65535,
    2^31 - 1).
    """
    values = np.nan_to_num(grey.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    ranges = [65535.0] if grey.dtype == np.uint16 else [255.0, 65535.0, 2.0**31 - 1]
    if grey.dtype.kind == "f":
        ranges = [1.0, *ranges, np.inf]
    largest = values.max()
    full = next(limit for limit in ranges if largest <= limit)
    return np.rint(values * (255.0 / (full if np.isfinite(full) else largest))).astype(np.uint8)


def _channels_last(array: np.ndarray, expected_axis: int) -> np.ndarray:
    """(H, W) or (H, W, C), with the channels moved last. `expected_axis` decides if both ends could be channels."""
    if array.ndim == 2:
        return array
    other = -1 if expected_axis == 0 else 0
    if array.ndim == 3:
        for axis in (expected_axis, other):
            if array.shape[axis] in (1, 2, 3, 4):
                return np.moveaxis(array, axis, -1)
    raise ValueError(
        f"an array of shape {tuple(array.shape)} is not an image: expected (H, W), (H, W, C) for NumPy or "
        "(C, H, W) for torch, with C of 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA); "
        "pass a batch as a list of images"
    )


def _array_to_rgb(array: np.ndarray) -> Image.Image:
    if 0 in array.shape:
        raise ValueError(f"the image is empty (shape {tuple(array.shape)})")
    array = _to_uint8(array)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return _pil_to_rgb(Image.fromarray(np.ascontiguousarray(array)))


def _to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return np.rint(array * (255 / 65535)).astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"an array of {array.dtype} is not an image; pass uint8, uint16 or floats in [0, 1]")
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"the values of a float image must be in [0, 1], but they are in [{low:.4g}, {high:.4g}]; "
                "divide by 255 or pass uint8 (an already normalised tensor needs no processor)"
            )
        return np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    if array.dtype.kind in "iu" and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    raise ValueError(
        f"an image of dtype {array.dtype} spanning [{low}, {high}] is not understood; "
        "pass uint8, uint16 or floats in [0, 1]"
    )


def drawing_box(sketch: Image.Image, border: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the drawing, with a border of `border` times its longer side, in pixels.

    For a blank sketch, it is the whole image.
    """
    ink = sketch.convert("L").point(lambda grey: 255 if grey < INK_BELOW else 0)
    box = ink.getbbox()
    if box is None:
        return (0, 0, *sketch.size)
    left, top, right, bottom = box
    keep = round(border * max(right - left, bottom - top))
    return (
        max(left - keep, 0),
        max(top - keep, 0),
        min(right + keep, sketch.width),
        min(bottom + keep, sketch.height),
    )


def crop_white_margin(sketch: Image.Image, border: float) -> Image.Image:
    """Crop to the drawing, with a border of `border` times its longer side. A blank sketch is not changed."""
    return sketch.crop(drawing_box(sketch, border))


def thicken_lines(sketch: Image.Image, width: int) -> Image.Image:
    """Grow each dark pixel to a square of `width` pixels (grey erosion), so that lines are visible when reduced."""
    if width <= 1:
        return sketch
    pixels = np.asarray(sketch)
    for axis in (0, 1):
        pixels = _running_minimum(pixels, width, axis)
    return Image.fromarray(pixels)


def _running_minimum(pixels: np.ndarray, width: int, axis: int) -> np.ndarray:
    """Minimum over a centred window of `width` along `axis`, in log2(width) passes over the image."""
    width = min(width, 2 * pixels.shape[axis] - 1)  # a wider window sees nothing more
    before = (width - 1) // 2
    padding = [(0, 0)] * pixels.ndim
    padding[axis] = (before, width - 1 - before)
    moving = np.moveaxis(np.pad(pixels, padding, constant_values=255), axis, 0)
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        moving = np.minimum(moving[:-step], moving[step:])
        covered += step
    return np.moveaxis(moving, 0, axis)


def resize_to_square(
    image: Image.Image, size: int, mode: str, resample: int, background: tuple[int, ...]
) -> Image.Image:
    """Resize an RGB image to `size` x `size`: `pad` keeps all of it, `crop` its centre, `squash` its corners.

    `crop` resizes the short side to `size` and crops the centre, as CLIP does. Of very long images only the centre is
    resized, as the whole image would need gigabytes.
    """
    width, height = image.size
    if mode == "squash" or width == height:
        return image if image.size == (size, size) else image.resize((size, size), resample)
    if mode == "pad":
        longer = max(width, height)
        fitted = (max(1, round(width * size / longer)), max(1, round(height * size / longer)))
        resized = image if fitted == image.size else image.resize(fitted, resample)
        canvas = Image.new("RGB", (size, size), background)
        canvas.paste(resized, ((size - fitted[0]) // 2, (size - fitted[1]) // 2))
        return canvas
    return _resize_and_crop(image, size, resample)


def square_view(width: int, height: int, size: int, mode: str) -> tuple[float, float, float, float]:
    """The part of a `width` x `height` image that `resize_to_square` shows: left, top, right, bottom in its pixels.

    It is larger than the image if that is padded, and smaller if it is cropped.
    """
    if mode == "squash":
        return (0.0, 0.0, float(width), float(height))
    sides, view = (width, height), []
    for side in sides:
        if mode == "pad":
            resized = max(1, round(side * size / max(sides)))
            start = -((size - resized) // 2)
        else:
            resized = size if side == min(sides) else int(size * side / min(sides))
            start = (resized - size) // 2
        view.append((start * side / resized, (start + size) * side / resized))
    (left, right), (top, bottom) = view
    return (left, top, right, bottom)


def _resize_and_crop(image: Image.Image, size: int, resample: int) -> Image.Image:
    shorter = min(image.size)
    resized = [size if side == shorter else int(size * side / shorter) for side in image.size]
    start = [(side - size) // 2 for side in resized]
    if max(resized) <= LONGEST_RESIZE * size:
        whole = image if tuple(resized) == image.size else image.resize(resized, resample)
        return whole.crop((start[0], start[1], start[0] + size, start[1] + size))
    scale = [side / new for side, new in zip(image.size, resized)]
    kept = [
        edge * scale[axis] for edges in (start, [s + size for s in start]) for axis, edge in enumerate(edges)
    ]
    return image.resize((size, size), resample, box=tuple(kept))
