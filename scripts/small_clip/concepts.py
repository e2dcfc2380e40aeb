"""The things small-clip learns to tell apart: one row for each, whatever source shows it.

ImageNet's 1000 classes come first, in the teacher's order; Caltech-101's and Quick, Draw!'s classes join one
of them, or each other, where they mean the same thing, and follow after otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

# A class of Caltech-101 or Quick, Draw! -> the row that it joins.
SAME_AS = {
    "alarm clock": "analog clock",
    "apple": "granny smith apple",
    "bear": "brown bear",
    "bed": "four-poster bed",
    "bench": "park bench",
    "bicycle": "mountain bike",
    "binocular": "binoculars",
    "bowtie": "bow tie",
    "cat": "tabby cat",
    "car": "car side",
    "clock": "wall clock",
    "computer": "desktop computer",
    "drill": "power drill",
    "drums": "drum",
    "elephant": "african bush elephant",
    "eyeglasses": "sunglasses",
    "fan": "electric fan",
    "firetruck": "fire truck",
    "fish": "goldfish",
    "frog": "american bullfrog",
    "guitar": "electric guitar",
    "hamburger": "cheeseburger",
    "hat": "cowboy hat",
    "hawksbill": "sea turtle",
    "headphones": "headphone",
    "helmet": "crash helmet",
    "hot air balloon": "balloon",
    "keyboard": "computer keyboard",
    "lamp": "table lamp",
    "laptop": "laptop computer",
    "leopards": "leopard",
    "lobster": "american lobster",
    "microwave": "microwave oven",
    "motorbikes": "motorbike",
    "nail": "metal nail",
    "owl": "great grey owl",
    "panda": "giant panda",
    "penguin": "king penguin",
    "piano": "grand piano",
    "rabbit": "cottontail rabbit",
    "rhino": "rhinoceros",
    "rollerskates": "inline skate",
    "sea turtle": "loggerhead sea turtle",
    "shark": "great white shark",
    "sheep": "ram",
    "spider": "barn spider",
    "spoon": "wooden spoon",
    "table": "dining table",
    "telephone": "rotary dial telephone",
    "toilet": "toilet seat",
    "train": "high-speed train",
    "van": "moving van",
    "watch": "wristwatch",
    "whale": "grey whale",
    "wheel": "car wheel",
    "wild cat": "lynx",
}


class ImageNetClass(NamedTuple):
    """One of ImageNet's classes: its WordNet number (n01443537) and its names, the usual one first."""

    wnid: str
    names: tuple[str, ...]


def plain(name: str) -> str:
    """A class name without underscores and capitals."""
    return " ".join(name.replace("_", " ").lower().split())


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """ImageNet's 1000 classes in the teacher's order."""
    rows = json.loads(Path(__file__).with_name("imagenet.json").read_text())
    return tuple(ImageNetClass(row["wnid"], tuple(row["names"])) for row in rows)


@cache
def imagenet_rows() -> dict[str, int]:
    """The row of each of ImageNet's classes by its WordNet number."""
    return {known.wnid: row for row, known in enumerate(imagenet_classes())}


@dataclass(frozen=True)
class Concepts:
    """Rows and their names; `rows` finds the row of a class of Caltech-101 or Quick, Draw!."""

    names: tuple[str, ...]
    rows: dict[str, int]

    @classmethod
    def of(cls, class_names: list[str]) -> Concepts:
        """ImageNet's rows and those that `class_names` need."""
        names = [known.names[0] for known in imagenet_classes()]
        known = {}
        for row, name in enumerate(names):
            known.setdefault(name, row)
        rows = {}
        for given in class_names:
            name = plain(given)
            name = SAME_AS.get(name, name)
            if name not in known:
                known[name] = len(names)
                names.append(name)
            rows[given] = known[name]
        return cls(tuple(names), rows)

    def synonyms(self) -> list[list[str]]:
        """All names of each row, the usual one first."""
        names = [[name] for name in self.names]
        for row, known in enumerate(imagenet_classes()):
            names[row] += known.names
        for given, row in self.rows.items():
            names[row].append(plain(given))
        return [list(dict.fromkeys(of_row)) for of_row in names]
