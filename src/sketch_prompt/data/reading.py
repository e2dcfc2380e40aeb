"""Read an image from a path, bytes or a data set, or say why it cannot be read."""

import io
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageFile

# Only common formats are decoded, as files may come from the network.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "MPO", "JPEG2000", "AVIF")
_COMMON = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8")  # the first bytes tell the format, whatever the name
# Maximum pixels of an image. A small file could decode to more than the memory ("decompression bomb").
MAX_PIXELS = 89_478_485
# Maximum bytes of a file. A sparse file takes little space on disk, but fills the memory.
MAX_BYTES = 2**29

ImageSource = str | os.PathLike | bytes | Mapping | Image.Image


class UnreadableImage(NamedTuple):
    """An image that was left out because it cannot be read.

    Attributes:
        path: Path of the image.
        reason: Why it cannot be read.
    """

    path: str
    reason: str

    def __str__(self):
        return f"{self.path}: {self.reason}"


class UnreadableImageError(ValueError):
    """An image cannot be read.

    Attributes:
        path: Path of the image, or `<bytes>` or `<image>` if it has none.
        reason: Why it cannot be read.
    """

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self):
        return f"{self.path}: {self.reason}"

    @property
    def image(self) -> UnreadableImage:
        """The path and the reason as plain values."""
        return UnreadableImage(self.path, self.reason)


@contextmanager
def unprocessable_is_unreadable(path: str) -> Iterator[None]:
    """Turn any error of an image processor into `UnreadableImageError`.

    Some images can be opened, but their pixels cannot be processed.

    Raises:
        UnreadableImageError: The block raised an error.
    """
    try:
        yield
    except UnreadableImageError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        raise UnreadableImageError(path, f"cannot be processed: {error}") from error


def read_image(source: ImageSource, *, min_size: int | None = None) -> Image.Image:
    """Open and decode an image.

    Args:
        source: A path, encoded bytes, a `datasets.Image(decode=False)` value `{"path", "bytes"}` or a PIL image.
        min_size: If given, a JPEG may be decoded at a smaller scale, with sides of at least this many pixels. This is
            several times faster for large photos.

    Returns:
        The image in its own mode. Its EXIF orientation is not applied. Of an animation, it is the first frame.

    Raises:
        UnreadableImageError: The image is missing, empty, truncated or of an unknown format, there is no permission to
            read it, or it has more than `MAX_BYTES` bytes or `MAX_PIXELS` pixels.
    """
    if isinstance(source, Image.Image):
        return _decode(source, getattr(source, "filename", "") or "<image>", min_size)
    path, content = _locate(source)
    if content is None:
        content = read_file(path)
    if not content:
        raise UnreadableImageError(path, "the file is empty")
    try:
        image = _open(path, content)
    except Image.UnidentifiedImageError:
        raise UnreadableImageError(path, "not an image, or of an unknown format") from None
    except Exception as error:  # decoders raise whatever a damaged header makes them raise
        raise UnreadableImageError(path, _describe(error)) from error
    return _decode(image, path, min_size)


def _open(path: str, content: bytes) -> Image.Image:
    if not content.startswith(_COMMON):
        from . import camera_files

        if camera_files.is_raw(path, content):
            return camera_files.open_raw(content, MAX_PIXELS)
        if camera_files.is_heif(content):
            return camera_files.open_heif(content)
    return Image.open(io.BytesIO(content), formats=_available_formats())


def _locate(source: ImageSource) -> tuple[str, bytes | None]:
    """The path of an image, or `<bytes>` or `<image>`, and its encoded bytes if they are in memory."""
    if isinstance(source, bytes | bytearray):
        return "<bytes>", bytes(source)
    if isinstance(source, Mapping):
        path, content = source.get("path"), source.get("bytes")
        if content is None and path is None:
            raise UnreadableImageError("<image>", "neither a path nor bytes")
        return path or "<bytes>", content
    if isinstance(source, str | os.PathLike):
        return os.fspath(source), None
    raise TypeError(
        f"an image is a path, bytes, a mapping of both or a PIL image, not {type(source).__name__}"
    )


def read_file(path: str) -> bytes:
    """Read a regular file.

    Raises:
        UnreadableImageError: The file cannot be read, or it has more than `MAX_BYTES` bytes.
    """
    try:
        status = os.stat(path)
        # A pipe or a device would block for ever.
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImageError(path, "not a regular file")
        if status.st_size > MAX_BYTES:
            raise UnreadableImageError(
                path, f"{status.st_size:,} bytes are more than the limit of {MAX_BYTES:,}"
            )
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise UnreadableImageError(path, "no such file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, UnreadableImageError):
            raise
        raise UnreadableImageError(path, _describe(error)) from error


def _decode(image: Image.Image, path: str, min_size: int | None) -> Image.Image:
    try:
        if min_size is not None:
            image.draft(None, (min_size, min_size))
        width, height = image.size
        if width == 0 or height == 0:
            raise UnreadableImageError(path, f"{width} x {height} pixels are not an image")
        if width * height > MAX_PIXELS:
            raise UnreadableImageError(
                path, f"{width} x {height} pixels are more than the limit of {MAX_PIXELS:,}"
            )
        with _truncation_is_an_error():
            image.load()
    except UnreadableImageError:
        raise
    except Exception as error:  # decoders raise whatever damaged data make them raise
        raise UnreadableImageError(path, _describe(error)) from error
    return image


_TRUNCATION_LOCK = threading.Lock()


@contextmanager
def _truncation_is_an_error():
    """Raise an error for truncated images, even if PIL was told to fill them with grey."""
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        yield
        return
    with _TRUNCATION_LOCK:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = True


def _describe(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, OSError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


@cache
def _available_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
