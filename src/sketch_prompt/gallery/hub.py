"""A gallery as a data set on the Hub: a row for each photo, with its features and optionally the photo.

data/photos-<n>.parquet  the columns of `Photo` and "features", and "image" if photos are included
gallery.json             the model of the features, and the index
README.md                the card

`datasets.load_dataset(repo_id)` can load it.
"""

import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import CommitInfo
from PIL import Image

from .. import sources
from ..hub import upload
from ..hub.data_cards import gallery_card
from .collection import PhotoCollection
from .fingerprint import describe_differences
from .saving import FORMAT, saved_options
from .table import Photo

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..hub.upload import PushOptions
    from .gallery import Gallery, Model

DESCRIPTION = "gallery.json"
_ROWS_A_FILE = 10_000
_PATTERNS = ["data/photos-*.parquet", DESCRIPTION, "README.md"]
_COLUMNS = {
    "id": datasets.Value("int64"),
    "path": datasets.Value("string"),
    "category": datasets.Value("string"),
    "digest": datasets.Value("string"),
}
_DIGEST = re.compile("[0-9a-f]{32}")
_WIDEST = 65_536  # numbers for each photo
_NORM_TOLERANCE = 1e-2  # for features of a model in half precision


def push(
    collection: PhotoCollection,
    repo_id: str,
    include_photos: bool = False,
    license: str = "unknown",
    **options: "Unpack[PushOptions]",
) -> CommitInfo:
    """Upload a gallery; see `Gallery.push_to_hub`.

    Args:
        collection: The photos.
        repo_id, include_photos, license, options: As there.
    """
    if not len(collection):
        raise ValueError("the gallery is empty: there is nothing to upload")
    return upload.push(
        lambda folder, repo_id: write_data_set(collection, folder, include_photos, repo_id, license),
        repo_id,
        repo_type="dataset",
        replaces=["data/*.parquet"],
        **{"commit_message": "Upload a sketch-prompt gallery", **options},
    )


def write_data_set(
    collection: PhotoCollection, directory: Path, include_photos: bool, repo_id: str, license: str
) -> list[str]:
    """Write the rows, the description and the card of a gallery to an empty folder. Returns the files.

    Args:
        collection: The photos.
        directory: The folder.
        include_photos: Include the photos.
        repo_id, license: For the card.

    Raises:
        UnreadableImageError: A photo to include cannot be read.
    """
    names = _public_names(collection.photos.paths)
    (directory / "data").mkdir()
    for number, start in enumerate(range(0, len(names), _ROWS_A_FILE)):
        rows = np.arange(start, min(start + _ROWS_A_FILE, len(names)))
        part = _to_dataset(collection, rows, names, include_photos)
        part.to_parquet(directory / "data" / f"photos-{number:05d}.parquet")
    description = {"format": FORMAT, "count": len(names), **collection.describe()}
    (directory / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    card = gallery_card(repo_id, description, len(names), part.features, license, directory)
    (directory / "README.md").write_text(card, encoding="utf-8")
    return [path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()]


def load(
    gallery_class: "type[Gallery]",
    repo_id: str,
    model: "Model | None",
    place: dict[str, Any],
    options: dict[str, Any],
) -> "Gallery":
    """Download a gallery; see `Gallery.from_hub`. `place` has the arguments for the Hub."""
    description, rows = download(repo_id, **place)
    settings = saved_options(description["model"], {"name": description["index"]}, model, repo_id)
    gallery = gallery_class(**{**settings, **options})
    gallery.collection.check_model(description["model"], repo_id)
    gallery.collection.read_rows(rows)
    return gallery


def download(repo_id: str, **hub: Any) -> tuple[dict[str, Any], datasets.Dataset]:
    """Download the description of a gallery and its rows.

    Raises:
        FileNotFoundError: It was not found. The message says why and what to do.
        ValueError: It is not a gallery.
    """
    directory = sources.download(repo_id, _PATTERNS, kind="dataset", **hub)
    files = sorted((directory / "data").glob("photos-*.parquet"))
    if not (directory / DESCRIPTION).is_file() or not files:
        raise ValueError(f"{repo_id} is not a gallery: it has no {DESCRIPTION} or no data/photos-*.parquet")
    try:
        description = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
        version, fingerprint = description["format"], description["model"]["fingerprint"]
        describe_differences(fingerprint, fingerprint)  # fails unless everything is there
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{repo_id} is not a gallery: its {DESCRIPTION} is not that of a gallery ({error!r})"
        ) from error
    if version != FORMAT:
        raise ValueError(f"{repo_id} has format {version}, this version reads {FORMAT}")
    try:
        rows = _read_rows(files)
        if len(rows) != description["count"]:
            raise ValueError(f"{len(rows)} of {description['count']} photos are there")
    except (ValueError, pa.ArrowException, datasets.exceptions.DatasetsError, OSError) as error:
        raise ValueError(
            f"{repo_id} is not a gallery, or it is damaged: {error.__cause__ or error}"
        ) from error
    return description, rows


def _read_rows(files: Sequence[Path]) -> datasets.Dataset:
    """Read rows that anybody may have written. Only the columns of a gallery are read.

    Raises:
        ValueError: They are not the rows of a gallery.
    """
    schemas = [pq.read_schema(path) for path in files]
    columns = [_column_types(schema) for schema in schemas]
    if any(types != columns[0] for types in columns):
        raise ValueError("its files have different columns")
    parts = [
        datasets.Dataset.from_parquet(os.fspath(path), features=columns[0], columns=list(columns[0]))
        for path in files
    ]
    rows = datasets.concatenate_datasets(parts)
    ids = np.array(rows["id"][:], np.float64)  # a null becomes NaN, which is not greater than anything
    if not (len(ids) and ids[0] >= 0 and (np.diff(ids) > 0).all()):
        raise ValueError("the ids of its photos do not ascend")
    paths = rows["path"][:]
    if None in paths or len(set(paths)) != len(paths):
        raise ValueError("the names of its photos are not all there, or not all different")
    if not all(digest and _DIGEST.fullmatch(digest) for digest in rows["digest"][:]):
        raise ValueError("the digests of its photos are not all there")
    with_numpy = rows.select_columns("features").with_format("numpy")
    for part in with_numpy.iter(_ROWS_A_FILE):
        norms = np.linalg.norm(part["features"].astype(np.float64), axis=1)
        if not np.allclose(norms, 1.0, atol=_NORM_TOLERANCE):
            raise ValueError("the features of its photos are not of length 1")
    return rows


def _column_types(schema: pa.Schema) -> datasets.Features:
    if missing := [
        name for name in ("id", "path", "category", "digest", "features") if name not in schema.names
    ]:
        raise ValueError(f"it has no column {missing[0]!r}")
    width = getattr(schema.field("features").type, "list_size", 0)
    if not 1 <= width <= _WIDEST:
        raise ValueError("its features are not vectors of one length")
    types = datasets.Features(_COLUMNS | {"features": datasets.List(datasets.Value("float32"), length=width)})
    if "image" in schema.names:
        types["image"] = datasets.Image(decode=False)
    return types


def _public_names(paths: Sequence[str]) -> list[str]:
    """The names of photos without folders of this machine: only the last part of a full path."""
    names, taken = [], set(paths)
    for path in paths:
        stem, suffix = os.path.splitext(os.path.basename(path) if os.path.isabs(path) else path)
        name, copy = stem + suffix, 2
        while os.path.isabs(path) and name in taken:
            name, copy = f"{stem} ({copy}){suffix}", copy + 1
        taken.add(name)
        names.append(name)
    return names


def _to_dataset(
    collection: PhotoCollection, rows: np.ndarray, names: Sequence[str], include_photos: bool
) -> datasets.Dataset:
    photos = [collection.photos[row] for row in rows]
    columns = {
        name: [getattr(photo, name) for photo in photos] for name in ("id", "path", "category", "digest")
    }
    vectors = collection.vectors()[rows]
    columns |= {"path": [names[row] for row in rows], "features": list(vectors)}
    width = vectors.shape[1]
    features = datasets.Features(
        _COLUMNS | {"features": datasets.List(datasets.Value("float32"), length=width)}
    )
    if include_photos:
        columns["image"] = [_encoded(collection, photo) for photo in photos]
        features["image"] = datasets.Image()
    return datasets.Dataset.from_dict(columns, features=features)


def _encoded(collection: PhotoCollection, photo: Photo) -> dict[str, Any]:
    content = collection.content(photo)  # only images
    if isinstance(content, Image.Image):
        buffer = io.BytesIO()
        content.save(buffer, "PNG")
        content = buffer.getvalue()
    return {"path": os.path.basename(photo.path), "bytes": content}
