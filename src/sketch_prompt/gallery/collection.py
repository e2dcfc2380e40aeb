"""The contents of a gallery: the table of its photos, their features, and an index."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np
from PIL import Image

from sketch_prompt.atomic import clear_leftovers
from sketch_prompt.data.reading import UnreadableImage, UnreadableImageError, read_file, read_image
from sketch_prompt.embedding import EncodedImages

from .encoder import LoadedPhoto
from .fingerprint import check_same_model
from .hits import Hit, SmallPictures
from .indexes import Neighbours, make_index
from .saving import FEATURES, DamagedGalleryError, SavedGallery, index_problem, new_token
from .store import FeatureStore, StoredVectors
from .table import Changes, Filters, Photo, PhotoTable, update_table

if TYPE_CHECKING:  # a search opens no folder and reads no data set
    import datasets
    from accelerate import Accelerator

    from .photo_sources import Entry, FileSource, PhotoSource
    from .yardsticks import Calibration

Photos = Union[str, os.PathLike, Image.Image, "datasets.Dataset", Sequence[str | os.PathLike | Image.Image]]

_ROWS_AT_ONCE = 8192
logger = logging.getLogger(__name__)

_SAMPLED_PHOTOS = 1024
# A file that was changed just before it was read may change again without a new modification time.
_CLOCK_GRAIN_NS = 2_000_000_000


PhotoName = str | os.PathLike | int | np.integer | Hit | Photo


class FolderChanges(NamedTuple):
    """Differences between a folder of photos and the gallery.

    Attributes:
        source: All files of the folder, and the gallery's files outside of it.
        unseen: Numbers of the files to read, because they are new or may have changed.
        gone: Names in the gallery whose files do not exist any more.
    """

    source: "FileSource"
    unseen: list[int]
    gone: list[str]


class PhotoCollection:
    """Photos, their features and an index. `Gallery` fills it with a model.

    Args:
        fingerprint: `describe_model` of the model of the features.
        origin: Where the model was loaded from ("source", "base_model"), the settings for drawings ("sketches") and
            the type to compute with ("dtype").
        index, precision: Name of the index, and precision of its features; see `make_index`.
        milvus_uri: Address of a Milvus cluster.
        flush_seconds: See `FeatureStore`.

    Attributes:
        photos: The table.
        skipped: Files that were skipped, and why.
        root: Folder of relative names. None if there is none, or if this user has not named one.
        index: The index.
        store: The features.
        follow_links: Whether to follow links in folders of photos.
        calibration: How good the best hits of unrelated queries are. None if it was not measured since the last
            change.
        small_pictures: Small versions of the photos, to recognise copies.
    """

    def __init__(
        self,
        fingerprint: dict[str, Any],
        origin: dict[str, str | None],
        index: str,
        milvus_uri: str | None,
        flush_seconds: float,
        precision: str = "auto",
    ):
        self.photos = PhotoTable()
        self.skipped: list[UnreadableImage] = []
        self.root: Path | None = None
        self.index = make_index(index, precision, **({"uri": milvus_uri} if index == "milvus" else {}))
        self.store = FeatureStore(None, fingerprint, flush_seconds)
        self._asked = {"name": index, "asked_precision": precision}
        self._milvus_uri = milvus_uri
        self._origin = origin
        self._next_id = 0
        self.follow_links = True
        self._pictures: dict[str, Callable[[], bytes | Image.Image]] = {}
        self._foreign: set[str] = set()  # names that somebody else wrote; see `ownership`
        self._sample: np.ndarray | None = None
        self.small_pictures = SmallPictures(self.image_or_none)
        self.calibration: Calibration | None = None
        self._closed: str | None = None  # why no photos may be embedded

    def __len__(self) -> int:
        return len(self.photos)

    def name_of(self, path: str | os.PathLike) -> str:
        """The name of a file in the gallery: relative to the folder of photos if it is in it."""
        full = Path(os.path.abspath(path))
        inside = self.root is not None and full.is_relative_to(self.root)
        return full.relative_to(self.root).as_posix() if inside else str(full)

    def full_path(self, name: str) -> str:
        """The path of the file with this name."""
        return os.path.join(self.root or "", name)

    def row_of(self, photo: PhotoName) -> int:
        """The row of a photo in the table.

        Raises:
            ValueError: it is not in the gallery.
        """
        if isinstance(photo, Hit | Photo):
            photo = photo.id
        if isinstance(photo, int | np.integer):
            row = int(self.photos.ids_for_search.searchsorted(photo))
            if row < len(self) and self.photos[row].id == photo:
                return row
            raise ValueError(f"there is no photo with the id {photo} in the gallery")
        for name in (os.fspath(photo), self.name_of(photo)):
            if name in self.photos:
                return self.photos.rows[name]
        raise ValueError(f"there is no photo {os.fspath(photo)!r} in the gallery")

    def image(self, photo: PhotoName, min_size: int | None = None) -> Image.Image:
        """Open a photo; see `Gallery.image`."""
        name, content = self._read(photo)
        if isinstance(content, Image.Image):
            return read_image(content)
        return read_image({"path": name, "bytes": content}, min_size=min_size)

    def image_or_none(self, photo: PhotoName, min_size: int | None = None) -> Image.Image | None:
        """Open a photo. None if it cannot be read."""
        try:
            return self.image(photo, min_size)
        except UnreadableImageError:
            return None

    def content(self, photo: PhotoName) -> bytes | Image.Image:
        """The encoded file of a photo, or the image if there is no file; see `Gallery.image`.

        A file that is not an image is never returned, whatever the gallery says about it.
        """
        name, content = self._read(photo)
        if not isinstance(content, Image.Image):
            read_image({"path": name, "bytes": content}, min_size=1)
        return content

    def _read(self, photo: PhotoName) -> tuple[str, bytes | Image.Image]:
        name = self.photos[self.row_of(photo)].path
        if name in self._pictures:
            return name, self._pictures[name]()
        return name, read_file(self._file_below_root(name) if name in self._foreign else self.full_path(name))

    def _file_below_root(self, name: str) -> str:
        """The file of a name that somebody else wrote. It must be in the folder of photos, with links resolved."""
        if self.root is None:
            raise UnreadableImageError(
                name,
                "no such file: this gallery came without its photos, or is not one that you indexed here; say in "
                "which folder its photos are (photos_dir=, --photos), or index them into it again",
            )
        try:
            root, full = os.path.realpath(self.root), os.path.realpath(self.full_path(name))
            inside = os.path.commonpath([root, full]) == root
        except ValueError:  # a null byte, or another drive
            inside = False
        if os.path.isabs(name) or not inside:
            raise UnreadableImageError(
                name, f"this file is not in the gallery's folder of photos, {self.root}"
            )
        return full

    def vectors(self) -> StoredVectors:
        """The features of all photos, in the order of the table. They are read when they are used."""
        return self.store.vectors(self.photos.digests)

    def sample(self) -> np.ndarray:
        """(n, D) features of up to 1024 photos, at regular distances."""
        if self._sample is None:
            rows = np.linspace(0, max(len(self) - 1, 0), min(len(self), _SAMPLED_PHOTOS)).astype(np.int64)
            self._sample = self.vectors()[rows]
        return self._sample

    def search(self, queries: np.ndarray, top_k: int, filters: Filters | None = None) -> Neighbours:
        """The ids of the nearest photos of queries (Q, D), L2-normalised; see `Gallery.search` for the rest."""
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        allowed = self.photos.select(filters)
        return self.index.search(
            np.ascontiguousarray(queries, np.float32),
            min(top_k, max(len(self), 1)),
            None if allowed is None else self.photos.ids_for_search[allowed],
        )

    def expand(self, query: np.ndarray, count: int, filters: Filters | None = None) -> np.ndarray:
        """The query (1, D) of a second search: the query combined with the first `count` photos that it finds."""
        from sketch_prompt.expansion import expand_queries

        if count < 1:
            raise ValueError(f"expand must be at least 1, not {count}")
        rows = self.rows_of(self.search(query, count, filters).ids[0])
        if not len(rows):
            return query
        return expand_queries(query, self.vectors()[rows][None], self.sample().mean(0))

    def hit(self, rank: int, score: float, id: int) -> Hit:
        """The hit for a photo that was found."""
        photo = self.photos[self.row_of(id)]
        path = self.full_path(photo.path) if photo.size >= 0 else photo.path
        return Hit(rank, score, path, photo.category, id)

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """The rows of photos that `search` found. Ids of -1, where it found fewer, are left out."""
        return np.array([self.row_of(int(id)) for id in ids if id >= 0], np.int64)

    def sources(self, photos: Photos, names: Sequence[str] | None, changes: Changes) -> "list[PhotoSource]":
        """The arguments of `Gallery.add`, grouped by how they are read.

        Files that cannot be photos are added to `changes.skipped`.
        """
        from .photo_sources import DatasetSource, FileSource, PictureSource, picture_names, scan, scan_file

        if names is not None and len(set(names)) != len(names):
            raise ValueError("the names are not all different")
        if DatasetSource.takes(photos):
            return [DatasetSource(photos, names)]
        photos = [photos] if isinstance(photos, str | os.PathLike | Image.Image) else list(photos)
        pictures = [photo for photo in photos if isinstance(photo, Image.Image)]
        if names is not None and len(names) != len(pictures):
            raise ValueError(f"{len(names)} names were given for {len(pictures)} pictures")
        entries = []
        for path in (photo for photo in photos if not isinstance(photo, Image.Image)):
            if not isinstance(path, str | os.PathLike):
                raise TypeError(f"a photo is a path or a PIL image, not {type(path).__name__}")
            found = scan(path, self.follow_links) if os.path.isdir(path) else scan_file(path)
            changes.links += found.links
            entries += [
                entry._replace(path=self.name_of(os.path.join(path, entry.path))) for entry in found.entries
            ]
            changes.skipped += found.skipped
        sources = []
        if entries:
            sources.append(FileSource(entries, self.root or ""))
        if pictures:
            sources.append(PictureSource(pictures, names or picture_names(pictures, self.photos.rows)))
        return sources

    def note_skipped(self, skipped: Iterable[UnreadableImage]) -> None:
        """Remember the files that were skipped, unless they are photos of the gallery."""
        every = {image.path: image for image in (*self.skipped, *skipped)}
        there = self.photos.rows
        self.skipped = [
            image for path, image in every.items() if path not in there and self.name_of(path) not in there
        ]

    def compare_folder(self, root: Path, changes: Changes) -> FolderChanges:
        """Compare the gallery with a folder, which becomes its folder of photos. No file is opened.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: The folder is empty, but the gallery has photos.
        """
        from .photo_sources import FileSource, scan, scan_file

        found = scan(root, self.follow_links)
        if not found.entries and len(self):
            raise ValueError(
                f"{root} has no photos any more, but the gallery has {len(self):,}. Is the drive connected? "
                "To start again, build another gallery."
            )
        self.root = root
        changes.skipped += found.skipped
        changes.links += found.links
        files = [path for path, size in zip(self.photos.paths, self.photos.sizes) if size >= 0]
        outside = [
            entry._replace(path=path)
            for path in files
            if os.path.isabs(path) and path not in self._foreign
            for entry in scan_file(path).entries
        ]
        source = FileSource([*found.entries, *outside], root)
        there = {entry.path for entry in source.entries}
        unseen = [number for number, entry in enumerate(source.entries) if not self._is_unchanged(entry)]
        changes.unchanged = len(source) - len(unseen)
        return FolderChanges(source, unseen, [path for path in files if path not in there])

    def _is_unchanged(self, entry: "Entry") -> bool:
        row = self.photos.rows.get(entry.path)
        if row is None or entry.path in self._foreign:
            return False
        photo = self.photos[row]
        settled = photo.read_ns - photo.mtime_ns > _CLOCK_GRAIN_NS
        return settled and (photo.size, photo.mtime_ns) == (entry.size, entry.mtime_ns)

    def keep_pictures(self, source: "PhotoSource") -> None:
        """Keep images that are not files in memory, so that they can be shown."""
        for number, entry in enumerate(source.entries):
            if entry.size < 0 and entry.path in self.photos:
                self._pictures[entry.path] = partial(source.content, number)

    def update(
        self,
        batches: Iterable[EncodedImages[np.ndarray]],
        gone: Iterable[str],
        changes: Changes,
        accelerator: "Accelerator | None" = None,
    ) -> None:
        """Store the features of photos, and update the table and the index.

        Args:
            batches: From `GalleryEncoder.embed_photos`.
            gone: Names in the gallery whose files do not exist any more. Called after the last batch.
            changes: Is updated.
            accelerator: If several processes have each embedded a share of the photos. Afterwards the store has the
                features of all of them, and only the first process has the table and the index.
        """
        loaded: list[LoadedPhoto] = []
        embedded: list[str] = []
        for batch in batches:
            if batch.new and self._closed:
                raise ValueError(self._closed)
            new = [photo.key for photo in batch.new]
            self.store.append(new, batch.encoded)
            embedded += new
            loaded += batch.images
        if accelerator is not None:
            from accelerate.utils import gather_object

            self.store.flush()
            loaded, embedded = gather_object(loaded), gather_object(embedded)
            self.store.read_blocks()
        changes.embedded += len(embedded)
        if accelerator is None or accelerator.is_main_process:
            loaded.sort(key=lambda photo: photo.number)
            changes.skipped += [photo.unreadable for photo in loaded if photo.unreadable]
            self._apply(loaded, gone, changes)

    def remove(self, photos: Iterable[PhotoName]) -> Changes:
        """Remove photos; see `Gallery.remove`."""
        changes = Changes()
        rows = sorted({self.row_of(photo) for photo in photos})
        self._apply([], [self.photos[row].path for row in rows], changes)
        return changes

    def _apply(self, loaded: list[LoadedPhoto], gone: Iterable[str], changes: Changes) -> None:
        self._foreign -= {photo.entry.path for photo in loaded}
        update = update_table(self.photos, loaded, gone, self._next_id, changes)
        if update.removed.size or update.added.size:
            self.calibration = None
        self.small_pictures = SmallPictures(self.image_or_none)
        self.photos, self._sample = update.table, None
        if len(update.added):
            self._next_id = int(update.added[-1]) + 1
        self.index.update(update.removed, update.added, self.photos.ids, self.vectors())
        self._pictures = {path: read for path, read in self._pictures.items() if path in self.photos}

    def describe(self) -> dict[str, Any]:
        """The model and the kind of index as plain values, without paths of this machine."""
        fingerprint = self.store.model
        public = {
            name: None if isinstance(value, str) and os.path.isabs(value) else value
            for name, value in self._origin.items()
        }
        if os.path.isabs(fingerprint["base_model"] or ""):
            fingerprint = {**fingerprint, "base_model": None}
        return {"model": {**public, "fingerprint": fingerprint}, "index": self._asked["name"]}

    def write(self, directory: Path) -> None:
        """Write everything to a folder; see `Gallery.save`."""
        clear_leftovers(directory)
        clear_leftovers(directory / FEATURES)
        token = new_token()
        index = {**self._asked, **self.index.save(directory, f"index-{token}")}
        self.store.flush()
        if self.store.directory != directory / FEATURES or self.store.is_scattered(len(self)):
            self.store.compact(self.photos.digests, directory / FEATURES)
        model = {**self._origin, "fingerprint": self.store.model}
        own = not self._foreign or self._foreign.isdisjoint(self.photos.rows)
        saved = SavedGallery(model, self.photos, self.skipped, self.root, self._next_id, index, own)
        saved.calibration, saved.blocks = self.calibration, self.store.layout()
        saved.write(directory, token, self.vectors().places)
        self.store.delete_others()

    def resume(self, directory: Path, read_index: bool) -> None:
        """Continue with a folder: a gallery, parts of one, or the features of a run that was killed."""
        try:
            saved = SavedGallery.read(directory, verify=True)
        except (FileNotFoundError, DamagedGalleryError):
            saved = None
        self.read(directory, saved, repair=True, read_index=read_index)

    def read(
        self, directory: Path, saved: SavedGallery | None, repair: bool, read_index: bool = True
    ) -> None:
        """Read a folder.

        Args:
            directory: Folder of the gallery.
            saved: The table and everything else. None if it is damaged or missing; then only features are read.
            repair: Drop photos without features, which will be embedded again. Otherwise they are an error.
            read_index: Also read the index.

        Raises:
            DamagedGalleryError: Photos have no features.
            ValueError: The features come from another model.
        """
        self.index.open(directory)
        self.store = FeatureStore(directory / FEATURES, self.store.model, self.store.flush_seconds)
        self.store.read_blocks(verify=repair)
        if saved is None:
            if self.store.other_models and not self.store.digests:
                self.check_model({"fingerprint": self.store.other_models[0]}, directory)
            return
        self.check_model(saved.model, directory)
        self.photos, self.skipped, self._next_id = saved.photos, saved.skipped, saved.next_id
        complete = not repair and saved.locate(self.store)
        lacking = np.zeros(0, bool) if complete else self.store.lacking(saved.photos.digests)
        if lacking.any() and not repair:
            reason = self.store.damaged[0] if self.store.damaged else "a file of features is gone"
            raise DamagedGalleryError(directory, f"{lacking.sum():,} photos have no features ({reason})")
        if lacking.any():
            self.photos = saved.photos.take(~lacking)
        self.calibration = None if lacking.any() else saved.calibration
        self.root = saved.root if saved.own else None
        self._foreign = set() if saved.own else set(self.photos.rows)
        if read_index:
            self._read_index(directory, saved)

    def _read_index(self, directory: Path, saved: SavedGallery) -> None:
        address = saved.index.get("address")
        given = self._milvus_uri or os.environ.get("MILVUS_URI")
        if address is not None and not saved.own and given is None:
            raise ValueError(
                f"the gallery in {directory} says that its vectors are in Milvus at {address}, but it is not one that "
                "you indexed here. If you trust that address, give it yourself: --milvus-uri, or the environment "
                "variable MILVUS_URI"
            )
        if address is not None and (given or address).partition("?")[0] != address:
            logger.warning("The gallery's vectors were in Milvus at %s; %s is used now.", address, given)
        place = {} if address is None else {"address": given or address}
        problem = index_problem(directory, saved)
        self.index.load(
            directory,
            {**saved.index, **place, "problem": problem, "own": saved.own},
            self.photos.ids_for_search,
            self.vectors(),
        )

    def read_rows(self, rows: "datasets.Dataset") -> None:
        """Use the rows of a gallery's data set; see `hub`."""
        digests = rows["digest"][:]
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            self.store.append(digests[part], np.array(rows["features"][part], np.float32))
        columns = zip(rows["id"], rows["path"], rows["category"], digests)
        self.photos = PhotoTable.of(Photo(*values) for values in columns)
        self._next_id = int(self.photos.ids[-1]) + 1
        self._foreign = set(self.photos.rows)
        if "image" in rows.column_names:
            from .photo_sources import DatasetSource

            self.keep_pictures(DatasetSource(rows, rows["path"][:], embedded_only=True))
        self.index.update(self.photos.ids[:0], self.photos.ids, self.photos.ids, self.vectors())

    def check_model(self, saved: dict[str, Any], place: str | Path) -> None:
        """Raise a ValueError if the features of a saved gallery come from another model; see `check_same_model`."""
        self._closed = check_same_model(saved, self.store.model, place)
        if self._closed:
            self.store.model = saved["fingerprint"]
