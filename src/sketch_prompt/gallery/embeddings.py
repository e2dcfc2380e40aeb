"""Vectors that somebody has already: read from files, checked against a CLIP, taken into a gallery."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError, read_image
from sketch_prompt.embedding import EncodedImages
from sketch_prompt.hints import suggestion

from .collection import PhotoCollection
from .encoder import GalleryEncoder, LoadedPhoto
from .photo_sources import Entry
from .table import Changes

SAME_CLIP = 0.95
"""The least median cosine of a photo's vector and its features: the same CLIP gives 0.98 and more even if photos are
resized otherwise, another one next to nothing."""

_ROWS_AT_ONCE = 16_384
_PATH_COLUMNS = ("image_path", "path", "file_name", "filepath", "filename", "url", "key", "id", "asset_id")
_VECTOR_COLUMNS = ("embedding", "embeddings", "vector", "image_embedding", "features", "clip_embedding")


@dataclass(frozen=True)
class Embeddings:
    """Vectors with the names of what they are of.

    Attributes:
        vectors: (N, D) arrays, one after the other; they may lie on disk.
        names: N paths or ids.
    """

    vectors: list[np.ndarray]
    names: list[str]

    def __len__(self) -> int:
        return sum(map(len, self.vectors))

    def parts(self) -> Iterator[tuple[np.ndarray, list[str]]]:
        """Some rows at a time: float32 (n, D) and their names."""
        start = 0
        for array in self.vectors:
            for first in range(0, len(array), _ROWS_AT_ONCE):
                rows = np.asarray(array[first : first + _ROWS_AT_ONCE], np.float32)
                yield rows, self.names[start + first : start + first + len(rows)]
            start += len(array)


def read_embeddings(
    path: str | os.PathLike, path_column: str | None = None, vector_column: str | None = None
) -> Embeddings:
    """Read vectors from files.

    - A folder of `.npy` files and as many `.parquet` files with their paths, as clip-retrieval writes them
      (`img_emb/img_emb_0.npy` with `metadata/metadata_0.parquet`), or side by side.
    - One `.parquet` file, or a folder of them, with a column of vectors and one of paths.

    Args:
        path: the folder or file.
        path_column: the column of paths or ids; by default the first known one, such as `image_path`.
        vector_column: the column of vectors where they are in the table, such as `embedding`.

    Raises:
        FileNotFoundError: there is nothing of the kind.
        ValueError: the files do not belong together, or a column is not there.
    """
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"there are no embeddings in {root}: no such file or folder")
    tables = sorted(root.rglob("*.parquet"), key=_by_number) if root.is_dir() else [root]
    arrays = sorted(root.rglob("*.npy"), key=_by_number) if root.is_dir() else []
    texts = [array for array in arrays if "text" in array.parent.name or array.name.startswith("text")]
    arrays = [array for array in arrays if array not in texts]
    if not tables or tables[0].suffix != ".parquet":
        raise FileNotFoundError(
            f"{root} holds no embeddings: give a folder of .npy files with .parquet files of their paths, as "
            "clip-retrieval writes them, or a .parquet file with a column of vectors"
        )
    if arrays and len(arrays) != len(tables):
        raise ValueError(
            f"{root} holds {len(arrays)} .npy files of vectors but {len(tables)} tables of paths"
        )
    vectors, names = [], []
    for number, file in enumerate(tables):
        table = _read_table(file)
        paths = table[_column(table, path_column, _PATH_COLUMNS, "path", file)].to_pylist()
        if arrays:
            rows = _read_array(arrays[number])
        else:
            rows = _stack(table[_column(table, vector_column, _VECTOR_COLUMNS, "vector", file)], file)
        if len(rows) != len(paths):
            raise ValueError(f"{file} names {len(paths):,} photos, but there are {len(rows):,} vectors")
        vectors.append(rows)
        names += [str(name) for name in paths]
    return Embeddings(vectors, names)


def as_embeddings(vectors, names: Sequence) -> Embeddings:
    """Vectors (N, D) in any form that NumPy takes, such as a column of a `datasets.Dataset`, and their N names.

    Raises:
        ValueError: they are not as many, or the vectors have no common width.
    """
    try:
        array = vectors if isinstance(vectors, np.ndarray) else np.asarray(list(vectors), np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the vectors are no table of numbers: {error}") from None
    names = [str(name) for name in names]
    if array.ndim != 2 or len(array) != len(names):
        raise ValueError(f"vectors must be (N, D) with N names, not {array.shape} with {len(names)} names")
    return Embeddings([array], names)


def embedded_photos(
    embeddings: Embeddings, dim: int, photos_dir: Path | None, skipped: list[UnreadableImage]
) -> Iterator[EncodedImages[np.ndarray]]:
    """The vectors as a gallery takes up photos that were just embedded; of a name that comes twice the first.

    Args:
        embeddings: the vectors.
        dim: width of the model's features.
        photos_dir: the folder that relative names are in; None if they are no files.
        skipped: rows that are left out are added: vectors that are 0 or no numbers.

    Raises:
        ValueError: the vectors have another width.
    """
    number, seen = 0, set()
    for vectors, names in embeddings.parts():
        if vectors.shape[1] != dim:
            raise ValueError(
                f"the vectors have {vectors.shape[1]} numbers each, this CLIP's features {dim}: they are of another "
                "model"
            )
        norms = np.linalg.norm(vectors, axis=1)
        images, kept = [], []
        for row, name in enumerate(names):
            if name in seen:
                continue
            seen.add(name)
            if not np.isfinite(norms[row]) or norms[row] == 0:
                skipped.append(UnreadableImage(name, "its vector is 0 or no number"))
                continue
            entry = _entry(name, photos_dir)
            key = _digest(entry.path, vectors[row])
            images.append(LoadedPhoto(number, key, entry=entry, read_ns=time.time_ns()))
            kept.append(row)
            number += 1
        if images:
            yield EncodedImages(images, images, vectors[kept] / norms[kept, None])


def fill(
    collection: PhotoCollection,
    encoder: GalleryEncoder,
    vectors,
    names: Sequence[str | os.PathLike] | None,
    photos_dir: str | os.PathLike | None,
    check: int,
) -> Changes:
    """Take vectors into an empty collection; see `Gallery.from_embeddings`."""
    embeddings = (
        vectors if isinstance(vectors, Embeddings) else as_embeddings(vectors, () if names is None else names)
    )
    root = None if photos_dir is None else Path(os.path.abspath(photos_dir))
    changes, dim = Changes(), encoder.model.config.clip_config.projection_dim
    batches = embedded_photos(embeddings, dim, root, changes.skipped)
    first = next(embeddings.parts(), None) if check else None
    if first is not None and first[0].shape[1] == dim:
        changes.checked = check_embeddings(embeddings, encoder, root, check)
    collection.root = root
    collection.update(batches, (), changes)
    changes.embedded = 0
    collection.skipped = changes.skipped
    return changes


def check_embeddings(
    embeddings: Embeddings, encoder: GalleryEncoder, photos_dir: Path | None, count: int
) -> int:
    """Embed some photos again and compare: are the vectors this model's?

    Args:
        embeddings: the vectors.
        encoder: embeds photos.
        photos_dir: the folder that relative names are in.
        count: how many photos.

    Returns:
        How many were compared; 0 if none can be read here.

    Raises:
        ValueError: they are another model's.
    """
    cosines = []
    total = len(embeddings)
    wanted = set(np.linspace(0, total - 1, min(total, 4 * count)).astype(int).tolist())
    row = -1
    for vectors, names in embeddings.parts():
        for vector, name in zip(vectors, names):
            row += 1
            if row not in wanted or len(cosines) == count:
                continue
            try:
                image = read_image(str(_file(name, photos_dir)))
            except (UnreadableImageError, ValueError):
                continue
            features = encoder.embed_photo(image)
            cosines.append(float(features @ vector / max(np.linalg.norm(vector), 1e-12)))
    if cosines and np.median(cosines) < SAME_CLIP:
        raise ValueError(
            f"the vectors are not this CLIP's: for {len(cosines)} photos embedded again the cosine is "
            f"{np.median(cosines):.2f} (median), and {SAME_CLIP} at least for the same CLIP. Give the base model that "
            "they were made with."
        )
    return len(cosines)


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
    """What a vector is kept under: the content of its photo is not known."""
    digest = hashlib.blake2b(digest_size=16, person=b"vector")
    digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + vector.tobytes())
    return digest.hexdigest()


def _by_number(path: Path) -> tuple:
    """`img_emb_10.npy` comes after `img_emb_9.npy`."""
    digits = "".join(c for c in path.stem if c.isdigit())
    return int(digits) if digits else -1, path.name


def _read_table(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is no Parquet file: {error}") from error


def _read_array(file: Path) -> np.ndarray:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is no array of numbers: {error}") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ValueError(f"{file} must hold vectors (N, D) of floats, not {array.shape} of {array.dtype}")
    return array


def _column(table: pa.Table, asked: str | None, usual: Sequence[str], what: str, file: Path) -> str:
    if asked is not None:
        if asked not in table.column_names:
            raise ValueError(f"{file} has no column {asked!r}; {suggestion(asked, table.column_names)}")
        return asked
    for name in usual:
        if name in table.column_names:
            return name
    raise ValueError(
        f"{file} has no column of {what}s under a usual name ({', '.join(usual)}) but "
        f"{', '.join(table.column_names)}: say which one it is"
    )


def _stack(column: pa.ChunkedArray, file: Path) -> np.ndarray:
    try:
        return np.stack([np.asarray(vector, np.float32) for vector in column.to_pylist()])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: the vectors have no common width, or are no numbers ({error})") from None
