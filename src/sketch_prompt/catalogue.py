"""The models that can be loaded by name: bundled checkpoints, and some CLIPs on the Hub."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources

from rich.console import Group
from rich.text import Text

from sketch_prompt.sources import bundled_names, local_checkpoint

SUGGESTED = "openai/clip-vit-base-patch32"
"""The CLIP to suggest for real photos."""

_TOY = "mini-clip"


@dataclass(frozen=True)
class KnownModel:
    """A checkpoint or a CLIP that can be loaded by its name.

    Attributes:
        name: Bundled name or Hub id.
        is_bundled: Whether it is part of the package. Otherwise it is downloaded on first use.
        megabytes: Size of its weights.
        licence: Its licence.
        good_for: Its purpose, in a few words.
        score: A measured or published result.
        source: Source of the result, a key of the catalogue's `sources`.
    """

    name: str
    is_bundled: bool
    megabytes: float
    licence: str
    good_for: str
    score: str
    source: str


@dataclass(frozen=True)
class Catalogue:
    """All known models.

    Attributes:
        models: The models, bundled ones first.
        sources: {name: description} of the sources of results.
    """

    models: tuple[KnownModel, ...]
    sources: dict[str, str]

    def to_json(self) -> str:
        """The catalogue as JSON."""
        return json.dumps(asdict(self), indent=2)

    def to_table(self) -> Group:
        """The catalogue for `rich.console.Console.print`. Names are not wrapped on a narrow terminal."""
        lines: list[Text] = []
        for model in self.models:
            size = f"{model.megabytes:.1f}" if model.megabytes < 10 else f"{model.megabytes:.0f}"
            lines += [
                Text.assemble((model.name, "bold"), f"  {size} MB, {model.licence}"),
                Text(f"    {model.good_for}; {model.score} ({model.source})"),
            ]
        notes = [Text(f"{name}: {text}") for name, text in self.sources.items()]
        usage = (
            "A bundled name works for every --model. A CLIP on the Hub is downloaded when it is first used:",
            f"  sketch-prompt index photos -o gallery -m frozen-clip --base-model {SUGGESTED}",
        )
        return Group(*lines, Text(), *notes, Text(), *map(Text, usage))


@cache
def read_catalogue() -> Catalogue:
    """The catalogue of the bundled models of this installation and of known CLIPs on the Hub."""
    content = json.loads(resources.files("sketch_prompt").joinpath("catalogue.json").read_text("utf-8"))
    bundled = [
        KnownModel(
            name, True, _weight_megabytes(name), "Apache-2.0", **content["bundled"][name], source="ours"
        )
        for name in bundled_names()
    ]
    hub = [KnownModel(entry.pop("id"), is_bundled=False, **entry) for entry in content["hub"]]
    return Catalogue((*bundled, *hub), content["sources"])


def toy_warning(base_model: str) -> str | None:
    """A warning if photos are searched with the CLIP of MiniSketch, by its name, else None."""
    if base_model != _TOY:
        return None
    return (
        f"{base_model} is a toy: it was trained only on 48 things that the package draws. For real photos, use a "
        f"real CLIP, such as -m frozen-clip --base-model {SUGGESTED}; `sketch-prompt models` lists more."
    )


def _weight_megabytes(name: str) -> float:
    return sum(path.stat().st_size for path in local_checkpoint(name).glob("*.safetensors")) / 1e6
