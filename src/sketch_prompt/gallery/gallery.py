"""A gallery: photos that are embedded once, kept up to date, and searched with a drawing, a text, or both."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image

from sketch_prompt.data.reading import UnreadableImage

from .collection import PhotoCollection, PhotoName, Photos
from .encoder import GalleryEncoder, load_any_model
from .hits import Hit, Hits, find_hits
from .indexes import VectorIndex
from .queries import Sketch, as_drawing
from .saving import SavedGallery, absolute_name, saved_options, writing
from .store import FLUSH_SECONDS
from .table import Changes, Filters, PhotoTable

if TYPE_CHECKING:
    from accelerate import Accelerator
    from huggingface_hub import CommitInfo
    from matplotlib.figure import Figure

    from sketch_prompt.explain import Correspondence
    from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel

    from .fingerprint import AnyProcessor
    from .photo_sources import PhotoSource
    from .reranking import PairReranker
    from .yardsticks import Calibration

__all__ = ["Gallery", "Hit", "Hits"]

Model = Union[str, os.PathLike, "SketchPromptPreTrainedModel"]


class Gallery:
    """Photos that can be searched with a sketch.

    Example:

        from sketch_prompt import Gallery
        gallery = Gallery.build("sketch-search", "photos/", output="my-gallery")
        for hit in gallery.search("drawing.png", top_k=3):
            print(hit.rank, hit.score, hit.path)

        gallery = Gallery.load("my-gallery")
        gallery.refresh()  # embeds only new photos
        gallery.search("drawing.png", filters={"category": "chair"}, text="red")

    Args:
        model: A sketch-prompt model, or the Hub id, folder or bundled name of one, or a folder of exported encoders.
        processor: Its processor. The default is the model's own.
        index: "auto" (exact search, or an approximate index for very many photos), "exact", "hnsw", "ivf", "ivf-sq8",
            "ivf-pq", "lance" (a table on the disk) or "milvus".
        precision: Precision of the features in memory: "auto", "float32", "float16", "int8", or "binary" (one bit
            each).
        follow_links: Whether to follow symbolic links in folders of photos.
        milvus_uri: Address of a Milvus cluster. By default, Milvus keeps its data in the gallery's folder.
        batch_size: Number of photos in a forward pass.
        num_workers: Number of processes that read photos. The default is up to eight, depending on the cores.
        by_category: Embed each photo with its category (its folder or label), for methods with conditions (DP-CLIP).
            Photos of categories that the model does not know are embedded without. A search must then name a category:
            `filters={"category": "chair"}`.
        flush_seconds: Seconds between saves. This much work is lost if a process is killed.
        base_model: Hub id, folder or bundled name of the CLIP of a named model, instead of the one in its checkpoint.
        device: Device of a model that is given by name.
        sketches: Settings for drawings that differ from the model's processor: fields of `SketchPromptImageProcessor`
            that begin with `sketch_`, such as {"sketch_line_width": 1.5}. They are saved with the gallery. The
            features of photos do not depend on them.
        dtype: "bfloat16" is faster on processors that support it. The default, the type of the weights, is exact.

    Attributes:
        model: The model, in eval mode.
        processor: Its processor.
        changes: What `build` changed.
        collection: The photos with their features and index.

    Raises:
        ValueError: The model has no processor, does not use categories, or cannot compute with this type.
    """

    def __init__(
        self,
        model: Model,
        processor: "AnyProcessor | None" = None,
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
        dtype: str | None = None,
    ):
        names = {"source": absolute_name(model), "base_model": absolute_name(base_model)}
        origin = {**names, "sketches": dict(sketches or {}), "dtype": dtype}
        if isinstance(model, str | os.PathLike):
            model, own_processor = load_any_model(os.fspath(model), base_model, device)
            processor = processor if processor is not None else own_processor
        encoder = GalleryEncoder(model, processor, by_category, batch_size, num_workers, sketches, dtype)
        kept = index, milvus_uri, flush_seconds, precision
        self._encoder, self.collection = encoder, PhotoCollection(encoder.describe(), origin, *kept)
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
        dtype: str | None = None,
        base_model: str | None = None,
        progress: bool = True,
        accelerator: "Accelerator | None" = None,
        **options,
    ) -> "Gallery":
        """Embed photos.

        With `output`, the gallery is saved there. If there is a gallery already, or the features of a run that was
        killed, only new content is embedded.

        Args:
            model: See the class. None for the model of the gallery in `output`, or "sketch-search" for a new gallery.
            photos: A folder (with all its subfolders), a `datasets.Dataset` with a column `image`, or a list of paths
                and PIL images.
            output: Folder of the gallery.
            index, precision, by_category, sketches, dtype: See the class. The defaults are those of the gallery in
                `output`, or "auto", "auto", False and the model's own for a new gallery.
            base_model: See the class.
            progress: Show a progress bar on stderr.
            accelerator: Shares the work among the processes that `accelerate` started. Needs `output`. The first
                process returns the whole gallery, the others an empty one.
            options: The other options of the class.

        Raises:
            FileNotFoundError: There is no such folder of photos or model.
            ValueError: `output` is the folder of the photos or a gallery of another model, or another process is
                writing to it.
        """
        from .building import build

        options |= {"index": index, "precision": precision, "by_category": by_category}
        options |= {"sketches": sketches, "dtype": dtype}
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
        """Create a gallery from existing vectors, without embedding all photos.

        A few photos are embedded to check that the vectors come from this CLIP. `changes.checked` is their number.
        With `output`, the gallery is saved there. An existing gallery is updated.

        Args:
            vectors: (N, D) features of photos, normalised or not; a column of a data set; or a source for
                `read_embeddings`: a file, a folder, a Lance table or a `postgresql://` address.
            names: N paths or ids of the photos, if they are not part of `vectors`.
            base_model: The CLIP that the vectors come from.
            model: The model to search with, such as a lens for that CLIP.
            photos_dir: Folder of relative paths.
            output: Folder of the gallery.
            check: Number of photos to check, 0 for none.
            options: Options of the class.

        Raises:
            FileNotFoundError, ConnectionError: The vectors were not found, or cannot be reached.
            ValueError: The vectors come from another model, their number differs from that of the names, or `output`
                is as in `build`.
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
        """Load a saved gallery.

        Args:
            directory: Folder of the gallery.
            model: The model of the gallery, or its name. The default is the name that is stored in the gallery.
            photos_dir: Folder of the photos. Needed if it was moved, or if somebody else made the gallery: its photos
                are only opened in a folder that you name.
            options: Options of the class.

        Raises:
            FileNotFoundError: There is no gallery.
            DamagedGalleryError: A file is damaged or missing.
            ValueError: The gallery was made with another model, or has no name of a model.
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
        """Download a gallery from the Hub.

        Args:
            repo_id: Name of the data set on the Hub.
            model: The model of the gallery, or its name. The default is the name that is stored in the gallery.
            revision, cache_dir, token: As in `huggingface_hub`.
            options: Options of the class.

        Raises:
            FileNotFoundError: There is no such data set, or no network.
            ValueError: It is not a gallery, or a gallery of another model.
        """
        from . import hub

        place = {"revision": revision, "cache_dir": cache_dir, "token": token}
        return hub.load(cls, repo_id, model, place, options)

    def save(self, directory: str | os.PathLike) -> None:
        """Save the gallery to a folder. The features of photos that are added later are saved there too.

        If a process is killed while it saves, the previous gallery is kept. Images in memory are not saved, only their
        features and names.

        Raises:
            ValueError: It is the folder of the photos, or another process is writing to it.
        """
        directory = Path(os.path.abspath(directory))
        if directory == self.root:
            raise ValueError(f"{directory} holds the photos; save the gallery into its own folder")
        with writing(directory):
            self.collection.write(directory)

    def push_to_hub(
        self, repo_id: str, *, include_photos: bool = False, license: str = "unknown", **options
    ) -> "CommitInfo":
        """Upload the gallery as a data set. Returns the commit, a string with its URL.

        Args:
            repo_id: Name of the data set on the Hub. Created if it does not exist.
            include_photos: Also upload the photos. Without them, a hit is only a name.
            license: Licence for the card, as on the Hub: "cc-by-4.0", ...
            options: `private`, `token`, `revision`, `create_pr`, ...; see `hub.upload.PushOptions`.

        Raises:
            ValueError: The gallery is empty.
            UnreadableImageError: A photo to upload does not exist any more.
            PermissionError, ConnectionError: The Hub refuses it. The message says what to do.
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
        """Files that were skipped, and why."""
        return self.collection.skipped

    @property
    def root(self) -> Path | None:
        """Folder of relative names, if the gallery was built from a folder."""
        return self.collection.root

    @property
    def index(self) -> VectorIndex:
        """The index of the features."""
        return self.collection.index

    @property
    def features(self) -> np.ndarray:
        """(N, D) float32, in the order of `photos`."""
        return self.collection.vectors()[:]

    def add(self, photos: Photos, names: Sequence[str] | None = None, *, progress: bool = True) -> Changes:
        """Add photos. A photo whose name exists is updated.

        Args:
            photos: A file, a folder, a PIL image, a `datasets.Dataset` with a column `image`, or a list of files and
                images.
            names: Names of the images or rows in the gallery. By default they are generated.
            progress: Show a progress bar on stderr.

        Raises:
            ValueError: The number of names is wrong, two names are the same, or a data set has no column `image`.
            TypeError: A photo has another type.
        """
        changes, collection = Changes(), self.collection
        for source in collection.sources(photos, names, changes):
            self._embed(source, range(len(source)), (), changes, progress)
            collection.keep_pictures(source)
        collection.note_skipped(changes.skipped)
        return changes

    def refresh(self, photos_dir: str | os.PathLike | None = None, *, progress: bool = True) -> Changes:
        """Update the gallery from its folder. Only content that it has never seen is embedded.

        Files with the same size and modification time as before are not opened. Files that were renamed, moved, copied
        or touched are recognised by their content and keep their features.

        Args:
            photos_dir: The folder. The default is the folder that the gallery was built from.
            progress: Show a progress bar on stderr.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: The gallery was not built from a folder, or the folder is empty now.
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
        """Remove photos. If the file of a photo is still in the gallery's folder, the next refresh adds it again.

        Args:
            photos: Paths, names, ids or hits, or one of them.

        Raises:
            ValueError: One is not in the gallery. Then none is removed.
        """
        return self.collection.remove([photos] if isinstance(photos, PhotoName) else photos)

    def image(self, photo: PhotoName, min_size: int | None = None) -> Image.Image:
        """Open a photo.

        Args:
            photo: Its path, name or id, or a hit.
            min_size: Decode a large JPEG at a smaller scale, with sides of at least this many pixels.

        Raises:
            UnreadableImageError: The file is missing or damaged, the image was in memory when the gallery was saved,
                or somebody else made the gallery and the photo is not in the folder `photos_dir`.
            ValueError: It is not in the gallery.
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
        """Find the photos that look like a sketch, match a text, or both.

        Args:
            sketch: A path, a PIL image, an array, strokes, ...; see `as_drawing`.
            top_k: Number of photos.
            filters: Search only some photos: `{"category": "chair"}`, `{"path": "2024/*"}` (with a list for several
                values), or a function of a `Photo`.
            text: Text such as "a red chair".
            weight: Weight of the text, from 0 to 1. The rest is the weight of the sketch.
            rerank: Score this many of the first photos again together with the sketch and sort them by
                `model.fuse_scores`, with a model that has a re-ranker (`model.has_reranker`). This is slower.
            expand: Search a second time with the query and this many of the first hits combined. This finds more
                photos like the first hits, even if they are wrong.
            group_copies: Show copies of a photo as one hit; see `hits.group_copies`.

        Returns:
            At most `top_k` hits, best first. Hits with the same score are in the order in which they were added.

        Raises:
            ValueError: Neither sketch nor text is given, one of them cannot be used, an argument is out of range,
                there is no photo of a category, or the model has no re-ranker.
        """
        query = self.embed_query(sketch, text, weight, self._encoder.query_category(filters))[None]
        if rerank is not None and (sketch is None or rerank < 1):
            raise ValueError("rerank is the number of photos, at least 1, to compare with a sketch")
        if expand is not None:
            query = self.collection.expand(query, expand, filters)
        first = top_k if rerank is None or top_k < 1 else max(rerank, top_k)
        calibration = None if filters or expand else self.calibration
        yardstick = calibration and calibration.yardstick(sketch, text)
        hits, verdict = find_hits(self.collection, query, first, filters, group_copies, yardstick)
        if rerank is not None:
            from .reranking import PairReranker

            self._reranker = self._reranker or PairReranker(self.model, self.processor)
            hits = self._reranker.rank(as_drawing(sketch), hits, self.collection)[:top_k]
        return Hits(hits, self, (sketch, text), *verdict)

    @property
    def calibration(self) -> "Calibration | None":
        """How good the best hits of unrelated queries are, with this model. None if that was not measured."""
        known = self.collection.calibration
        return known if known is not None and known.queries == self._encoder.query_key() else None

    def calibrate(self, *, progress: bool = True) -> "Calibration":
        """Measure how good the best hits of unrelated queries are, for `Hits.is_weak`. Later changes discard it."""
        from .calibration import calibrate

        return calibrate(self._encoder, self.collection, progress)

    def explain(self, sketch: Sketch, photo: PhotoName, **conditions) -> "Correspondence":
        """The patches of a photo that the model matches with the patches of a sketch; see `model.explain`."""
        return self.model.explain(as_drawing(sketch), self.image(photo), **conditions)

    def embed_query(
        self,
        sketch: Sketch | None = None,
        text: str | None = None,
        weight: float = 0.5,
        category: str | None = None,
    ) -> np.ndarray:
        """Features (D,) of a query; see `search`. With a category, the sketch is embedded with it."""
        return self._encoder.embed_query(sketch, text, weight, category, self.collection.sample)

    @property
    def unconditioned_categories(self) -> list[str]:
        """Categories that the model does not know. With `by_category`, their photos are embedded without one."""
        return self._encoder.unknown_categories(self.photos.categories)

    def _embed(self, source: "PhotoSource", numbers: Sequence[int], gone, changes: Changes, progress) -> None:
        """Read the photos of a source, embed new ones, and update the table and the index."""
        known = self.collection.store.digests
        batches = self._encoder.embed_photos(source, numbers, known, self._accelerator, progress)
        self.collection.update(batches, gone, changes, self._accelerator)

    def plot(self, hits: Sequence[Hit], sketch: Sketch | None = None, text: str | None = None) -> "Figure":
        """Draw the query and the hits of a search."""
        from .results import plot

        return plot(self, hits, sketch, text)
