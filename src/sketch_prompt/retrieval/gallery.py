"""A gallery: photos that were embedded once, kept up to date, and searched by drawing, by words, or by both."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from matplotlib.figure import Figure
from PIL import Image

from sketch_prompt.data.reading import UnreadableImageError, read_image
from sketch_prompt.evaluation.loading import load_model

from .embedding import Read, embed_photos
from .figures import plot_hits
from .fingerprint import describe_model, differences
from .indexes import Neighbours, make_index
from .photo_sources import (
    DatasetSource,
    Entry,
    FileSource,
    PhotoSource,
    PictureSource,
    Skipped,
    picture_names,
)
from .photos import Filters, Photo, PhotoTable
from .queries import Sketch, as_drawing, combine, embed_sketch, embed_text
from .saving import FEATURES, DamagedGalleryError, SavedGallery, new_token
from .scanning import scan, scan_file
from .store import FeatureStore, StoredVectors
from .updating import Changes, Record, update_table

Photos = str | os.PathLike | Image.Image | datasets.Dataset | Sequence[str | os.PathLike | Image.Image]

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


class Gallery:
    """Photos that a sketch searches.

        gallery = Gallery.build("mini-clip-at", "photos/")
        gallery.search("drawing.png", top_k=12)[0].path

    Args:
        model: a sketch-prompt model, or the Hub id, directory or bundled name of one.
        processor: its processor; by default the one that came with it.
        index: "auto" (exact search, or an approximate index where there are very many photos), "exact", "hnsw",
            "ivf-sq8", "ivf-pq", or "milvus".
        milvus_uri: address of a Milvus cluster; by default Milvus keeps its data in the gallery's folder.
        batch_size: photos a forward pass.
        num_workers: processes that read photos; by default up to eight for a GPU and none for a CPU.
        base_model, device: where to get the CLIP in place of what the checkpoint says, and where to run it; for a
            model that is given by name.

    Attributes:
        photos: the table of the photos.
        skipped: files that were left out, and why.
        root: the folder that the photos' names are relative to, if it was built from one.
        changes: what `build` did.

    Raises:
        ValueError: the model has no processor.
    """

    def __init__(
        self,
        model,
        processor=None,
        *,
        index: str = "auto",
        milvus_uri: str | None = None,
        batch_size: int = 64,
        num_workers: int | None = None,
        base_model: str | None = None,
        device: str | None = None,
    ):
        self._source = {"source": _lasting(model), "base_model": _lasting(base_model)}
        if isinstance(model, str | os.PathLike):
            model, own_processor = load_model(os.fspath(model), base_model, device)
            processor = processor if processor is not None else own_processor
        self.model = model.eval()
        self.processor = processor if processor is not None else model.processor
        if self.processor is None:
            raise ValueError(
                "the model came without a processor: pass processor=SketchPromptProcessor.from_base_model(...)"
            )
        self.photos = PhotoTable()
        self.skipped: list[Skipped] = []
        self.changes = Changes()
        self.root: Path | None = None
        self._index_name = index
        self.index = make_index(index, **({"uri": milvus_uri} if index == "milvus" else {}))
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.store = FeatureStore(None, describe_model(self.model, self.processor))
        self._next_id = 0
        self._adapter = self.model.active_adapter
        self._accelerator: Accelerator | None = None
        self._pictures: dict[str, Callable[[], bytes | Image.Image]] = {}
        self._sample: np.ndarray | None = None

    @classmethod
    def build(
        cls,
        model,
        photos: Photos,
        output: str | os.PathLike | None = None,
        *,
        progress: bool = True,
        accelerator: Accelerator | None = None,
        **options,
    ) -> "Gallery":
        """Embed photos.

        With `output` the gallery is also saved there. What lies there already is used: of a gallery, or of a run that
        was killed, only content without features is embedded.

        Args:
            model: see the class.
            photos: a folder (with all its subfolders), a `datasets.Dataset` with a column `image`, or a list of
                paths and PIL images.
            output: folder of the gallery.
            progress: show a bar on stderr.
            accelerator: shares the work among the processes that `accelerate` started; needs `output`. The first
                process returns the whole gallery, the others an empty one.
            options: those of the class.

        Raises:
            FileNotFoundError: there is no such folder of photos or model.
            ValueError: `output` holds a gallery of another model.
        """
        gallery = cls(model, **options)
        gallery._accelerator = accelerator
        if accelerator is not None and output is None:
            raise ValueError("several processes build a gallery in a folder: give output=")
        if output is not None:
            gallery._resume(Path(os.path.abspath(output)))
        if isinstance(photos, str | os.PathLike) and not os.path.isfile(photos):
            gallery.changes = gallery.refresh(photos, progress=progress)
        else:
            gallery.changes = gallery.add(photos, progress=progress)
        if output is not None and gallery._is_main_process:
            gallery.save(output)
        gallery._accelerator = None
        return gallery

    @classmethod
    def load(
        cls,
        directory: str | os.PathLike,
        model=None,
        *,
        photos_dir: str | os.PathLike | None = None,
        **options,
    ) -> "Gallery":
        """Open a saved gallery.

        Args:
            directory: its folder.
            model: the model it was made with, or its name; by default what the gallery says.
            photos_dir: where the folder of photos is now, if it was moved.
            options: those of the class.

        Raises:
            FileNotFoundError: there is no gallery.
            DamagedGalleryError: one of its files is damaged or missing.
            ValueError: it was made with another model, or does not say with which.
        """
        directory = Path(os.path.abspath(directory))
        saved = SavedGallery.read(directory)
        if model is None:
            model = saved.model["source"]
            options.setdefault("base_model", saved.model["base_model"])
        if model is None:
            raise ValueError(
                f"the gallery in {directory} does not say where its {saved.model['fingerprint']['method']} model is: "
                "pass the model, or the name of its checkpoint, as model"
            )
        gallery = cls(model, **{"index": saved.index["name"], **options})
        gallery._take_up(directory, saved, repair=False)
        if photos_dir is not None:
            gallery.root = Path(os.path.abspath(photos_dir))
        return gallery

    def save(self, directory: str | os.PathLike) -> None:
        """Write the gallery into a folder, which it stays with: features of photos added later go there at once.

        A process that is killed meanwhile leaves the gallery that was there before. Pictures in memory are not saved,
        only what it takes to find them.

        Raises:
            ValueError: the folder is the folder of photos.
        """
        directory = Path(os.path.abspath(directory))
        if directory == self.root:
            raise ValueError(f"{directory} holds the photos; save the gallery into a folder of its own")
        directory.mkdir(parents=True, exist_ok=True)
        token = new_token()
        if self.store.directory != directory / FEATURES:
            self.store.compact(self.photos.digests, directory / FEATURES)
        self.store.flush()
        index = {"name": self._index_name, **self.index.save(directory, f"index-{token}")}
        model = {**self._source, "fingerprint": self.store.model}
        SavedGallery(model, self.photos, self.skipped, self.root, self._next_id, index).write(
            directory, token
        )
        if self.store.is_scattered(len(self)):
            self.store.compact(self.photos.digests)
        self.store.delete_others()

    def __len__(self) -> int:
        return len(self.photos)

    def __repr__(self) -> str:
        return f"Gallery({len(self):,} photos, {self.model.method}, {self.index.describe()})"

    # Photos

    def add(self, photos: Photos, names: Sequence[str] | None = None, *, progress: bool = True) -> Changes:
        """Add photos; one that is there under its name already is brought up to date.

        Args:
            photos: a file, a folder, a PIL image, a `datasets.Dataset` with a column `image`, or a list of files and
                images.
            names: what each picture or row is called in the gallery; made up where it is not given.
            progress: show a bar on stderr.

        Raises:
            ValueError: there are more or fewer names than pictures, or a data set has no column `image`.
        """
        changes = Changes()
        for source in self._sources(photos, names, changes):
            self._update(source, range(len(source)), (), changes, progress)
            self._pictures |= {
                entry.path: partial(source.content, number)
                for number, entry in enumerate(source.entries)
                if entry.size < 0 and entry.path in self.photos
            }
        self.skipped += changes.skipped
        return changes

    def remove(self, photos: str | os.PathLike | int | Iterable[str | os.PathLike | int]) -> Changes:
        """Forget photos.

        Args:
            photos: paths, names or ids, or one of them.

        Raises:
            ValueError: one is not in the gallery; nothing is removed then.
        """
        single = isinstance(photos, str | os.PathLike | int)
        paths = [self._path_in_table(photo) for photo in ([photos] if single else photos)]
        changes = Changes()
        self._apply((), set(paths), changes)
        return changes

    def refresh(self, photos_dir: str | os.PathLike | None = None, *, progress: bool = True) -> Changes:
        """Bring the gallery up to date with its folder, embedding only content that it has never seen.

        A file whose size and modification time are as they were is not opened. One that was renamed, moved, copied or
        touched is recognised by its content and keeps its features.

        Args:
            photos_dir: the folder; the one it was built from by default.
            progress: show a bar on stderr.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the gallery was built from no folder, or the folder holds no file at all any more.
        """
        if photos_dir is None and self.root is None:
            raise ValueError("this gallery was not built from a folder: give the folder to refresh from")
        root = Path(os.path.abspath(photos_dir if photos_dir is not None else self.root))
        found = scan(root)
        if not found.entries and len(self):
            raise ValueError(
                f"{root} holds no photo any more, the gallery {len(self):,}. Is the drive connected? "
                "To start anew, build another gallery."
            )
        self.root = root
        changes = Changes(skipped=list(found.skipped))
        source = FileSource([*found.entries, *self._elsewhere()], root)
        there = {entry.path for entry in source.entries}
        gone = [
            path
            for path, size in zip(self.photos.paths, self.photos.sizes)
            if size >= 0 and path not in there
        ]
        new = [number for number, entry in enumerate(source.entries) if not self._is_unchanged(entry)]
        changes.unchanged = len(source) - len(new)
        self._update(source, new, gone, changes, progress)
        self.skipped = changes.skipped
        return changes

    def image(self, photo: Hit | Photo | str) -> Image.Image:
        """The picture of a photo or hit.

        Raises:
            UnreadableImageError: its file is gone or damaged, or the picture was in memory when the gallery was saved.
        """
        path = photo if isinstance(photo, str) else photo.path
        if path in self._pictures:
            return read_image(self._pictures[path]())
        return read_image(self._full_path(path))

    # Search

    def search(
        self,
        sketch: Sketch | None = None,
        top_k: int = 12,
        filters: Filters | None = None,
        *,
        text: str | None = None,
        weight: float = 0.5,
    ) -> list[Hit]:
        """The photos that a sketch shows, a text describes, or both.

        Args:
            sketch: see `as_drawing`: a path, a PIL image, an array, strokes, ...
            top_k: how many photos.
            filters: search only some photos: `{"category": "chair"}`, `{"path": "2024/*"}` (several values may be
                given as a list), or a function of a `Photo`.
            text: such as "a red chair".
            weight: of the text beside the sketch, from 0 to 1.

        Returns:
            At most `top_k` hits, best first; equal ones in the order in which they came into the gallery.

        Raises:
            ValueError: neither sketch nor text is given, one of them is unusable, or an argument is out of range.
        """
        return self._hits(self.search_features(self.embed_query(sketch, text, weight)[None], top_k, filters))[
            0
        ]

    def embed_query(
        self, sketch: Sketch | None = None, text: str | None = None, weight: float = 0.5
    ) -> np.ndarray:
        """Features (D,) of a query; see `search`."""
        self._check_adapter()
        if sketch is None and text is None:
            raise ValueError("nothing to search for: give a sketch, a text, or both")
        drawn = None if sketch is None else embed_sketch(self.model, self.processor, sketch)
        if text is None:
            return drawn
        width = self._calibration().shape[1] if drawn is None else len(drawn)
        written = embed_text(self.model, self.processor, text, width)
        return written if drawn is None else combine(drawn, written, weight, self._calibration())

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

    def _check_adapter(self) -> None:
        if self.model.active_adapter != self._adapter:
            raise ValueError(
                f"the gallery's adapter is {self._adapter!r}, but {self.model.active_adapter!r} is active: "
                "call model.set_adapter(...), or build a gallery for the other one"
            )

    # Names: relative to the root inside it, full paths elsewhere

    def _full_path(self, path: str) -> str:
        return os.path.join(self.root or "", path)

    def _name(self, path: str | os.PathLike) -> str:
        full = os.path.abspath(path)
        inside = self.root is not None and Path(full).is_relative_to(self.root)
        return Path(full).relative_to(self.root).as_posix() if inside else full

    def _path_in_table(self, photo: str | os.PathLike | int) -> str:
        if isinstance(photo, int):
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
        if isinstance(photos, datasets.Dataset):
            return [DatasetSource(photos, names)]
        if isinstance(photos, str | os.PathLike | Image.Image):
            photos = [photos]
        pictures = [photo for photo in photos if isinstance(photo, Image.Image)]
        if names is not None and len(names) != len(pictures):
            raise ValueError(f"{len(names)} names were given for {len(pictures)} pictures")
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

    # Changes

    def _is_unchanged(self, entry: Entry) -> bool:
        row = self.photos.rows.get(entry.path)
        if row is None:
            return False
        photo = self.photos[row]
        settled = photo.read_ns - photo.mtime_ns > _CLOCK_GRAIN_NS
        return settled and (photo.size, photo.mtime_ns) == (entry.size, entry.mtime_ns)

    def _elsewhere(self) -> list[Entry]:
        """Files of the gallery that lie outside its folder, as they are now."""
        paths = (
            path
            for path, size in zip(self.photos.paths, self.photos.sizes)
            if size >= 0 and os.path.isabs(path)
        )
        return [entry._replace(path=path) for path in paths for entry in scan_file(path).entries]

    def _update(
        self,
        source: PhotoSource,
        numbers: Sequence[int],
        gone: Iterable[str],
        changes: Changes,
        progress: bool,
    ) -> None:
        """Read photos of a source, embed what is new, and bring table and index up to date."""
        self._check_adapter()
        share = self._share(numbers)
        batches = embed_photos(
            self.model,
            self.processor,
            source,
            share,
            self.store.digests,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            progress=progress and self._is_main_process,
        )
        reads: list[Read] = []
        for batch in batches:
            self.store.append(batch.digests, batch.features)
            changes.embedded += len(batch.digests)
            reads += batch.reads
        reads = self._collect(reads, changes)
        if not self._is_main_process:
            return
        for read in reads:
            if read.reason is not None:
                changes.skipped.append(
                    Skipped(self._full_path(source.entries[read.number].path), read.reason)
                )
        records = (Record(source.entries[read.number], read.digest, read.read_ns) for read in reads)
        self._apply(records, gone, changes)

    def _apply(self, records: Iterable[Record], gone: Iterable[str], changes: Changes) -> None:
        update = update_table(self.photos, records, gone, self._next_id, changes)
        self.photos, self._sample = update.table, None
        if len(update.added):
            self._next_id = int(update.added[-1]) + 1
        self.index.update(update.removed, update.added, self.photos.ids, self._vectors())
        self._pictures = {path: read for path, read in self._pictures.items() if path in self.photos}

    # On disk, and among processes

    def _resume(self, directory: Path) -> None:
        """Take up what lies in a folder: a gallery, the rest of one, or the features of a run that was killed."""
        if directory == self.root:
            raise ValueError(f"{directory} holds the photos; give the gallery a folder of its own")
        try:
            saved = SavedGallery.read(directory)
        except (FileNotFoundError, DamagedGalleryError):
            saved = None
        self._take_up(directory, saved, repair=True)

    def _take_up(self, directory: Path, saved: SavedGallery | None, repair: bool) -> None:
        """Read features, table and index of a folder.

        Args:
            directory: the gallery's folder.
            saved: the rest of what it holds; None if that is damaged or not there.
            repair: forget photos without features, which will be embedded again; otherwise they are an error.
        """
        ours = self.store.model
        self.index.open(directory)
        self.store = FeatureStore(directory / FEATURES, ours)
        self.store.read_blocks()
        theirs = [saved.model["fingerprint"]] if saved is not None else self.store.other_models
        problems = (
            differences(theirs[0], ours) if theirs and (saved is not None or not self.store.digests) else []
        )
        if problems:
            source = saved.model["source"] if saved is not None else None
            raise ValueError(
                f"the gallery in {directory} was made with another model: {'; '.join(problems)}. Use the model it was "
                f"made with{f' ({source})' if source else ''}, or index the photos into another folder."
            )
        if saved is None:
            return
        lacking = self.store.lacking(saved.photos.digests)
        if lacking.any() and not repair:
            reason = self.store.damaged[0] if self.store.damaged else "a file of features is gone"
            raise DamagedGalleryError(directory, f"{lacking.sum():,} photos have no features ({reason})")
        self.photos, self.skipped, self.root = saved.photos.take(~lacking), saved.skipped, saved.root
        self._next_id = saved.next_id
        self.index.load(directory, saved.index, self.photos.ids, self._vectors())

    @property
    def _is_main_process(self) -> bool:
        return self._accelerator is None or self._accelerator.is_main_process

    def _share(self, numbers: Sequence[int]) -> Sequence[int]:
        """This process's part of the work."""
        if self._accelerator is None:
            return numbers
        return numbers[self._accelerator.process_index :: self._accelerator.num_processes]

    def _collect(self, reads: list[Read], changes: Changes) -> list[Read]:
        """What all processes have read, in the order of the source; their features are in the store then."""
        if self._accelerator is None:
            return reads
        self.store.flush()
        parts = gather_object([(reads, changes.embedded)])
        self.store.read_blocks()
        changes.embedded = sum(embedded for _, embedded in parts)
        return sorted((read for part, _ in parts for read in part), key=lambda read: read.number)


def _lasting(name) -> str | None:
    """A model's name as it will still be understood from another folder; None if it is an object."""
    if not isinstance(name, str | os.PathLike):
        return None
    return os.path.abspath(name) if os.path.isdir(name) else os.fspath(name)
