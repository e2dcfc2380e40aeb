"""Build a gallery of photos, or update the one in a folder."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import Accelerator

from .photo_sources import check_folder
from .saving import saved_settings, writing

if TYPE_CHECKING:
    from .collection import Photos
    from .gallery import Gallery, Model

DEFAULT_MODEL = "sketch-search"
_KEPT_SETTINGS = {"index": "auto", "precision": "auto", "by_category": False, "sketches": None, "dtype": None}


def build(
    gallery_class: "type[Gallery]",
    model: "Model | None",
    photos: "Photos",
    output: str | os.PathLike | None,
    progress: bool,
    accelerator: Accelerator | None,
    base_model: str | None,
    **options,
) -> "Gallery":
    """See `Gallery.build`. Options that are None are those of the gallery in `output`."""
    if accelerator is not None and output is None:
        raise ValueError("several processes build a gallery in a folder: give output=")
    settings = saved_settings(output) if output is not None else {}
    if model is None:
        model = settings.get("model") or DEFAULT_MODEL
        base_model = base_model or settings.get("base_model")
    for name, default in _KEPT_SETTINGS.items():
        if options.get(name) is None:
            options[name] = settings.get(name, default)
    gallery = gallery_class(model, base_model=base_model, **options)
    directory = None if output is None else Path(os.path.abspath(output))
    fill = gallery.add
    if isinstance(photos, str | os.PathLike) and not os.path.isfile(photos):
        check_folder(photos)
        if directory == Path(os.path.abspath(photos)):
            raise ValueError(f"{directory} holds the photos; give the gallery its own folder")
        fill = gallery.refresh
    gallery._accelerator = accelerator
    saves = directory is not None and (accelerator is None or accelerator.is_main_process)
    with writing(directory) if saves else nullcontext():
        if directory is not None:
            gallery.collection.resume(directory, read_index=saves)
        gallery.changes = fill(photos, progress=progress)
        if saves:
            gallery.collection.write(directory)
    gallery._accelerator = None
    return gallery
