"""Existing vectors of photos: check that they come from a CLIP, and add them to a gallery."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError, read_image
from sketch_prompt.embedding import EncodedImages

from .collection import PhotoCollection
from .encoder import GalleryEncoder, LoadedPhoto
from .photo_sources import Entry
from .saving import writing
from .table import Changes
from .vectors import Batch, VectorSource, read_embeddings, vectors_in_memory

SAME_CLIP = 0.95
"""Minimum of the median cosine of vectors and features of the same photos.

For the same CLIP it is at least 0.98, even if photos are resized in another way. For another CLIP it is about 0.
"""


def fill(
    collection: PhotoCollection,
    encoder: GalleryEncoder,
    vectors: tuple[Any, Sequence | None],
    photos_dir: str | os.PathLike | None,
    directory: Path | None,
    check: int,
) -> Changes:
    """Add vectors with their names to a collection; see `Gallery.from_embeddings`."""
    given, names = vectors
    if isinstance(given, str | os.PathLike):
        given = read_embeddings(given)
    source = given if hasattr(given, "batches") else vectors_in_memory(given, () if names is None else names)
    root = None if photos_dir is None else Path(os.path.abspath(photos_dir))
    if directory is None:
        return _fill(collection, encoder, source, root, check)
    if directory == root:
        raise ValueError(f"{directory} holds the photos; save the gallery into its own folder")
    with writing(directory):
        collection.resume(directory, read_index=True)
        changes = _fill(collection, encoder, source, root, check)
        collection.write(directory)
    return changes


def _fill(
    collection: PhotoCollection, encoder: GalleryEncoder, source: VectorSource, root: Path | None, check: int
) -> Changes:
    changes, dim = Changes(), encoder.model.config.clip_config.projection_dim
    seen: set[str] = set()
    batches = checked(source.batches(), encoder, root, check, changes)
    collection.root = root
    before = collection.photos.paths.tolist()
    # What is gone is known when all vectors have been seen, which is when the collection asks.
    gone = (path for path in before if path not in seen)
    collection.update(embedded_photos(batches, dim, root, changes.skipped, seen), gone, changes)
    changes.embedded = 0
    collection.skipped = changes.skipped
    return changes


def embedded_photos(
    batches: Iterable[Batch],
    dim: int,
    photos_dir: Path | None,
    skipped: list[UnreadableImage],
    seen: set[str],
) -> Iterator[EncodedImages[np.ndarray]]:
    """The vectors, in the form of photos that were just embedded. If a photo occurs twice, the first vector is used.

    Args:
        batches: Names and vectors (n, D).
        dim: Width of the model's features.
        photos_dir: Folder of relative names. None if they are not files.
        skipped: Rows that are skipped are added: their vectors are 0 or not finite.
        seen: The names of the photos in the gallery are added.

    Raises:
        ValueError: The vectors have another width.
    """
    number = 0
    for names, vectors in batches:
        if vectors.shape[1] not in (0, dim):
            raise ValueError(
                f"the vectors have {vectors.shape[1]} numbers each, but the features of this CLIP {dim}: they come "
                "from another model"
            )
        norms = np.linalg.norm(vectors, axis=1)
        images, kept = [], []
        for row, name in enumerate(names):
            if not np.isfinite(norms[row]) or norms[row] == 0:
                skipped.append(UnreadableImage(name, "its vector is missing, 0 or no number"))
                continue
            entry = _entry(name, photos_dir)
            if entry.path in seen:
                continue
            seen.add(entry.path)
            key = _digest(entry.path, vectors[row])
            images.append(LoadedPhoto(number, key, entry=entry, read_ns=time.time_ns()))
            kept.append(row)
            number += 1
        if images:
            yield EncodedImages(images, images, vectors[kept] / norms[kept, None])


def checked(
    batches: Iterable[Batch], encoder: GalleryEncoder, photos_dir: Path | None, count: int, changes: Changes
) -> Iterator[Batch]:
    """Pass the vectors on, after some photos were embedded to check that the vectors come from this model.

    Args:
        batches: Names and vectors.
        encoder: Embeds photos.
        photos_dir: Folder of relative names.
        count: Number of photos to check, 0 for none.
        changes: `checked` is set to the number of photos that were checked, 0 if none can be read.

    Raises:
        ValueError: They come from another model.
    """
    dim = encoder.model.config.clip_config.projection_dim
    cosines: list[float] = []
    for names, vectors in batches:
        if len(cosines) < count and vectors.shape[1] == dim:
            cosines += _compare(names, vectors, encoder, photos_dir, count - len(cosines))
            changes.checked = len(cosines)
        if cosines and np.median(cosines) < SAME_CLIP:
            raise ValueError(
                f"the vectors are not this CLIP's: for {len(cosines)} photos embedded again the cosine is "
                f"{np.median(cosines):.2f} (median), and {SAME_CLIP} at least for the same CLIP. Give the base model "
                "that they were made with."
            )
        yield names, vectors


def _compare(
    names: list[str], vectors: np.ndarray, encoder: GalleryEncoder, photos_dir: Path | None, count: int
) -> list[float]:
    """Cosines of vectors and features of at most `count` readable photos, at regular distances in the batch."""
    cosines: list[float] = []
    for row in np.linspace(0, len(names) - 1, min(len(names), 4 * count)).astype(int).tolist():
        norm = float(np.linalg.norm(vectors[row]))
        if len(cosines) == count or not norm > 0:
            continue
        try:
            image = read_image(str(_file(names[row], photos_dir)))
        except (UnreadableImageError, ValueError):
            continue
        cosines.append(float(encoder.embed_photo(image) @ vectors[row]) / norm)
    return cosines


def _entry(name: str, photos_dir: Path | None) -> Entry:
    category = PurePath(name).parent.name or None
    try:
        status = _file(name, photos_dir).stat()
    except (OSError, ValueError):
        return Entry(name, category)
    path = Path(os.path.abspath(_file(name, photos_dir)))
    if photos_dir is not None and path.is_relative_to(photos_dir):
        return Entry(path.relative_to(photos_dir).as_posix(), category, status.st_size, status.st_mtime_ns)
    return Entry(str(path), category, status.st_size, status.st_mtime_ns)


def _file(name: str, photos_dir: Path | None) -> Path:
    return Path(name) if photos_dir is None else photos_dir / name


def _digest(name: str, vector: np.ndarray) -> str:
    """The key of a vector. The content of its photo is not known."""
    digest = hashlib.blake2b(digest_size=16, person=b"vector")
    digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + vector.tobytes())
    return digest.hexdigest()
