"""What the page offers: methods, each a model that is loaded when it is first used, and galleries to search."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import cached_assets_path

from sketch_prompt.data.minisketch.builder import source_fingerprint
from sketch_prompt.gallery.fingerprint import describe_model
from sketch_prompt.gallery.gallery import Gallery
from sketch_prompt.models.auto import SketchPromptModel
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.sources import bundled_names, find_checkpoint

from .minisketch import PHOTOS_PER_CLASS, draw_photos
from .own_photos import OwnPhotos

OWN = "own"
MINISKETCH = "minisketch"


class Catalogue:
    """Methods and galleries by name.

    Args:
        models: Hub ids, directories or bundled names of checkpoints; all that are bundled by default.
        gallery: folder of a saved gallery, in place of MiniSketch. It is searched with the model it was made with,
            `models[0]` if that is given.
        cache_dir: where the MiniSketch gallery is kept; a folder in the Hugging Face cache by default.
        photos_per_class: photos of each class in the MiniSketch gallery.
        photos_dir: folder of the saved gallery's photos; see `Gallery.load`.

    Attributes:
        methods: names of the models.
        main: the gallery that is there besides the visitor's own photos: `"minisketch"`, or the saved one's name.

    Raises:
        FileNotFoundError: there is no such gallery or model.
        ValueError: the gallery was made with another model, or is damaged.
    """

    def __init__(
        self,
        models: Sequence[str] | None = None,
        gallery: str | os.PathLike | None = None,
        cache_dir: str | os.PathLike | None = None,
        photos_per_class: int = PHOTOS_PER_CLASS,
        photos_dir: str | os.PathLike | None = None,
    ):
        self._cache_dir = cache_dir
        self._photos_per_class = photos_per_class
        self._models: dict[str, SketchPromptPreTrainedModel] = {}
        self._galleries: dict[str, Gallery] = {}
        if gallery is None:
            self.main = MINISKETCH
            self.methods = list(models) if models else bundled_methods()
        else:
            opened = Gallery.load(gallery, models[0] if models else None, photos_dir=photos_dir)
            self.main = Path(os.path.abspath(gallery)).name
            self.methods = [models[0] if models else opened.model.method]
            self._models[self.methods[0]], self._galleries[self.methods[0]] = opened.model, opened
        self._locks = {method: threading.Lock() for method in self.methods}

    def prepare(self) -> int:
        """Load the first method and its gallery, which takes a while the very first time; returns its size."""
        with self.open(self.methods[0], self.main, OwnPhotos()) as gallery:
            return len(gallery)

    @contextmanager
    def open(self, method: str, gallery: str, own: OwnPhotos) -> Iterator[Gallery]:
        """A gallery ready to be searched with a method, whose model is the caller's alone meanwhile.

        Raises:
            ValueError: there is no such method or gallery.
        """
        if method not in self._locks:
            raise ValueError(f"There is no method {method!r} here; there are {', '.join(self.methods)}.")
        if gallery not in (self.main, OWN):
            raise ValueError(f"There is no gallery {gallery!r} here; there are {self.main} and {OWN}.")
        with self._locks[method]:
            if gallery == OWN:
                yield own.gallery(method, self._model(method))
            else:
                if method not in self._galleries:
                    self._galleries[method] = self._minisketch(self._model(method))
                yield self._galleries[method]

    def _model(self, method: str) -> SketchPromptPreTrainedModel:
        if method not in self._models:
            self._models[method] = SketchPromptModel.from_pretrained(method).eval()
        return self._models[method]

    def _minisketch(self, model: SketchPromptPreTrainedModel) -> Gallery:
        description = json.dumps(describe_model(model, model.processor), sort_keys=True)
        version = hashlib.blake2b(description.encode(), digest_size=6).hexdigest()
        photos = self._cache_folder(f"minisketch-{source_fingerprint()}-{self._photos_per_class}")
        draw_photos(photos, self._photos_per_class)
        return Gallery.build(model, photos, self._cache_folder(f"{photos.name}-{model.method}-{version}"))

    def _cache_folder(self, name: str) -> Path:
        return cached_assets_path("sketch-prompt", "space", name, assets_dir=self._cache_dir)


def bundled_methods() -> list[str]:
    """The bundled methods on the CLIP that knows MiniSketch, trained ones first."""
    configs = {
        name: json.loads((find_checkpoint(name) / "config.json").read_text()) for name in bundled_names()
    }
    methods = [name for name, config in configs.items() if config.get("base_model") == "mini-clip"]
    return sorted(methods, key=lambda name: (configs[name]["model_type"] == "frozen-clip", name))
