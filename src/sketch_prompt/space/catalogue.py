"""What the page offers: methods, each a model that is loaded when it is first used, and galleries to search."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import cached_assets_path

from sketch_prompt.gallery.calibration import calibrate_saved
from sketch_prompt.gallery.fingerprint import describe_model
from sketch_prompt.gallery.gallery import Gallery
from sketch_prompt.models.loading import load_model
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel

from .methods import Method, offered_methods
from .own_photos import OwnPhotos
from .samples import Example, MiniSketchPhotos, RealPhotos

OWN = "own"
MINISKETCH = MiniSketchPhotos.name
EXAMPLES = 5

Sample = RealPhotos | MiniSketchPhotos


class Catalogue:
    """Methods and galleries by name.

    Args:
        models: Hub ids, directories or bundled names of checkpoints; by default all that are bundled, those for real
            photos first.
        gallery: folder of a saved gallery, in place of the bundled ones. It is searched with the model it was made
            with, `models[0]` if that is given.
        cache_dir: where bundled galleries are kept; a folder in the Hugging Face cache by default.
        photos_per_class: photos of each class in the bundled galleries; all 30 real ones, 10 of MiniSketch by default.
        photos_dir: folder of the saved gallery's photos; see `Gallery.load`.

    Attributes:
        offers: the methods, the default first.
        samples: the bundled galleries that these methods can search, by name; none beside a saved one.
        galleries: names of all galleries besides the visitor's own photos, with their titles.
        main: the one that the page opens on.

    Raises:
        FileNotFoundError: there is no such gallery or model.
        ValueError: the gallery was made with another model, or is damaged.
    """

    def __init__(
        self,
        models: Sequence[str] | None = None,
        gallery: str | os.PathLike | None = None,
        cache_dir: str | os.PathLike | None = None,
        photos_per_class: int | None = None,
        photos_dir: str | os.PathLike | None = None,
    ):
        self._cache_dir = cache_dir
        self._models: dict[str, SketchPromptPreTrainedModel] = {}
        self._galleries: dict[tuple[str, str], Gallery] = {}
        self._examples: dict[str, list[Example]] = {}
        self.samples: dict[str, Sample] = {}
        if gallery is None:
            self.offers = offered_methods(models or None)
            for method in self.offers:
                sample = (MiniSketchPhotos if method.is_toy else RealPhotos)(photos_per_class)
                self.samples.setdefault(sample.name, sample)
            self.galleries = {name: sample.title for name, sample in self.samples.items()}
            self.main = next(iter(self.samples))
        else:
            opened = Gallery.load(gallery, models[0] if models else None, photos_dir=photos_dir)
            self.main = Path(os.path.abspath(gallery)).name
            self.galleries = {self.main: self.main}
            name = models[0] if models else opened.model.method
            self.offers = [Method(name, name, opened.model.config.base_model)]
            opened.model.processor = opened.model.processor or opened.processor  # explanations need one
            self._models[name], self._galleries[name, self.main] = opened.model, opened
        self._locks = {method.name: threading.Lock() for method in self.offers}
        self._building = threading.Lock()  # methods that embed photos alike share a gallery's folder

    @property
    def methods(self) -> list[str]:
        """The names of the methods."""
        return [method.name for method in self.offers]

    def method(self, name: str) -> Method:
        """A method by its name.

        Raises:
            ValueError: there is none of this name.
        """
        for method in self.offers:
            if method.name == name:
                return method
        raise ValueError(f"There is no method {name!r} here; there are {', '.join(self.methods)}.")

    def methods_for(self, gallery: str, advanced: bool = False) -> list[Method]:
        """The methods to offer for a gallery, the default first.

        Args:
            gallery: its name; the visitor's own photos are searched like real ones.
            advanced: also those that are for people who want to compare.
        """
        toys = gallery == MINISKETCH
        fitting = [method for method in self.offers if not self.samples or method.is_toy == toys]
        return [method for method in fitting or self.offers if advanced or not method.is_advanced]

    def fitting(self, method: str, gallery: str) -> str:
        """The name of the method to search a gallery with: `method`, or the default if that is for other photos.

        The browser tells of another gallery before it knows the methods for it.
        """
        names = [offer.name for offer in self.methods_for(gallery, advanced=True)]
        return method if method in names or method not in self.methods else names[0]

    def is_ready(self, method: str, gallery: str) -> bool:
        """Whether a search can begin at once: the model is loaded, and a bundled gallery is embedded."""
        return method in self._models and (gallery == OWN or (method, gallery) in self._galleries)

    def prepare(self) -> int:
        """Load the first method and its gallery, which takes a while the very first time; returns its size."""
        method = self.methods[0]
        self.examples(self.main)
        with self.open(method, self.main, OwnPhotos()) as gallery:
            return len(gallery)

    def examples(self, gallery: str) -> list[Example]:
        """Drawings to start from: such that the gallery's default method finds a photo of the same thing first.

        They show what a search looks like; how often it succeeds, an evaluation says. None for a saved gallery, of
        which nobody knows what is in it.
        """
        if gallery not in self.samples:
            return []
        if gallery not in self._examples:
            with self.open(self.methods_for(gallery)[0].name, gallery, OwnPhotos()) as opened:
                self._examples[gallery] = _found_examples(opened, self.samples[gallery])
        return self._examples[gallery]

    @contextmanager
    def open(self, method: str, gallery: str, own: OwnPhotos) -> Iterator[Gallery]:
        """A gallery ready to be searched with a method, whose model is the caller's alone meanwhile.

        Raises:
            ValueError: there is no such method or gallery.
        """
        self.method(method)
        if gallery not in (*self.galleries, OWN):
            names = ", ".join((*self.galleries, OWN))
            raise ValueError(f"There is no gallery {gallery!r} here; there are {names}.")
        with self._locks[method]:
            if gallery == OWN:
                yield own.gallery(method, self._model(method))
                return
            if (method, gallery) not in self._galleries:
                self._galleries[method, gallery] = self._sample_gallery(self.samples[gallery], method)
            yield self._galleries[method, gallery]

    def _model(self, name: str) -> SketchPromptPreTrainedModel:
        if name not in self._models:
            method = self.method(name)
            is_clip = method.name == method.base_model
            source = ("frozen-clip", method.base_model) if is_clip else (name,)
            self._models[name], processor = load_model(*source)
            self._models[name].processor = processor
        return self._models[name]

    def _sample_gallery(self, sample: Sample, method: str) -> Gallery:
        model = self._model(method)
        description = json.dumps(describe_model(model, model.processor), sort_keys=True)
        version = hashlib.blake2b(description.encode(), digest_size=6).hexdigest()
        with self._building:
            photos = self._cache_folder(sample.version)
            sample.write(photos)
            folder = self._cache_folder(f"{photos.name}-{model.photo_method}-{version}")
            gallery = Gallery.build(model, photos, folder)
            calibrate_saved(gallery, folder)
            return gallery

    def _cache_folder(self, name: str) -> Path:
        return cached_assets_path("sketch-prompt", "space", name, assets_dir=self._cache_dir)


def _found_examples(gallery: Gallery, sample: Sample) -> list[Example]:
    """Of the drawings of each thing the first that finds two photos of it first, or else one."""
    found: list[Example] = []
    for drawings in sample.examples():
        right = {example: _right_hits(gallery, example) for example in drawings}
        best = max(right, key=right.get)
        if right[best]:
            found.append(best)
        if len(found) == EXAMPLES:
            break
    return found


def _right_hits(gallery: Gallery, example: Example) -> int:
    """How many of the first two photos show what the drawing does, up to the first that does not."""
    first = [hit.category == example.name for hit in gallery.search(example.picture, 2)]
    return next((place for place, right in enumerate(first) if not right), len(first))
