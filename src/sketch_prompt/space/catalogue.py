"""The methods and galleries that the page offers. Models are loaded when they are first used."""

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
        models: Hub ids, directories or bundled names of checkpoints. By default all bundled checkpoints, those for
            real photos first.
        gallery: folder of a saved gallery to search instead of the bundled ones. It is searched with `models[0]`, by
            default the model that it was made with.
        cache_dir: folder for the bundled galleries. By default a folder in the Hugging Face cache.
        photos_per_class: photos of each class in the bundled galleries. By default 30 real photos (all of them) or
            10 of MiniSketch.
        photos_dir: folder of the saved gallery's photos; see `Gallery.load`.

    Attributes:
        offers: the methods, the default first.
        samples: the bundled galleries that these methods can search, by name. Empty if `gallery` is given.
        galleries: the titles of all galleries by name, without the visitor's own photos.
        main: the gallery that is selected when the page opens.

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
        # Methods with the same photo features share the folder of a gallery, so one builds it at a time.
        self._building = threading.Lock()

    @property
    def methods(self) -> list[str]:
        """The names of the methods."""
        return [method.name for method in self.offers]

    def method(self, name: str) -> Method:
        """A method by its name.

        Raises:
            ValueError: there is no method of this name.
        """
        for method in self.offers:
            if method.name == name:
                return method
        raise ValueError(f"There is no method {name!r} here; there are {', '.join(self.methods)}.")

    def methods_for(self, gallery: str, advanced: bool = False) -> list[Method]:
        """The methods to offer for a gallery, the default first.

        Args:
            gallery: name of the gallery. The visitor's own photos count as real photos.
            advanced: include the methods that are only offered for comparison.
        """
        toys = gallery == MINISKETCH
        fitting = [method for method in self.offers if not self.samples or method.is_toy == toys]
        return [method for method in fitting or self.offers if advanced or not method.is_advanced]

    def fitting(self, method: str, gallery: str) -> str:
        """`method`, or the default method of the gallery if `method` is for other photos.

        When the visitor selects another gallery, the browser sends it together with the previous method.
        """
        names = [offer.name for offer in self.methods_for(gallery, advanced=True)]
        return method if method in names or method not in self.methods else names[0]

    def is_ready(self, method: str, gallery: str) -> bool:
        """Whether a search can start at once, because the model is loaded and the gallery is embedded."""
        return method in self._models and (gallery == OWN or (method, gallery) in self._galleries)

    def prepare(self) -> int:
        """Load the first method and its gallery, and return the size of the gallery.

        The first time, this embeds the photos of the gallery, which takes a while.
        """
        method = self.methods[0]
        self.examples(self.main)
        with self.open(method, self.main, OwnPhotos()) as gallery:
            return len(gallery)

    def examples(self, gallery: str) -> list[Example]:
        """Example drawings for a gallery. For each, the default method finds a photo of the same category first.

        They are chosen to show what a search looks like, and say nothing about how often a search succeeds. A saved
        gallery has no examples, since its content is unknown.
        """
        if gallery not in self.samples:
            return []
        if gallery not in self._examples:
            with self.open(self.methods_for(gallery)[0].name, gallery, OwnPhotos()) as opened:
                self._examples[gallery] = _found_examples(opened, self.samples[gallery])
        return self._examples[gallery]

    @contextmanager
    def open(self, method: str, gallery: str, own: OwnPhotos) -> Iterator[Gallery]:
        """Load a gallery for a method. Within the context no other thread can use the method's model.

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
    """For each category, the drawing with the most right photos among its first two hits, if it has any."""
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
    """How many of the first two hits, counted up to the first wrong one, are of the drawing's category."""
    first = [hit.category == example.name for hit in gallery.search(example.picture, 2)]
    return next((place for place, right in enumerate(first) if not right), len(first))
