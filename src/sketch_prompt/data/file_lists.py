"""List files of a packaging, with one `relative/path/to/image class_id` on each line: the images that it uses."""

import os
from collections.abc import Iterable, Mapping

from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.listing import ImageFile, Listing
from sketch_prompt.data.splits import BenchmarkSplit

LIST_FOLDERS = ("zeroshot", "zeroshot0", "zeroshot1")
UNSEEN_CLASSES_FILE = "cname_cid_zero.txt"


def find_file_lists(bases: Iterable[str], names: Mapping[str, str], split: BenchmarkSplit) -> dict[str, str]:
    """The list files of a split, `{split name: path}`; empty if the packaging has none.

    Packagings of Sketchy have the lists of several protocols in numbered folders. The folder with the same unseen
    classes as the split is used.

    Args:
        bases: Folders that may contain the folders of lists.
        names: `{split name: file name}`.
        split: The classes.
    """
    wanted = set(map(class_key, split.unseen))
    for base in bases:
        for folder in LIST_FOLDERS:
            classes_file = os.path.join(base, folder, UNSEEN_CLASSES_FILE)
            if not os.path.isfile(classes_file):
                continue
            if {class_key(name) for name, _ in read_numbered_lines(classes_file)} == wanted:
                paths = {part: os.path.join(base, folder, name) for part, name in names.items()}
                return {part: path for part, path in paths.items() if os.path.isfile(path)}
    return {}


def select_listed(listing: Listing, list_file: str) -> Listing:
    """The files of a listing that a list file names. Its `skipped` are the named files that do not exist.

    Folders are compared without the suffix `_ready` that packagings with lists use.

    Raises:
        ValueError: A line is malformed, or none of the named files exists.
    """
    found = {
        _path_key(file.path): (folder, file) for folder, files in listing.folders.items() for file in files
    }
    selected: dict[str, list[ImageFile]] = {}
    skipped = []
    for path, _ in read_numbered_lines(list_file):
        entry = found.get(_path_key(path))
        if entry is None:
            skipped.append(f"{path}: named in {list_file}, but absent")
        else:
            selected.setdefault(entry[0], []).append(entry[1])
    if not selected:
        raise ValueError(
            f"none of the files named in {list_file} exists: the list does not belong to the folders; "
            "move the list away to use all files of the folders"
        )
    return Listing({folder: sorted(set(files)) for folder, files in sorted(selected.items())}, skipped)


def read_numbered_lines(path: str) -> list[tuple[str, int]]:
    """The lines `text number` of a file, without blank lines. The text may contain spaces.

    Raises:
        ValueError: A line does not end in a number, or the file is not text.
    """
    lines = []
    with open(path, encoding="utf-8") as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    text, _, value = line.strip().rpartition(" ")
                    if not text.strip() or not value.isdecimal():
                        raise ValueError(f"{path}, line {number}: not `path class_id` but {line.strip()!r}")
                    lines.append((text.strip(), int(value)))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a text file: {error}") from error
    return lines


def _path_key(path: str) -> tuple[str, str, str]:
    """(root, class folder, file name), by which the paths of a list and of a folder are compared."""
    parts = path.replace(os.sep, "/").split("/")
    root, folder, name = ["", "", *parts][-3:]
    return root.removesuffix("_ready"), folder, name
