"""A gallery on disk: a folder in which each file is either complete or absent.

gallery.json             format, model, folder of photos, and the names of the files below
photos-<token>.parquet   the table of photos
skipped-<token>.jsonl    files that are not in the gallery, and why
index-<token>.*          the index, unless it can be built from the features quickly
calibration-<token>.npz  how good the hits of unrelated queries are, if that was measured; see `yardsticks`
features/*.safetensors   features by content digest; see `store`

`gallery.json` has a checksum of itself and of the other files. The features have their own checksums. A
table of more than 2,048 photos has one for each of its parts, and is read part by part; see `stored_table`.

It is written last, and files of the previous state are deleted after that. Whenever a process is killed, the folder
has either the previous gallery or the new one, and all features that were computed.
"""

import json
import os
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

import sketch_prompt
from sketch_prompt.atomic import atomic_write
from sketch_prompt.checksums import file_checksum, json_checksum
from sketch_prompt.data.reading import UnreadableImage

from .fingerprint import describe_differences
from .ownership import is_sealed, seal
from .store import FeatureStore
from .table import PhotoTable

if TYPE_CHECKING:
    from .yardsticks import Calibration

MANIFEST = "gallery.json"
FEATURES = "features"
FORMAT = 1
_PREFIXES = ("photos-", "skipped-", "index-", "calibration-")


class DamagedGalleryError(ValueError):
    """A file of a gallery is damaged or missing. The message says which one, and how to repair it."""

    def __init__(self, directory: Path, reason: str):
        super().__init__(
            f"the gallery in {directory} is damaged: {reason}. Index its photos into it again "
            f"(sketch-prompt index PHOTOS -o {directory}). Only what is damaged is embedded again."
        )


@dataclass
class SavedGallery:
    """The contents of a gallery's folder, except for features and index.

    Attributes:
        model: {"source", "base_model", "sketches", "dtype", "fingerprint"}: where the model was loaded from, the
            settings for drawings that differ from its processor's, the type to compute with, and `describe_model`.
        photos: The table.
        skipped: Files that were skipped.
        root: Folder of the photos. None if there is none.
        next_id: Greater than all ids so far.
        index: Return value of the index's `save`.
        own: Whether this user made the gallery; see `ownership`.
        checksums: {name of a file: checksum} when the gallery was saved.
        calibration: None if the gallery is not calibrated.
        blocks: Result of `FeatureStore.layout`, if the table has the places of the features.
    """

    model: dict[str, Any]
    photos: PhotoTable
    skipped: list[UnreadableImage]
    root: Path | None
    next_id: int
    index: dict[str, Any]
    own: bool
    checksums: dict[str, str] = field(default_factory=dict)
    calibration: "Calibration | None" = None
    blocks: list[tuple[str, int]] = field(default_factory=list)

    def write(self, directory: Path, token: str, places: Callable[[], np.ndarray]) -> None:
        """Write everything, `gallery.json` last, and delete files that are not named in it any more.

        Args:
            directory: The gallery's folder.
            token: Result of `new_token`.
            places: Returns the places of the features of the photos; see `FeatureStore.places`.
        """
        from .stored_table import PART_ROWS, write_parts

        files = {"photos": f"photos-{token}.parquet", "skipped": f"skipped-{token}.jsonl"}
        parts: list[str] = []
        if len(self.photos) > PART_ROWS:
            parts = write_parts(self.photos, directory / files["photos"], places())
        else:
            self.photos.write(directory / files["photos"])
        with atomic_write(directory / files["skipped"], durable=True) as temporary:
            lines = (json.dumps(skipped._asdict()) + "\n" for skipped in self.skipped)
            temporary.write_text("".join(lines), encoding="utf-8")
        if self.calibration is not None:
            files["calibration"] = f"calibration-{token}.npz"
            self.calibration.write(directory / files["calibration"])
        root = None if self.root is None else str(self.root)
        current = {*files.values(), self.index.get("file")} - {None}
        manifest = {
            "format": FORMAT,
            "sketch_prompt": sketch_prompt.__version__,
            "count": len(self.photos),
            "skipped": len(self.skipped),
            "next_id": self.next_id,
            "root": root,
            "seal": seal(_sealed_places(root, self.index), parts or self.photos.paths) if self.own else None,
            "model": self.model,
            "index": self.index,
            "files": files,
            "parts": parts,
            "blocks": self.blocks if parts else [],
            "checksums": {
                name: file_checksum(directory / name)
                for name in sorted(current)
                if not (parts and name == files["photos"])
            },
        }
        manifest["checksum"] = json_checksum(manifest)
        with atomic_write(directory / MANIFEST, durable=True) as temporary:
            temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for prefix in _PREFIXES:
            for path in directory.glob(f"{prefix}*"):
                if path.name not in current:
                    with suppress(PermissionError):  # Windows keeps a table that somebody has open
                        path.unlink(missing_ok=True)

    @classmethod
    def read(cls, directory: Path, verify: bool = False) -> "SavedGallery":
        """Read the result of `write`.

        Args:
            directory: The gallery's folder.
            verify: Compare all parts of a large table with their checksums now, not only when they are read.

        Raises:
            FileNotFoundError: There is no gallery in the folder.
            DamagedGalleryError: A file is damaged or missing.
            ValueError: The gallery was written by a newer version.
        """
        manifest = _read_manifest(directory)
        try:
            for name in ("photos", "skipped"):
                _check_file(directory, manifest["files"][name], manifest)
            parts = list(manifest.get("parts") or ())
            photos = _read_table(directory / manifest["files"]["photos"], parts, verify)
            if len(photos) != manifest["count"]:
                raise ValueError(f"{len(photos)} of {manifest['count']} photos are there")
            lines = (directory / manifest["files"]["skipped"]).read_text(encoding="utf-8").splitlines()
            if len(lines) != manifest["skipped"]:
                raise ValueError(f"{manifest['files']['skipped']} is incomplete")
            model = {name: manifest["model"][name] for name in ("source", "base_model", "fingerprint")}
            model["sketches"] = manifest["model"].get("sketches") or {}
            model["dtype"] = manifest["model"].get("dtype")
            describe_differences(
                model["fingerprint"], model["fingerprint"]
            )  # fails unless everything is there
            return cls(
                model=model,
                photos=photos,
                skipped=[UnreadableImage(**json.loads(line)) for line in lines],
                root=None if manifest["root"] is None else Path(manifest["root"]),
                next_id=int(manifest["next_id"]),
                index={"name": manifest["index"]["name"], **manifest["index"]},
                own=is_sealed(
                    manifest.get("seal"),
                    _sealed_places(manifest["root"], manifest["index"]),
                    parts or photos.paths,
                ),
                checksums=manifest.get("checksums") or {},
                calibration=_read_calibration(directory, manifest),
                blocks=[(str(name), int(rows)) for name, rows in manifest.get("blocks") or ()],
            )
        except DamagedGalleryError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
            raise DamagedGalleryError(directory, _describe(error)) from error

    def locate(self, store: FeatureStore) -> bool:
        """Tell a store where the features of the photos are.

        Returns:
            Whether the table says so, and the store's blocks are still those that it speaks of.
        """
        if not self.blocks:
            return False
        places = self.photos.places
        known = store.arrange(self.blocks, places)
        if known:
            store.vectors(self.photos.digests, places)
        return known


def _read_calibration(directory: Path, manifest: dict[str, Any]) -> "Calibration | None":
    name = manifest["files"].get("calibration")
    if name is None:
        return None
    from .yardsticks import Calibration

    _check_file(directory, name, manifest)
    return Calibration.read(directory / name)


def _read_table(path: Path, parts: list[str], verify: bool) -> PhotoTable:
    if not parts:
        return PhotoTable.read(path)
    from .stored_table import StoredTable

    table = StoredTable(path, parts)
    if verify:
        table.verify()
    return table


def saved_settings(directory: str | os.PathLike) -> dict[str, Any]:
    """The options of a saved gallery: "model", "base_model", "sketches", "dtype", "index", ...

    Returns:
        An empty dictionary if there is no gallery, or if it cannot be read.
    """
    try:
        manifest = _read_manifest(Path(directory))
        return _settings(manifest["model"], manifest["index"])
    except (FileNotFoundError, DamagedGalleryError, KeyError, TypeError):
        return {}


def _settings(model: dict[str, Any], index: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": model.get("source"),
        "base_model": model.get("base_model"),
        "sketches": model.get("sketches"),
        "dtype": model.get("dtype"),
        "index": index["name"],
        "precision": str(index.get("asked_precision", "auto")),
        "by_category": model["fingerprint"]["by_category"],
    }


def writing(directory: Path) -> AbstractContextManager[None]:
    """A block in which no other process may change the gallery in a folder; see `only_writer`."""
    from sketch_prompt.locking import only_writer

    return only_writer(directory, "is writing into the gallery in")


def saved_options(
    saved: dict[str, Any], index: dict[str, Any], model: object | None, place: str | os.PathLike
) -> dict[str, Any]:
    """Options of `Gallery` for the given model, or for the one that a saved gallery names.

    Args:
        saved: "source", "base_model", "sketches", "dtype" and "fingerprint" of the gallery's model.
        index: Description of its index, at least its "name".
        model: The model to use. None for the gallery's.
        place: Where the gallery is, for the error.

    Raises:
        ValueError: No model is given, and the gallery does not name one.
    """
    settings = _settings(saved, index)
    if model is not None:
        return {name: settings[name] for name in ("by_category", "index", "precision")} | {"model": model}
    if settings["model"] is None:
        raise ValueError(
            f"the gallery in {place} does not say where its {saved['fingerprint']['method']} model is: pass the "
            "model, or the name of its checkpoint, as model"
        )
    return settings


def absolute_name(model: object) -> str | None:
    """The name of a model that is valid in other folders too. None if the model is an object."""
    if not isinstance(model, str | os.PathLike):
        return None
    return os.path.abspath(model) if os.path.isdir(model) else os.fspath(model)


def new_token() -> str:
    """A name for the files of a state of a gallery."""
    return uuid.uuid4().hex[:12]


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    if not path.is_file():
        if (directory / FEATURES).is_dir():
            raise DamagedGalleryError(directory, f"{MANIFEST} is missing, indexing was cut off")
        raise FileNotFoundError(
            f"there is no gallery in {directory} (no {MANIFEST}); make one: sketch-prompt index PHOTOS -o {directory}"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format"]
        checksum = manifest.pop("checksum", None)
        if version == FORMAT and checksum is not None and checksum != json_checksum(manifest):
            raise ValueError("its checksum is wrong")
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise DamagedGalleryError(directory, f"{path} cannot be read ({_describe(error)})") from error
    if version != FORMAT:
        raise ValueError(
            f"{path} has format {version}; sketch-prompt {sketch_prompt.__version__} reads format {FORMAT}. "
            f"It was written by sketch-prompt {manifest.get('sketch_prompt')}: install that version or a newer one."
        )
    return manifest


def index_problem(directory: Path, saved: SavedGallery) -> str | None:
    """Why the index in a gallery's folder must not be read, or None.

    The readers of index files are not safe for files of strangers.
    """
    if "file" not in saved.index:
        return None
    if not saved.own:
        return "it is not one that you made here"
    try:
        _check_file(directory, saved.index["file"], {"checksums": saved.checksums})
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _check_file(directory: Path, name: object, manifest: dict[str, Any]) -> None:
    """Raise a ValueError if a file of the manifest is not in the folder itself, or has changed."""
    if not isinstance(name, str) or name != os.path.basename(name) or not name.startswith(_PREFIXES):
        raise ValueError(f"{name!r} is not the name of a file of a gallery")
    expected = (manifest.get("checksums") or {}).get(name)
    if expected is not None and expected != file_checksum(directory / name):
        raise ValueError(f"the checksum of {directory / name} is wrong")


def _sealed_places(root: str | None, index: dict[str, Any]) -> str:
    """What the seal covers besides the photos: the places outside of the gallery that it names."""
    return json.dumps([root, index.get("address"), index.get("collection")])


def _describe(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
