"""The methods that the page offers, with titles in plain words.

Only this file decides their order and which of them are offered under "advanced".
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sketch_prompt.sources import bundled_names, find_checkpoint

REAL = "small-clip"
TOY = "mini-clip"
# The methods on each CLIP that find a right first photo for every example drawing of the page
# (tests/space/test_methods.py). The first is the default. A method that is not bundled is skipped.
_OFFERED = {REAL: ("sketch-search",), TOY: ("mini-clip-at", "mini-splip")}
_TITLES = {
    "sketch-lens": "Sketch lens: adapts the drawing",
    "clip-at": "CLIP-AT: the picture as a whole",
    "splip": "SpLIP: pictures and words",
    "dp-clip": "DP-CLIP: the very object",
    "zse-sbir": "ZSE-SBIR: piece by piece",
    "frozen-clip": "Plain CLIP: nothing trained",
    "clip": "Plain CLIP: nothing trained",
}
_OWN_TITLES = {"sketch-search": "Sketch search: for real photos"}


@dataclass(frozen=True)
class Method:
    """A way to search.

    Attributes:
        name: its checkpoint: a bundled name, a Hub id or a directory. For a CLIP without an adapter, the CLIP.
        title: its description in plain words.
        base_model: the CLIP that it adapts.
        is_advanced: whether it is only offered under "advanced".
    """

    name: str
    title: str
    base_model: str
    is_advanced: bool = False

    @property
    def is_toy(self) -> bool:
        """Whether it was trained on MiniSketch only."""
        return self.base_model == TOY


def bundled_methods(base_model: str = TOY) -> list[str]:
    """The names of the bundled methods on a CLIP: the recommended ones, other trained ones, and the CLIP itself."""
    return [method.name for method in _methods_on(base_model)]


def offered_methods(names: Sequence[str] | None = None) -> list[Method]:
    """The methods of a page.

    Args:
        names: checkpoints. By default all bundled ones, those for real photos first.

    Raises:
        FileNotFoundError: there is no such checkpoint.
    """
    if names is None:
        return [*_methods_on(REAL), *_methods_on(TOY)]
    return [_describe(name) for name in names]


def _methods_on(base_model: str) -> list[Method]:
    offered = _OFFERED[base_model]
    methods = [_describe(name) for name in bundled_names() if name != base_model]
    methods = [method for method in methods if method.base_model == base_model]
    if not any(_config(method.name)["model_type"] == "frozen-clip" for method in methods):
        methods.append(_describe(base_model))

    def place(method: Method) -> tuple:
        first = offered.index(method.name) if method.name in offered else len(offered)
        return first, _config(method.name)["model_type"] in ("frozen-clip", "clip"), method.name

    methods.sort(key=place)
    return [
        Method(method.name, method.title, method.base_model, number > 0 and method.name not in offered)
        for number, method in enumerate(methods)
    ]


def _describe(name: str) -> Method:
    config = _config(name)
    kind = config.get("model_type", "")
    title = _OWN_TITLES.get(name) or _TITLES.get(kind, kind)
    return Method(name, title, name if kind == "clip" else config.get("base_model") or "")


def _config(name: str) -> dict:
    return json.loads((find_checkpoint(name, files=["config.json"]) / "config.json").read_text("utf-8"))
