"""A gallery: photos that were embedded once, kept up to date, and searched by drawing, by words, or by both."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image

from sketch_prompt.models.loading import load_model

from . import hub
from .collection import Hit, PhotoCollection, Photos
from .embedding import LoadedPhoto, embed_photos
from .fingerprint import describe_model
from .photo_sources import FileSource, PhotoSource
from .queries import Sketch, as_drawing, combine, embed_sketch, embed_text
from .reranking import PairReranker
from .saving import DamagedGalleryError, SavedGallery, writing
from .scanning import check_folder, scan
from .store import FLUSH_SECONDS
from .table import Filters, category_key
from .updating import Changes, Record

__all__ = ["Gallery", "Hit"]


class Gallery(PhotoCollection):
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
        num_workers: processes that read photos; by default up to eight where there are cores to spare.
        by_category: embed each photo under its category (its folder or label), which methods with conditions (DP-CLIP)
            can; photos of categories that the model was not shown are embedded without. A search then names one
            category: `filters={"category": "chair"}`.
        flush_seconds: how much embedding may be lost when a process that builds a gallery in a folder is killed.
        base_model, device: where to get the CLIP in place of what the checkpoint says, and where to run it; for a
            model that is given by name.

    Attributes:
        photos: the table of the photos.
        skipped: files that were left out, and why.
        root: the folder that the photos' names are relative to, if it was built from one.
        changes: what `build` did.
        features: (N, D) float32, in the order of `photos`.

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
        by_category: bool = False,
        flush_seconds: float = FLUSH_SECONDS,
        base_model: str | None = None,
        device: str | None = None,
    ):
        source = {"source": _lasting(model), "base_model": _lasting(base_model)}
        if isinstance(model, str | os.PathLike):
            model, own_processor = load_model(os.fspath(model), base_model, device)
            processor = processor if processor is not None else own_processor
        self.model = model.eval()
        self.processor = processor if processor is not None else model.processor
        if self.processor is None:
            raise ValueError(
                "the model came without a processor: pass processor=SketchPromptProcessor.from_base_model(...)"
            )
        self.by_category = by_category
        if by_category and not self.model.is_conditional:
            raise ValueError(f"{self.model.method} embeds all categories alike: leave out by_category")
        description = describe_model(self.model, self.processor, by_category)
        super().__init__(description, source, index, milvus_uri)
        self.store.flush_seconds = flush_seconds
        self.changes = Changes()
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._adapter = self.model.active_adapter
        self._accelerator: Accelerator | None = None
        self._reranker: PairReranker | None = None

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
            ValueError: `output` holds a gallery of another model, or another process is writing into it.
        """
        if accelerator is not None and output is None:
            raise ValueError("several processes build a gallery in a folder: give output=")
        gallery = cls(model, **options)
        gallery._accelerator = accelerator
        if output is None:
            gallery.changes = gallery._fill(photos, progress)
            return gallery
        directory = Path(os.path.abspath(output))
        if gallery._is_folder(photos):
            check_folder(photos)
        with writing(directory) if gallery._is_main_process else nullcontext():
            gallery._resume(directory, photos)
            gallery.changes = gallery._fill(photos, progress)
            if gallery._is_main_process:
                gallery._write(directory)
        gallery._accelerator = None
        return gallery

    @staticmethod
    def _is_folder(photos: Photos) -> bool:
        return isinstance(photos, str | os.PathLike) and not os.path.isfile(photos)

    def _fill(self, photos: Photos, progress: bool) -> Changes:
        fill = self.refresh if self._is_folder(photos) else self.add
        return fill(photos, progress=progress)

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
            photos_dir: where the folder of photos is now, if it was moved, or if somebody else made the gallery:
                photos are opened only where this user said that they are.
            options: those of the class.

        Raises:
            FileNotFoundError: there is no gallery.
            DamagedGalleryError: one of its files is damaged or missing.
            ValueError: it was made with another model, or does not say with which.
        """
        directory = Path(os.path.abspath(directory))
        saved = SavedGallery.read(directory)
        gallery = cls._for_model(saved.model, model, directory, {"index": saved.index["name"], **options})
        gallery._take_up(directory, saved, repair=False)
        gallery._take_index(directory, saved)
        if photos_dir is not None:
            gallery.root = Path(os.path.abspath(photos_dir))
        return gallery

    def push_to_hub(
        self,
        repo_id: str,
        *,
        include_photos: bool = False,
        private: bool | None = None,
        token: str | bool | None = None,
    ) -> str:
        """Upload the gallery as a data set; returns the commit's address.

        Args:
            repo_id: its name on the Hub; made if it is new.
            include_photos: also the photos, without which a hit is only a name.
            private: of a new repository.
            token: of the Hub.

        Raises:
            ValueError: the gallery is empty.
            UnreadableImageError: a photo is to be included and is gone.
        """
        with tempfile.TemporaryDirectory() as folder:
            hub.write_data_set(self, Path(folder), include_photos)
            return hub.upload(Path(folder), repo_id, private, token)

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        model=None,
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        token: str | bool | None = None,
        **options,
    ) -> "Gallery":
        """Download a gallery.

        Args:
            repo_id: its name on the Hub.
            model: the model it was made with, or its name; by default what the gallery says.
            revision, cache_dir, token: as in `huggingface_hub`.
            options: those of the class.

        Raises:
            FileNotFoundError: there is no such data set, or no network to ask.
            ValueError: it is no gallery, or one of another model.
        """
        description, rows = hub.download(repo_id, revision=revision, cache_dir=cache_dir, token=token)
        options = {"index": description["index"], **options}
        gallery = cls._for_model(description["model"], model, repo_id, options)
        gallery._check_model(description["model"], repo_id)
        gallery._take_rows(rows)
        return gallery

    def __repr__(self) -> str:
        return f"Gallery({len(self):,} photos, {self.model.method}, {self.index.describe()})"

    def add(self, photos: Photos, names: Sequence[str] | None = None, *, progress: bool = True) -> Changes:
        """Add photos; one that is there under its name already is brought up to date.

        Args:
            photos: a file, a folder, a PIL image, a `datasets.Dataset` with a column `image`, or a list of files and
                images.
            names: what each picture or row is called in the gallery; made up where it is not given.
            progress: show a bar on stderr.

        Raises:
            ValueError: the names are not as many as the pictures, or not all different, or a data set has no column
                `image`.
            TypeError: something is neither of these.
        """
        changes = Changes()
        for source in self._sources(photos, names, changes):
            self._update(source, range(len(source)), (), changes, progress)
            self._remember(source)
        skipped = {skipped.path: skipped for skipped in (*self.skipped, *changes.skipped)}
        self.skipped = [
            value
            for path, value in skipped.items()
            if path not in self.photos and self._name(path) not in self.photos
        ]
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

    def search(
        self,
        sketch: Sketch | None = None,
        top_k: int = 12,
        filters: Filters | None = None,
        *,
        text: str | None = None,
        weight: float = 0.5,
        rerank: int | None = None,
    ) -> list[Hit]:
        """The photos that a sketch shows, a text describes, or both.

        Args:
            sketch: see `as_drawing`: a path, a PIL image, an array, strokes, ...
            top_k: how many photos.
            filters: search only some photos: `{"category": "chair"}`, `{"path": "2024/*"}` (several values may be
                given as a list), or a function of a `Photo`.
            text: such as "a red chair".
            weight: of the text beside the sketch, from 0 to 1.
            rerank: score so many of the first photos again, each with the sketch, by a model that has a re-ranker
                (`model.has_reranker`). It opens these photos, and is slower by that.

        Returns:
            At most `top_k` hits, best first; equal ones in the order in which they came into the gallery.

        Raises:
            ValueError: neither sketch nor text is given, one of them is unusable, an argument is out of range, or the
                model has no re-ranker.
        """
        query = self.embed_query(sketch, text, weight, self._category_of(filters))[None]
        if rerank is None:
            return self._hits(self.search_features(query, top_k, filters))[0]
        if sketch is None or rerank < 1:
            raise ValueError("rerank is the number of photos, at least 1, to compare with a sketch")
        hits = self._hits(self.search_features(query, max(rerank, top_k), filters))[0]
        return self._reranked(as_drawing(sketch), hits)[:top_k]

    def _reranked(self, drawing: Image.Image, hits: list[Hit]) -> list[Hit]:
        """The hits by their scores as pairs; those that cannot be read any more stand last."""
        if self._reranker is None:
            self._reranker = PairReranker(self.model, self.processor)
        digests = [self.photos.digests[self.photos.rows[self._path_in_table(hit)]] for hit in hits]
        scores = self._reranker.scores(drawing, digests, lambda place: self.image(hits[place]))
        scores = np.where(np.isnan(scores), np.nanmin(scores, initial=0.0), scores)
        order = np.argsort(-scores, kind="stable")
        return [
            replace(hits[place], rank=rank, score=float(scores[place])) for rank, place in enumerate(order, 1)
        ]

    def embed_query(
        self,
        sketch: Sketch | None = None,
        text: str | None = None,
        weight: float = 0.5,
        category: str | None = None,
    ) -> np.ndarray:
        """Features (D,) of a query; see `search`. With a category the sketch is embedded under that."""
        self._check_adapter()
        if sketch is None and text is None:
            raise ValueError("nothing to search for: give a sketch, a text, or both")
        drawn = None
        if sketch is not None:
            condition = {} if category is None else {"category": category}
            drawn = embed_sketch(self.model, self.processor, sketch, **condition)
        if text is None:
            return drawn
        written = embed_text(self.model, self.processor, text)
        sample = self._calibration()
        if len(sample) and written.shape != sample.shape[1:]:
            raise ValueError(
                f"{self.model.method} does not embed photos where its texts are ({sample.shape[1]} numbers a photo, "
                f"{len(written)} a text), so it cannot search by text"
            )
        return written if drawn is None else combine(drawn, written, weight, sample)

    @property
    def _categories(self) -> dict[str, str]:
        """{`category_key`: name} of the categories under which photos are embedded."""
        if not self.by_category:
            return {}
        return {category_key(name): name for name in self.model.categories}

    @property
    def unconditioned_categories(self) -> list[str]:
        """Categories of photos that, with `by_category`, are embedded without: the model was not shown them."""
        if not self.by_category:
            return []
        known = self._categories
        return [name for name in self.photos.categories if category_key(name) not in known]

    def _category_of(self, filters: Filters | None) -> str | None:
        """The category under which a sketch is embedded; None where the gallery has none."""
        if not self.by_category:
            return None
        named = {} if filters is None or callable(filters) else filters
        wanted = named.get("category")
        wanted = [wanted] if isinstance(wanted, str) else list(wanted or ())
        if len(wanted) != 1:
            raise ValueError(
                "the photos of this gallery are embedded under their categories: name the one to search "
                "(--category on the command line, filters={'category': ...} in Python)"
            )
        return self._categories.get(category_key(wanted[0]))

    def _check_adapter(self) -> None:
        if self.model.active_adapter != self._adapter:
            raise ValueError(
                f"the gallery's adapter is {self._adapter!r}, but {self.model.active_adapter!r} is active: "
                "call model.set_adapter(...), or build a gallery for the other one"
            )

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
        batches = embed_photos(
            self.model,
            self.processor,
            source,
            numbers,
            self.store.digests,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            accelerator=self._accelerator,
            progress=progress and self._is_main_process,
            categories=self._categories,
        )
        loaded, embedded = [], 0
        for batch in batches:
            self.store.append([photo.key for photo in batch.new], batch.encoded)
            embedded += len(batch.new)
            loaded += batch.images
        loaded, embedded = self._collect(loaded, embedded)
        changes.embedded += embedded
        if not self._is_main_process:
            return
        changes.skipped += [photo.unreadable for photo in loaded if photo.unreadable]
        records = (Record(source.entries[photo.number], photo.key, photo.read_ns) for photo in loaded)
        self._apply(records, gone, changes)

    @classmethod
    def _for_model(
        cls, saved: dict[str, Any], model, place: str | Path, options: dict[str, Any]
    ) -> "Gallery":
        """An empty gallery of the model that is given, or of the one that a saved gallery names."""
        if model is None:
            model = saved["source"]
            options = {"base_model": saved["base_model"], **options}
        options = {"by_category": saved["fingerprint"]["by_category"], **options}
        if model is None:
            raise ValueError(
                f"the gallery in {place} does not say where its {saved['fingerprint']['method']} model is: pass the "
                "model, or the name of its checkpoint, as model"
            )
        return cls(model, **options)

    def _resume(self, directory: Path, photos: Photos) -> None:
        """Take up what lies in a folder: a gallery, the rest of one, or the features of a run that was killed."""
        if isinstance(photos, str | os.PathLike) and directory == Path(os.path.abspath(photos)):
            raise ValueError(f"{directory} holds the photos; give the gallery a folder of its own")
        try:
            saved = SavedGallery.read(directory)
        except (FileNotFoundError, DamagedGalleryError):
            saved = None
        self._take_up(directory, saved, repair=True)
        if self._is_main_process and saved is not None:
            self._take_index(directory, saved)

    @property
    def _is_main_process(self) -> bool:
        return self._accelerator is None or self._accelerator.is_main_process

    def _collect(self, loaded: list[LoadedPhoto], embedded: int) -> tuple[list[LoadedPhoto], int]:
        """What all processes have read, in the order of the source; their features are in the store then."""
        if self._accelerator is None:
            return loaded, embedded
        self.store.flush()
        parts = gather_object([(loaded, embedded)])
        self.store.read_blocks()
        everything = sorted((photo for part, _ in parts for photo in part), key=lambda photo: photo.number)
        return everything, sum(embedded for _, embedded in parts)


def _lasting(name) -> str | None:
    """A model's name as it will still be understood from another folder; None if it is an object."""
    if not isinstance(name, str | os.PathLike):
        return None
    return os.path.abspath(name) if os.path.isdir(name) else os.fspath(name)
