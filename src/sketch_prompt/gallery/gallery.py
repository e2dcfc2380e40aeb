"""A gallery: photos that were embedded once, kept up to date, and searched by drawing, by words, or by both."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import Accelerator
from PIL import Image

from sketch_prompt.data.reading import UnreadableImage
from sketch_prompt.models.loading import load_model
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor

from .collection import PhotoCollection, PhotoName, Photos
from .encoder import GalleryEncoder
from .hits import Calibration, Hit, Hits, judge
from .indexes import VectorIndex
from .queries import Sketch, as_drawing
from .saving import SavedGallery, absolute_name, saved_options, writing
from .store import FLUSH_SECONDS
from .table import Changes, Filters, PhotoTable

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo
    from matplotlib.figure import Figure

    from sketch_prompt.explain import Correspondence

    from .photo_sources import PhotoSource
    from .reranking import PairReranker

__all__ = ["Gallery", "Hit", "Hits"]

Model = str | os.PathLike | SketchPromptPreTrainedModel


class Gallery:
    """Photos that a sketch searches.

    Example:

        from sketch_prompt import Gallery
        gallery = Gallery.build("sketch-search", "photos/", output="my-gallery")
        for hit in gallery.search("drawing.png", top_k=3):
            print(hit.rank, hit.score, hit.path)

        gallery = Gallery.load("my-gallery")
        gallery.refresh()  # embeds only what is new
        gallery.search("drawing.png", filters={"category": "chair"}, text="red")

    Args:
        model: a sketch-prompt model, or the Hub id, directory or bundled name of one.
        processor: its processor; by default the one that came with it.
        index: "auto" (exact search, or an approximate index for very many photos), "exact", "hnsw", "ivf",
            "ivf-sq8", "ivf-pq", "lance" (a table on the disk) or "milvus".
        precision: of the features in memory: "auto", "float32", "float16", "int8", or "binary" (one bit a number).
        follow_links: whether symbolic links in folders of photos are followed.
        milvus_uri: address of a Milvus cluster; by default Milvus keeps its data in the gallery's folder.
        batch_size: photos in a forward pass.
        num_workers: processes that read photos; by default up to eight if there are cores to spare.
        by_category: embed each photo under its category (its folder or label), which methods with conditions (DP-CLIP)
            can; photos of categories that the model was not shown are embedded without. A search then names one
            category: `filters={"category": "chair"}`.
        flush_seconds: how much embedding may be lost when a process that builds a gallery in a folder is killed.
        base_model: where to get the CLIP, in place of what the checkpoint says; for a model that is given by name.
        device: where to run a model that is given by name.
        sketches: how drawings are prepared, where that is not as the model's processor says: the fields of
            `SketchPromptImageProcessor` that begin with `sketch_`, such as {"sketch_crop_margin": True,
            "sketch_line_width": 1.5}. The gallery remembers them; photos keep their features.

    Attributes:
        model: the model, in eval mode.
        processor: its processor.
        changes: what `build` did.
        collection: the photos with their features and index.

    Raises:
        ValueError: the model has no processor, or cannot embed by category.
    """

    def __init__(
        self,
        model: Model,
        processor: SketchPromptProcessor | None = None,
        *,
        index: str = "auto",
        precision: str = "auto",
        milvus_uri: str | None = None,
        batch_size: int = 64,
        num_workers: int | None = None,
        by_category: bool = False,
        flush_seconds: float = FLUSH_SECONDS,
        follow_links: bool = True,
        base_model: str | None = None,
        device: str | None = None,
        sketches: Mapping[str, Any] | None = None,
    ):
        origin = {
            "source": absolute_name(model),
            "base_model": absolute_name(base_model),
            "sketches": dict(sketches or {}),
        }
        if isinstance(model, str | os.PathLike):
            model, own_processor = load_model(os.fspath(model), base_model, device)
            processor = processor if processor is not None else own_processor
        self._encoder = GalleryEncoder(model, processor, by_category, batch_size, num_workers, sketches)
        described = self._encoder.describe()
        self.collection = PhotoCollection(described, origin, index, milvus_uri, flush_seconds, precision)
        self.collection.index.drawings = self._encoder.embed_doodles
        self.collection.follow_links = follow_links
        self.model, self.processor = self._encoder.model, self._encoder.processor
        self.changes, self._accelerator = Changes(), None
        self._reranker: PairReranker | None = None

    @classmethod
    def build(
        cls,
        model: Model | None,
        photos: Photos,
        output: str | os.PathLike | None = None,
        *,
        index: str | None = None,
        precision: str | None = None,
        by_category: bool | None = None,
        sketches: Mapping[str, Any] | None = None,
        base_model: str | None = None,
        progress: bool = True,
        accelerator: Accelerator | None = None,
        **options,
    ) -> "Gallery":
        """Embed photos.

        With `output` the gallery is also saved there. What lies there already is used: of a gallery, or of a run that
        was killed, only content without features is embedded.

        Args:
            model: see the class. None for that of the gallery in `output`; "sketch-search" for a new gallery.
            photos: a folder (with all its subfolders), a `datasets.Dataset` with a column `image`, or a list of
                paths and PIL images.
            output: folder of the gallery.
            index, precision, by_category, sketches: see the class. By default those of the gallery in `output`;
                "auto", False and those of the model for a new gallery.
            base_model: see the class.
            progress: show a bar on stderr.
            accelerator: shares the work among the processes that `accelerate` started; needs `output`. The first
                process returns the whole gallery, the others an empty one.
            options: the other options of the class.

        Raises:
            FileNotFoundError: there is no such folder of photos or model.
            ValueError: `output` holds a gallery of another model or the photos, or another process is writing into it.
        """
        from .building import build

        options |= {"index": index, "by_category": by_category, "sketches": sketches}
        options["precision"] = precision
        return build(cls, model, photos, output, progress, accelerator, base_model, **options)

    @classmethod
    def from_embeddings(
        cls,
        vectors,
        names: Sequence[str | os.PathLike] | None = None,
        base_model: str | os.PathLike | None = None,
        *,
        model: Model = "frozen-clip",
        photos_dir: str | os.PathLike | None = None,
        output: str | os.PathLike | None = None,
        check: int = 8,
        **options,
    ) -> "Gallery":
        """A gallery of vectors that are there already: no photo is embedded.

        Some photos are, to see whether the vectors are this CLIP's; `changes.checked` says how many could be read.
        With `output` the gallery is also saved there; one that is there already is brought up to date.

        Args:
            vectors: (N, D) features of photos, normalised or not; a column of a data set; or where they are, as
                `read_embeddings` takes it: a file, a folder, a Lance table or a `postgresql://` address.
            names: N paths or ids of the photos, for vectors that do not come with their own.
            base_model: the CLIP that the vectors were made with.
            model: the model that they are searched with; a lens of that CLIP, for example.
            photos_dir: the folder that relative paths are in.
            output: folder of the gallery.
            check: how many photos to check; 0 for none.
            options: those of the class.

        Raises:
            FileNotFoundError, ConnectionError: the vectors are not there, or not to be reached.
            ValueError: the vectors are another model's, or not as many as the names; or `output` is as in `build`.
        """
        from .embeddings import fill

        gallery = cls(model, base_model=base_model, **options)
        directory = None if output is None else Path(os.path.abspath(output))
        where = photos_dir, directory
        gallery.changes = fill(gallery.collection, gallery._encoder, (vectors, names), *where, check)
        return gallery

    @classmethod
    def load(
        cls,
        directory: str | os.PathLike,
        model: Model | None = None,
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
        settings = saved_options(saved.model, saved.index, model, directory)
        gallery = cls(**{**settings, **options})
        gallery.collection.read(directory, saved, repair=False)
        if photos_dir is not None:
            gallery.collection.root = Path(os.path.abspath(photos_dir))
        return gallery

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        model: Model | None = None,
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
        from . import hub

        description, rows = hub.download(repo_id, revision=revision, cache_dir=cache_dir, token=token)
        settings = saved_options(description["model"], {"name": description["index"]}, model, repo_id)
        gallery = cls(**{**settings, **options})
        gallery.collection.check_model(description["model"], repo_id)
        gallery.collection.read_rows(rows)
        return gallery

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
            self.collection.write(directory)

    def push_to_hub(
        self, repo_id: str, *, include_photos: bool = False, license: str = "unknown", **options
    ) -> "CommitInfo":
        """Upload the gallery as a data set; returns the commit, a string that is its address.

        Args:
            repo_id: its name on the Hub; created if it is new.
            include_photos: also upload the photos, without which a hit is only a name.
            license: for the card, as the Hub spells it: "cc-by-4.0", ...
            options: `private`, `token`, `revision`, `create_pr`, ...; see `hub.upload.PushOptions`.

        Raises:
            ValueError: the gallery is empty.
            UnreadableImageError: a photo is to be included and is gone.
            PermissionError, ConnectionError: the Hub does not take it; the message says what to do.
        """
        from . import hub

        return hub.push(self.collection, repo_id, include_photos, license, **options)

    def __repr__(self) -> str:
        return f"Gallery({len(self):,} photos, {self.model.method}, {self.index.describe()})"

    def _repr_html_(self) -> str:
        from .results import html_of_gallery

        return html_of_gallery(self)

    def __len__(self) -> int:
        return len(self.collection)

    @property
    def photos(self) -> PhotoTable:
        """The table of the photos."""
        return self.collection.photos

    @property
    def skipped(self) -> list[UnreadableImage]:
        """Files that were left out, and why."""
        return self.collection.skipped

    @property
    def root(self) -> Path | None:
        """The folder that the photos' names are relative to, if the gallery was built from one."""
        return self.collection.root

    @property
    def index(self) -> VectorIndex:
        """The index of the photos' features."""
        return self.collection.index

    @property
    def features(self) -> np.ndarray:
        """(N, D) float32, in the order of `photos`."""
        return self.collection.vectors()[:]

    def add(self, photos: Photos, names: Sequence[str] | None = None, *, progress: bool = True) -> Changes:
        """Add photos; one that is there under its name already is brought up to date.

        Args:
            photos: a file, a folder, a PIL image, a `datasets.Dataset` with a column `image`, or a list of files and
                images.
            names: what each picture or row is called in the gallery; made up if it is not given.
            progress: show a bar on stderr.

        Raises:
            ValueError: the names are not as many as the pictures, or not all different, or a data set has no column
                `image`.
            TypeError: something is neither of these.
        """
        changes, collection = Changes(), self.collection
        for source in collection.sources(photos, names, changes):
            self._embed(source, range(len(source)), (), changes, progress)
            collection.keep_pictures(source)
        collection.note_skipped(changes.skipped)
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
        changes = Changes()
        root = Path(os.path.abspath(photos_dir if photos_dir is not None else self.root))
        source, unseen, gone = self.collection.compare_folder(root, changes)
        self._embed(source, unseen, gone, changes, progress)
        self.collection.skipped = changes.skipped
        return changes

    def remove(self, photos: PhotoName | Iterable[PhotoName]) -> Changes:
        """Forget photos. One whose file is still in the gallery's folder comes back with the next refresh.

        Args:
            photos: paths, names, ids or hits, or one of them.

        Raises:
            ValueError: one is not in the gallery; nothing is removed then.
        """
        return self.collection.remove([photos] if isinstance(photos, PhotoName) else photos)

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
        return self.collection.image(photo, min_size)

    def search(
        self,
        sketch: Sketch | None = None,
        top_k: int = 12,
        filters: Filters | None = None,
        *,
        text: str | None = None,
        weight: float = 0.5,
        rerank: int | None = None,
        expand: int | None = None,
        group_copies: bool = False,
    ) -> Hits:
        """The photos that a sketch shows, a text describes, or both.

        Args:
            sketch: see `as_drawing`: a path, a PIL image, an array, strokes, ...
            top_k: how many photos.
            filters: search only some photos: `{"category": "chair"}`, `{"path": "2024/*"}` (several values may be
                given as a list), or a function of a `Photo`.
            text: such as "a red chair".
            weight: of the text beside the sketch, from 0 to 1.
            rerank: score so many of the first photos again, each with the sketch, by a model that has a re-ranker
                (`model.has_reranker`), and sort them by `model.fuse_scores`. It opens these photos, and is slower.
            expand: search twice, the second time with the query joined with its first so many hits. It finds more of
                what the first hits show, even if they are wrong.
            group_copies: show copies of a photo as one hit; see `hits.group_copies`.

        Returns:
            At most `top_k` hits, best first; equal ones in the order in which they came into the gallery.

        Raises:
            ValueError: neither sketch nor text is given, one of them is unusable, an argument is out of range, no
                photo is of a category, or the model has no re-ranker.
        """
        query = self.embed_query(sketch, text, weight, self._encoder.query_category(filters))[None]
        if rerank is not None and (sketch is None or rerank < 1):
            raise ValueError("rerank is the number of photos, at least 1, to compare with a sketch")
        if expand is not None:
            query = self.collection.expand(query, expand, filters)
        first = top_k if rerank is None or top_k < 1 else max(rerank, top_k)
        hits = self.collection.hits(query, first, filters, group_copies)
        fit = hits[0].score if hits and not (text or filters or expand) else None
        if rerank is not None:
            if self._reranker is None:
                from .reranking import PairReranker

                self._reranker = PairReranker(self.model, self.processor)
            hits = self._reranker.rank(as_drawing(sketch), hits, self.collection)[:top_k]
        return Hits(
            hits, self, (sketch, text), *judge(self.collection.calibration, fit, self._encoder.query_key)
        )

    def calibrate(self, *, progress: bool = True) -> Calibration:
        """Find out what a fit is worth here, for `Hits.is_weak`. Later changes make it void."""
        from .calibration import calibrate

        self.collection.calibration = calibrate(self._encoder, self.collection, progress)
        return self.collection.calibration

    def explain(self, sketch: Sketch, photo: PhotoName, **conditions) -> "Correspondence":
        """Which patches of a photo the model takes for which patches of a sketch; see `model.explain`."""
        return self.model.explain(as_drawing(sketch), self.image(photo), **conditions)

    def embed_query(
        self,
        sketch: Sketch | None = None,
        text: str | None = None,
        weight: float = 0.5,
        category: str | None = None,
    ) -> np.ndarray:
        """Features (D,) of a query; see `search`. With a category the sketch is embedded under it."""
        return self._encoder.embed_query(sketch, text, weight, category, self.collection.sample())

    @property
    def unconditioned_categories(self) -> list[str]:
        """Categories of photos that, with `by_category`, are embedded without: the model was not shown them."""
        return self._encoder.unknown_categories(self.photos.categories)

    def _embed(self, source: "PhotoSource", numbers: Sequence[int], gone, changes: Changes, progress) -> None:
        """Read photos of a source, embed what is new, and bring table and index up to date."""
        known = self.collection.store.digests
        batches = self._encoder.embed_photos(source, numbers, known, self._accelerator, progress)
        self.collection.update(batches, gone, changes, self._accelerator)

    def plot(self, hits: Sequence[Hit], sketch: Sketch | None = None, text: str | None = None) -> "Figure":
        """Draw what a search found beside the sketch and the text that it was asked."""
        from sketch_prompt.plotting import plot_hits

        images = [self.collection.image_or_none(hit) for hit in hits]
        titles = [f"{hit.score:.3f}  {hit.category or ''}" for hit in hits]
        return plot_hits(as_drawing(sketch) if sketch is not None else text or "", images, titles)
