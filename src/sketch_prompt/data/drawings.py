"""Tables of drawings and photos to learn from: the bundled doodles, and folders of classes."""

import os
from collections.abc import Iterable

import datasets

from sketch_prompt.data.builder import features
from sketch_prompt.data.class_names import class_key, merge_spellings
from sketch_prompt.data.doodles import doodle_classes, read_doodles
from sketch_prompt.data.listing import ImageFile, list_class_folders, list_images
from sketch_prompt.data.sketch_folder import folder_instance
from sketch_prompt.data.strokes import encode_png, rasterize, read_drawings
from sketch_prompt.vocabulary import Domain

UNNAMED_CLASS = "drawing"
"""The class of images that are not in a class folder."""


def doodle_table() -> datasets.Dataset:
    """The bundled doodles as a table of sketches; see `sketch_prompt.data.doodles`."""
    names = doodle_classes()
    doodles = read_doodles(names)
    columns = {
        "image": [{"bytes": encode_png(rasterize(doodle.strokes)), "path": None} for doodle in doodles],
        "label": [doodle.class_name for doodle in doodles],
        "instance_id": [f"doodle/{doodle.key_id}" for doodle in doodles],
        "domain": ["sketch"] * len(doodles),
    }
    return datasets.Dataset.from_dict(columns, features(names))


def folder_table(
    folder: str | os.PathLike, domain: Domain, photos: datasets.Dataset | None = None
) -> datasets.Dataset:
    """The images in a folder as a table: `<class>/*`, and `<class>.ndjson` with drawings.

    Without class folders, the images directly in the folder are used, with the class `UNNAMED_CLASS`.

    Args:
        folder: The folder.
        domain: "sketch" or "photo".
        photos: A table of photos that the drawings may show: `<id>-<k>.png` draws `<id>.jpg` of the same class.

    Raises:
        FileNotFoundError: There is no such folder, or it has no images.
    """
    folder = os.path.abspath(os.path.expanduser(os.fspath(folder)))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder}")
    found = {name: files for name, files in list_class_folders([folder]).folders.items() if files}
    if not found:
        found = {UNNAMED_CLASS: list_images(folder, [])}
    if not any(found.values()):
        raise FileNotFoundError(
            f"{folder} has no images: drawings and photos must be in a folder for each class (<class>/<id>.jpg), "
            "drawings also in <class>.ndjson"
        )
    names = merge_spellings(found)
    stems: dict[str, set[str]] = {key: set() for key in names}
    if photos is not None:
        photo_names = photos.features["label"].names
        for label, instance in zip(photos["label"], photos["instance_id"]):
            stems.get(class_key(photo_names[label]), set()).add(instance.rpartition("/")[2])
    columns: dict[str, list] = {"image": [], "label": [], "instance_id": [], "domain": []}
    for folder_name, files in found.items():
        key = class_key(folder_name)
        for file in files:
            for image, stem in _images(file):
                own = stems[key] if photos is not None else {stem}
                columns["image"].append(image)
                columns["label"].append(names[key])
                columns["instance_id"].append(folder_instance(names[key], stem, own))
                columns["domain"].append(domain)
    return datasets.Dataset.from_dict(columns, features(sorted(names.values())))


def _images(file: ImageFile) -> Iterable[tuple[dict, str]]:
    if not file.holds_strokes:
        yield {"path": file.path, "bytes": None}, file.stem
        return
    for drawing in read_drawings(file.path):
        yield {"bytes": encode_png(rasterize(drawing.strokes)), "path": None}, drawing.key_id
