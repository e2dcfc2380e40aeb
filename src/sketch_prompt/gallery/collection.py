"""What a gallery holds: the table of its photos, their features, and an index of them."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError, read_file, read_image
from sketch_prompt.plotting import plot_hits

from .fingerprint import differences
from .indexes import Neighbours, make_index
from .photo_sources import (
    DatasetSource,
    Entry,
    FileSource,
    PhotoSource,
    PictureSource,
    picture_names,
)
from .queries import Sketch, as_drawing
from .saving import FEATURES, DamagedGalleryError, SavedGallery, new_token, writing
from .scanning import scan, scan_file
from .store import FeatureStore, StoredVectors
from .table import Filters, Photo, PhotoTable
from .updating import Changes, Record, update_table

Photos = str | os.PathLike | Image.Image | datasets.Dataset | Sequence[str | os.PathLike | Image.Image]

_ROWS_AT_ONCE = 8192
_CALIBRATION = 1024  # photos by which the parts of a query are balanced
# A file that was changed this shortly before it was read may change again within the clock's grain.
_CLOCK_GRAIN_NS = 2_000_000_000


@dataclass(frozen=True)
class Hit:
    """A photo that was found.

    Attributes:
        rank: its place, from 1.
        score: the inner product of its features and the query's, a cosine.
        path: the file's full path, or the name of a photo that is no file.
        category: the photo's class, if that is known.
        id: the photo's number in the gallery.
    """

    rank: int
    score: float
    path: str
    category: str | None
    id: int


PhotoName = str | os.PathLike | int | np.integer | Hit | Photo


class PhotoCollection:
    """Photos with features, searched by features. `Gallery` adds the model.

    Args:
        model: `describe_model` of the model whose features these are.
        source: where that model came from, under the names "source" and "base_model".
        index: name of the index; see `make_index`.
        milvus_uri: address of a Milvus cluster.

    Attributes:
        photos: the table.
        skipped: files that were left out, and why.
        root: the folder that the photos' names are relative to; None where there is none, or none that this user
            named.
        index: the index.
        store: the features.
    """

    def __init__(
        self, model: dict[str, Any], source: dict[str, str | None], index: str, milvus_uri: str | None
    ):
        self.photos = PhotoTable()
        self.skipped: list[UnreadableImage] = []
        self.root: Path | None = None
        self.index = make_index(index, **({"uri": milvus_uri} if index == "milvus" else {}))
        self.store = FeatureStore(None, model)
        self._index_name = index
        self._source = source
        self._next_id = 0
        self._pictures: dict[str, Callable[[], bytes | Image.Image]] = {}
        self._foreign: set[str] = set()  # names that somebody else wrote; see `ownership`
        self._sample: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.photos)

    def remove(self, photos: PhotoName | Iterable[PhotoName]) -> Changes:
        """Forget photos. One whose file is still in the gallery's folder comes back with the next refresh.

        Args:
            photos: paths, names, ids or hits, or one of them.

        Raises:
            ValueError: one is not in the gallery; nothing is removed then.
        """
        single = isinstance(photos, PhotoName)
        paths = [self._path_in_table(photo) for photo in ([photos] if single else photos)]
        changes = Changes()
        self._apply((), set(paths), changes)
        return changes

    def image(self, photo: PhotoName, min_size: int | None = None) -> Image.Image:
        """The picture of a photo.

        Args:
            photo: its path, name or id, or a hit.
            min_size: decode a large JPEG at a smaller scale, whose sides have at least so many pixels.

        Raises:
            UnreadableImageError: its file is gone or damaged, or the picture was in memory when the gallery was saved,
                or somebody else made the gallery and the photo is in no folder that `photos_dir` names.
            ValueError: it is not in the gallery.
        """
        content = self._read(photo)
        if isinstance(content, Image.Image):
            return read_image(content)
        return read_image({"path": self._path_in_table(photo), "bytes": content}, min_size=min_size)

    def content(self, photo: PhotoName) -> bytes | Image.Image:
        """The encoded file of a photo, or the picture where there is no file; see `image`.

        A file that is no picture is never given out, whatever the gallery says of it.
        """
        content = self._read(photo)
        if not isinstance(content, Image.Image):
            read_image({"path": self._path_in_table(photo), "bytes": content}, min_size=1)
        return content

    def _read(self, photo: PhotoName) -> bytes | Image.Image:
        path = self._path_in_table(photo)
        if path in self._pictures:
            return self._pictures[path]()
        return read_file(self._file_below_root(path) if path in self._foreign else self._full_path(path))

    def search_features(self, queries: np.ndarray, top_k: int, filters: Filters | None = None) -> Neighbours:
        """The ids of the nearest photos of queries (Q, D), L2-normalised; see `search` for the rest."""
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        allowed = self.photos.select(filters)
        return self.index.search(
            np.ascontiguousarray(queries, np.float32),
            min(top_k, max(len(self), 1)),
            None if allowed is None else self.photos.ids[allowed],
        )

    @property
    def features(self) -> np.ndarray:
        """(N, D) float32, in the order of `photos`."""
        return self._vectors()[:]

    def features_of(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) float32 of some rows of `photos`."""
        return self._vectors()[rows]

    def plot(self, hits: Sequence[Hit], sketch: Sketch | None = None, text: str | None = None) -> Figure:
        """Draw what a search found beside what was searched for.

        Args:
            hits: what `search` returned.
            sketch, text: what it was asked.
        """
        images = []
        for hit in hits:
            try:
                images.append(self.image(hit))
            except UnreadableImageError:
                images.append(None)
        titles = [f"{hit.score:.3f}  {hit.category or ''}" for hit in hits]
        return plot_hits(as_drawing(sketch) if sketch is not None else text or "", images, titles)

    def describe(self) -> dict[str, Any]:
        """Model and kind of index as plain values, without the folders of this machine."""
        fingerprint = self.store.model
        public = {name: None if os.path.isabs(value or "") else value for name, value in self._source.items()}
        if os.path.isabs(fingerprint["base_model"] or ""):
            fingerprint = {**fingerprint, "base_model": None}
        return {"model": {**public, "fingerprint": fingerprint}, "index": self._index_name}

    def save(self, directory: str | os.PathLike) -> None:
        """Write the gallery into a folder, which it stays with: features of photos added later go there at once.

        A process that is killed meanwhile leaves the gallery that was there before. Pictures in memory are not saved,
        only what it takes to find them.

        Raises:
            ValueError: the folder is the folder of photos, or another process is writing into it.
        """
        directory = Path(os.path.abspath(directory))
        if directory == self.root:
            raise ValueError(f"{directory} holds the photos; save the gallery into a folder of its own")
        with writing(directory):
            self._write(directory)

    def _write(self, directory: Path) -> None:
        token = new_token()
        index = {"name": self._index_name, **self.index.save(directory, f"index-{token}")}
        if self.store.directory != directory / FEATURES:
            self.store.compact(self.photos.digests, directory / FEATURES)
        self.store.flush()
        model = {**self._source, "fingerprint": self.store.model}
        own = self._foreign.isdisjoint(self.photos.rows)
        saved = SavedGallery(model, self.photos, self.skipped, self.root, self._next_id, index, own)
        saved.write(directory, token)
        if self.store.is_scattered(len(self)):
            self.store.compact(self.photos.digests)
        self.store.delete_others()

    def _take_up(self, directory: Path, saved: SavedGallery | None, repair: bool) -> None:
        """Read features and table of a folder.

        Args:
            directory: the gallery's folder.
            saved: the rest of what it holds; None if that is damaged or not there.
            repair: forget photos without features, which will be embedded again; otherwise they are an error.
        """
        self.index.open(directory)
        self.store = FeatureStore(directory / FEATURES, self.store.model, self.store.flush_seconds)
        self.store.read_blocks()
        if saved is not None:
            self._check_model(saved.model, directory)
        elif self.store.other_models and not self.store.digests:
            self._check_model({"fingerprint": self.store.other_models[0]}, directory)
        if saved is None:
            return
        lacking = self.store.lacking(saved.photos.digests)
        if lacking.any() and not repair:
            reason = self.store.damaged[0] if self.store.damaged else "a file of features is gone"
            raise DamagedGalleryError(directory, f"{lacking.sum():,} photos have no features ({reason})")
        self.photos, self.skipped, self._next_id = saved.photos.take(~lacking), saved.skipped, saved.next_id
        self.root = saved.root if saved.own else None
        self._foreign = set() if saved.own else set(self.photos.rows)

    def _take_index(self, directory: Path, saved: SavedGallery) -> None:
        """Read the index of a folder, after the rest."""
        self.index.load(directory, saved.index, self.photos.ids, self._vectors())

    def _take_rows(self, rows: datasets.Dataset) -> None:
        """Hold the rows of a gallery's data set; see `hub`."""
        digests = rows["digest"][:]
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            self.store.append(digests[part], np.array(rows["features"][part], np.float32))
        columns = zip(rows["id"], rows["path"], rows["category"], digests)
        self.photos = PhotoTable.of(Photo(*values) for values in columns)
        self._next_id = int(self.photos.ids[-1]) + 1
        self._foreign = set(self.photos.rows)
        if "image" in rows.column_names:
            self._remember(DatasetSource(rows, rows["path"][:], embedded_only=True))
        self.index.update(self.photos.ids[:0], self.photos.ids, self.photos.ids, self._vectors())

    def _check_model(self, saved: dict[str, Any], place: str | Path) -> None:
        """Raise ValueError unless a saved gallery's features are this model's."""
        problems = differences(saved["fingerprint"], self.store.model)
        if problems:
            source = f" ({saved['source']})" if saved.get("source") else ""
            raise ValueError(
                f"the gallery in {place} was made with another model: {'; '.join(problems)}. Use the model it was "
                f"made with{source}, or index the photos into another folder."
            )

    def _hits(self, found: Neighbours) -> list[list[Hit]]:
        return [
            [
                self._hit(rank, float(score), int(id))
                for rank, (score, id) in enumerate(zip(scores, ids), 1)
                if id >= 0
            ]
            for scores, ids in zip(*found)
        ]

    def _hit(self, rank: int, score: float, id: int) -> Hit:
        photo = self.photos[int(np.searchsorted(self.photos.ids, id))]
        path = self._full_path(photo.path) if photo.size >= 0 else photo.path
        return Hit(rank, score, path, photo.category, id)

    def _vectors(self, ids: np.ndarray | None = None) -> StoredVectors:
        rows = slice(None) if ids is None else np.searchsorted(self.photos.ids, ids)
        return StoredVectors(self.store, self.photos.digests[rows])

    def _calibration(self) -> np.ndarray:
        """(n, D) photos evenly spread over the gallery."""
        if self._sample is None:
            rows = np.linspace(0, max(len(self) - 1, 0), min(len(self), _CALIBRATION)).astype(np.int64)
            self._sample = self._vectors()[rows]
        return self._sample

    def _full_path(self, path: str) -> str:
        return os.path.join(self.root or "", path)

    def _file_below_root(self, path: str) -> str:
        """The file of a name that somebody else wrote: below the folder that this user named, links resolved."""
        if self.root is None:
            raise UnreadableImageError(
                path,
                "no such file: this gallery came without its photos, or is not one that you indexed here; say in "
                "which folder its photos are (photos_dir=, --photos), or index them into it once more",
            )
        try:
            root, full = os.path.realpath(self.root), os.path.realpath(self._full_path(path))
            inside = os.path.commonpath([root, full]) == root
        except ValueError:  # a null byte, or another drive
            inside = False
        if os.path.isabs(path) or not inside:
            raise UnreadableImageError(
                path, f"this file is not in the gallery's folder of photos, {self.root}"
            )
        return full

    def _name(self, path: str | os.PathLike) -> str:
        full = os.path.abspath(path)
        inside = self.root is not None and Path(full).is_relative_to(self.root)
        return Path(full).relative_to(self.root).as_posix() if inside else full

    def _path_in_table(self, photo: PhotoName) -> str:
        if isinstance(photo, Hit | Photo):
            photo = photo.id
        if isinstance(photo, int | np.integer):
            row = int(np.searchsorted(self.photos.ids, photo))
            if row < len(self) and self.photos.ids[row] == photo:
                return self.photos.paths[row]
            raise ValueError(f"there is no photo with the id {photo} in the gallery")
        for name in (os.fspath(photo), self._name(photo)):
            if name in self.photos:
                return name
        raise ValueError(f"there is no photo {os.fspath(photo)!r} in the gallery")

    def _sources(self, photos: Photos, names: Sequence[str] | None, changes: Changes) -> list[PhotoSource]:
        """What `add` was given, by the way it is read; what cannot be a photo goes to `changes.skipped`."""
        if names is not None and len(set(names)) != len(names):
            raise ValueError("the names are not all different")
        if isinstance(photos, datasets.Dataset):
            return [DatasetSource(photos, names)]
        photos = [photos] if isinstance(photos, str | os.PathLike | Image.Image) else list(photos)
        pictures = [photo for photo in photos if isinstance(photo, Image.Image)]
        if names is not None and len(names) != len(pictures):
            raise ValueError(f"{len(names)} names were given for {len(pictures)} pictures")
        for photo in photos:
            if not isinstance(photo, str | os.PathLike | Image.Image):
                raise TypeError(f"a photo is a path or a PIL image, not {type(photo).__name__}")
        entries = []
        for path in (photo for photo in photos if not isinstance(photo, Image.Image)):
            found = scan(path) if os.path.isdir(path) else scan_file(path)
            entries += [
                entry._replace(path=self._name(os.path.join(path, entry.path))) for entry in found.entries
            ]
            changes.skipped += found.skipped
        sources: list[PhotoSource] = []
        if entries:
            sources.append(FileSource(entries, self.root or ""))
        if pictures:
            sources.append(PictureSource(pictures, names or picture_names(pictures, self.photos.rows)))
        return sources

    def _is_unchanged(self, entry: Entry) -> bool:
        row = self.photos.rows.get(entry.path)
        if row is None or entry.path in self._foreign:
            return False
        photo = self.photos[row]
        settled = photo.read_ns - photo.mtime_ns > _CLOCK_GRAIN_NS
        return settled and (photo.size, photo.mtime_ns) == (entry.size, entry.mtime_ns)

    def _elsewhere(self) -> list[Entry]:
        """Files of the gallery that lie outside its folder, as they are now."""
        paths = (
            path
            for path, size in zip(self.photos.paths, self.photos.sizes)
            if size >= 0 and os.path.isabs(path) and path not in self._foreign
        )
        return [entry._replace(path=path) for path in paths for entry in scan_file(path).entries]

    def _remember(self, source: PhotoSource) -> None:
        """Keep hold of photos that are no files, so that they can be shown."""
        for number, entry in enumerate(source.entries):
            if entry.size < 0 and entry.path in self.photos:
                self._pictures[entry.path] = partial(source.content, number)

    def _apply(self, records: Iterable[Record], gone: Iterable[str], changes: Changes) -> None:
        records = list(records)
        self._foreign -= {record.entry.path for record in records}
        update = update_table(self.photos, records, gone, self._next_id, changes)
        self.photos, self._sample = update.table, None
        if len(update.added):
            self._next_id = int(update.added[-1]) + 1
        self.index.update(update.removed, update.added, self.photos.ids, self._vectors())
        self._pictures = {path: read for path, read in self._pictures.items() if path in self.photos}
