"""The report of an evaluation: for a terminal, for a program, for a document."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sketch_prompt.atomic import atomic_write

_LISTED_UNREADABLE = 10


@dataclass(frozen=True)
class Report:
    """One model on one benchmark.

    Attributes:
        method: "clip-at", "frozen-clip", ...
        model: where the weights came from.
        protocol: the benchmark's name.
        convention: "standard" or "interpolated".
        zero_shot: whether no test class was seen in training.
        claim: the sentence that says so.
        metrics: {name: 0..1}.
        chance: the same names for a random ranking.
        per_class: {class: metrics} of the queries of each class.
        queries: number of sketches searched with.
        gallery: number of photos searched.
        classes: number of classes among the queries.
        unreadable: {"domain", "path", "reason"} of each image left out.
        seconds: wall-clock time of embedding and ranking.
        peak_memory_mb: of the process and, on a GPU, of the device.
        environment: versions, machine, device, dtype.
    """

    method: str
    model: str
    protocol: str
    convention: str
    zero_shot: bool
    claim: str
    metrics: dict[str, float]
    chance: dict[str, float]
    per_class: dict[str, dict[str, float]]
    queries: int
    gallery: int
    classes: int
    seconds: float
    unreadable: list[dict[str, str]] = field(default_factory=list)
    peak_memory_mb: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str | int] = field(default_factory=dict)

    def to_json(self) -> str:
        """All fields, numbers in 0..1."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def to_markdown(self) -> str:
        """A heading, the metrics in percent beside chance, and the facts."""
        lines = [f"# {self.method} on {self.protocol}", "", self._sentence(), ""]
        lines += ["| metric | % | chance |", "| --- | ---: | ---: |"]
        lines += [f"| {name} | {value} | {chance} |" for name, value, chance in self._percentages()]
        lines += ["", *(f"- {name}: {value}" for name, value in self._facts())]
        if self.unreadable:
            lines += ["", f"{len(self.unreadable)} images could not be read and were left out:", ""]
            lines += [
                f"- `{entry['path']}` ({entry['domain']}): {entry['reason']}" for entry in self.unreadable
            ]
        return "\n".join(lines) + "\n"

    def to_table(self) -> Group:
        """A rich renderable: the metrics in percent beside chance, then the facts."""
        scores = Table(title=f"{self.method} on {self.protocol}", title_justify="left")
        scores.add_column("metric")
        scores.add_column("%", justify="right", style="bold")
        scores.add_column("chance", justify="right", style="dim")
        for row in self._percentages():
            scores.add_row(*row)
        facts = Table.grid(padding=(0, 2))
        for name, value in self._facts():
            facts.add_row(Text(name, style="dim"), Text(value))
        parts = [scores, Text(self._sentence(), style="" if self.zero_shot else "bold yellow"), facts]
        if self.unreadable:
            parts.append(
                Text(f"{len(self.unreadable)} images could not be read and were left out:", style="yellow")
            )
            listed = self.unreadable[:_LISTED_UNREADABLE]
            parts += [Text(f"  {entry['path']} ({entry['domain']}): {entry['reason']}") for entry in listed]
            if len(self.unreadable) > len(listed):
                parts.append(
                    Text(f"  and {len(self.unreadable) - len(listed)} more (all in the JSON report)")
                )
        return Group(*parts)

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write `report.json` and `report.md` into a folder (made where it lacks); returns their paths."""
        paths = []
        for name, text in (("report.json", self.to_json()), ("report.md", self.to_markdown())):
            paths.append(Path(folder) / name)
            with atomic_write(paths[-1]) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return paths

    def _sentence(self) -> str:
        return (
            f"{self.queries:,} sketches of {self.classes} classes against {self.gallery:,} photos, "
            f"{self.convention} convention; {self.claim}."
        )

    def _percentages(self) -> list[tuple[str, str, str]]:
        return [
            (name, f"{100 * value:.2f}", f"{100 * self.chance[name]:.2f}")
            for name, value in self.metrics.items()
        ]

    def _facts(self) -> list[tuple[str, str]]:
        memory = ", ".join(f"{name} {value:,.0f} MB" for name, value in self.peak_memory_mb.items())
        machine = self.environment
        facts = [("model", self.model), ("time", f"{self.seconds:.1f} s")]
        if memory:
            facts.append(("peak memory", memory))
        if machine:
            facts.append(
                ("device", f"{machine['device']}, {machine['dtype']}, {machine['processors']} processors")
            )
            packages = ("sketch_prompt", "torch", "transformers", "python")
            facts.append(("versions", ", ".join(f"{name} {machine[name]}" for name in packages)))
            facts.append(("platform", str(machine["platform"])))
        return facts
