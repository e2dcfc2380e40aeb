"""Results beside the numbers of the papers: one table for each setup in a `results.jsonl`.

Numbers can be compared only within a setup: the same benchmark, training benchmark, setting, level and gallery. Each
row names its convention; notes say how else a run differs from the published one.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from statistics import fmean, stdev
from typing import NamedTuple

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from sketch_prompt.data import published

from .report import format_interval
from .tables import Table, to_csv

_SETTINGS = {
    "zs": "zero-shot",
    "gzs": "generalised zero-shot",
    "instances": "new instances of one class",
    "seen": "not zero-shot",
}
_UNKNOWN = "not said"
# A repeated run replaces an earlier one if these are the same, and runs are averaged over their seeds if the next are.
_DISTINGUISHING = ("method", "model", "convention", "claim", "queries", "photos", "expand", "lens", "support")
_ALIKE = ("method", "base_model", "convention", "claim", "query", "ranking", "expand", "lens", "condition")
_ALIKE += ("support", "queries", "photos", "recipe", "preprocessing")


class Setup(NamedTuple):
    """What results must have in common to be compared."""

    benchmark: str
    train_benchmark: str | None
    setting: str
    level: str
    gallery: str

    @property
    def title(self) -> str:
        """The setup as a heading."""
        parts = [self.benchmark, _SETTINGS[self.setting]]
        if self.train_benchmark:
            parts.append(f"trained on {self.train_benchmark}")
        if self.level == "instance":
            searched = "the query's category" if self.gallery == "category" else "all photos"
            parts.append(f"instance level, gallery: {searched}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Row:
    """A run, or a result that a paper prints.

    Attributes:
        source: "run" or "paper".
        method: Name of the method, and the variant if the paper has several.
        model: The checkpoint of a run; the citation of a paper.
        backbone: The backbone, if it is known.
        convention: "standard", "interpolated", "not said", or None at instance level, where there is only one.
        metrics: {name: 0..1}; of several seeds, the mean.
        intervals: {name: [lower, upper]} of a run.
        deviations: {name: standard deviation} over several seeds.
        seeds: Number of runs.
        notes: How a run differs from the published data and from the paper of its method.
        secondary: Whether a paper's numbers were read elsewhere than in the paper or on its authors' pages.
    """

    source: str
    method: str
    model: str
    backbone: str | None
    convention: str | None
    metrics: dict[str, float]
    intervals: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    secondary: bool = False
    deviations: dict[str, float] = field(default_factory=dict)
    seeds: int = 1

    @property
    def by(self) -> str:
        """Whose numbers these are: of a run, or of a paper, which may have been read at second hand."""
        return "paper, secondary" if self.secondary else self.source


@dataclass(frozen=True)
class Reproduction:
    """Runs and papers for each setup.

    Attributes:
        setups: {setup: rows}. The runs of a method are below its paper.
    """

    setups: dict[Setup, list[Row]]

    def to_json(self) -> str:
        """All setups with their rows; numbers are between 0 and 1."""
        content = [
            setup._asdict() | {"rows": [asdict(row) for row in rows]} for setup, rows in self.setups.items()
        ]
        return json.dumps(content, indent=2, ensure_ascii=False)

    def to_markdown(self) -> str:
        """A heading and a table for each setup."""
        parts = ["# Runs beside the papers' numbers\n"]
        for setup, rows in self.setups.items():
            header, cells, notes = _cells(rows, _metrics(rows))
            for row, texts in zip(rows, cells):
                if row.source == "run":
                    texts[:] = [text and f"**{text}**" for text in texts]
            parts.append(Table(setup.title, header, cells, 4).to_markdown())
            parts += ["".join(f"- {note}\n" for note in notes)] if notes else []
        return "\n".join(parts)

    def to_latex(self) -> str:
        """A table for each setup, for the package booktabs, with its notes as comments."""
        parts = []
        for setup, rows in self.setups.items():
            header, cells, notes = _cells(rows, _metrics(rows))
            parts.append(Table(setup.title, header, cells, 4).to_latex())
            parts += [f"% {note}\n" for note in notes]
        return "\n".join(parts)

    def to_csv(self) -> str:
        """A line for each row and metric."""
        header = [*Setup._fields, "source", "method", "model", "backbone", "convention"]
        header += ["metric", "value", "lower", "upper", "deviation", "seeds", "notes"]
        lines = []
        for setup, rows in self.setups.items():
            for row in rows:
                facts = (*setup, row.source, row.method, row.model, row.backbone, row.convention)
                facts = ["" if fact is None else fact for fact in facts]
                for name, value in row.metrics.items():
                    interval = row.intervals.get(name, ("", ""))
                    spread = row.deviations.get(name, "")
                    notes = "; ".join(row.notes)
                    lines.append([*facts, name, value, *interval, spread, row.seeds, notes])
        return to_csv(header, lines)

    def _repr_html_(self) -> str:
        from sketch_prompt import notebook

        parts = []
        for setup, rows in self.setups.items():
            header, cells, notes = _cells(rows, _metrics(rows))
            parts.append(notebook.table(header, cells, setup.title))
            parts += [f"<p>{notebook.text(note)}</p>" for note in notes]
        return "".join(parts)

    def to_table(self) -> Group:
        """A rich renderable: a table for each setup. Runs are bold, with intervals below their numbers.

        To fit a terminal it leaves out metrics that no paper prints. JSON and markdown have all metrics.
        """
        parts = []
        for setup, rows in self.setups.items():
            metrics = _compared_metrics(rows)
            _, cells, notes = _cells(rows, metrics)
            table = RichTable(padding=(0, 1))
            table.add_column("method", max_width=26, overflow="fold")
            for name in ("by", "convention"):
                table.add_column(name, no_wrap=True)
            for name in metrics:
                table.add_column(name, justify="right")
            for row, texts in zip(rows, cells):
                is_run = row.source == "run"
                method = f"{texts[0]}\n{row.model}" if is_run else texts[0]
                values = [text.replace(" (", "\n").replace(" - ", "-").rstrip(")") for text in texts[4:]]
                values = [method, row.by.replace(", ", ",\n"), texts[3], *values]
                table.add_row(*map(Text, values), style="bold" if is_run else "")
            parts += [
                Text(setup.title, style="bold"),
                table,
                *(Text(note, style="dim") for note in notes),
                Text(""),
            ]
        return Group(*parts[:-1])


def reproduce(results: Iterable[dict]) -> Reproduction:
    """Put runs beside the results that the papers print for the same setup.

    If a run was repeated, the last one counts. Runs that differ in their seeds alone are one row.

    Args:
        results: From `read_results`.
    """
    runs: dict[tuple, tuple[Setup, dict]] = {}
    for result in results:
        setup = _setup(result)
        row = (*map(result.get, _DISTINGUISHING), *result.get("differences", ()))
        runs.pop((setup, row), None)
        runs[setup, row] = setup, result
    setups: dict[Setup, list[Row]] = {}
    for setup in dict.fromkeys(setup for setup, _ in runs.values()):
        own = _average_seeds([result for its_setup, result in runs.values() if its_setup == setup])
        setups[setup] = _rows(_published(setup), own)
    return Reproduction(setups)


def _average_seeds(results: list[dict]) -> list[dict]:
    """One result for all runs of a recipe: the means, with `deviations` and the number of `seeds`."""
    groups: dict[str, list[dict]] = {}
    for number, result in enumerate(results):
        key = str(number)
        if result.get("seed") is not None and result.get("recipe"):
            key = json.dumps([result.get(name) for name in _ALIKE], sort_keys=True)
        groups.setdefault(key, []).append(result)
    return [_average(group) if len(group) > 1 else group[0] for group in groups.values()]


def _average(results: list[dict]) -> dict:
    names = [name for name in results[0]["metrics"] if all(name in other["metrics"] for other in results)]
    values = {name: [result["metrics"][name] for result in results] for name in names}
    return results[-1] | {
        "metrics": {name: fmean(each) for name, each in values.items()},
        "deviations": {name: stdev(each) for name, each in values.items()},
        "intervals": {},
        "seeds": len(results),
    }


def paper_of(result: dict) -> Row | None:
    """What the paper of a run's method prints for the run's setup; None if it prints nothing.

    Args:
        result: A line of `read_results`, or the fields of a report.
    """
    entries = [entry for entry in _published(_setup(result)) if entry["method"] == result["method"]]
    return _paper(entries[0]) if entries else None


def _setup(result: dict) -> Setup:
    return Setup(
        result["benchmark"],
        result.get("train_benchmark"),
        result["setting"],
        result["level"],
        result.get("gallery", "all"),
    )


@cache
def published_results() -> list[dict]:
    """The results of papers, each with the fields of its paper and of the source that it was read from."""
    content = published()
    return [
        content["papers"][entry["paper"]] | entry | {"source": content["sources"][entry["source"]]}
        for entry in content["results"]
    ]


def _published(setup: Setup) -> list[dict]:
    """The entries of the papers for a setup. At instance level, papers rank the photos of a category."""
    return [
        entry
        for entry in published_results()
        if (entry["benchmark"], entry.get("train_benchmark"), entry.get("setting", "zs"))
        == (setup.benchmark, setup.train_benchmark, setup.setting)
        and _level(entry) == setup.level
        and (setup.level == "category" or setup.gallery == "category")
    ]


def _level(entry: dict) -> str:
    return "instance" if all(name.startswith("Acc@") for name in entry["metrics"]) else "category"


def _rows(published: list[dict], results: list[dict]) -> list[Row]:
    """Other runs first, then the papers in their order, each followed by the runs of its method."""
    methods = [entry["method"] for entry in published]
    rows = [_run(result, None) for result in results if result["method"] not in methods]
    for index, entry in enumerate(published):
        rows.append(_paper(entry))
        if entry["method"] is not None and entry["method"] not in methods[index + 1 :]:
            rows += [_run(result, entry) for result in results if result["method"] == entry["method"]]
    return rows


def _paper(entry: dict) -> Row:
    variant = f" ({entry['variant']})" if "variant" in entry else ""
    convention = entry["convention"] or _UNKNOWN
    return Row(
        source="paper",
        method=entry["paper"] + variant,
        model=", ".join(part for part in (entry["citation"], entry["url"]) if part) + "; " + _place(entry),
        backbone=entry["backbone"],
        convention=None if _level(entry) == "instance" else convention,
        metrics={name: round(value / 100, 6) for name, value in entry["metrics"].items()},
        secondary=entry["source"]["secondary"],
    )


def _place(entry: dict) -> str:
    """Where a number was read, in words."""
    source = entry["source"]
    return f"read in: {source['text']}" + (f" ({source['url']})" if source["url"] else "")


def _run(result: dict, entry: dict | None) -> Row:
    differences = ", ".join(result.get("differences", ()))
    notes = [f"not the published test data: {differences}"] if differences else []
    if result["setting"] != "zs":
        notes.append(result["claim"])
    if result.get("query", "sketch") != "sketch":
        notes.append("searched by the names of the classes, without sketches")
    if result.get("support") not in (None, "own"):
        notes.append(f"support sets: {result['support']}")
    if result.get("unreadable"):
        notes.append(f"{result['unreadable']} unreadable images left out")
    for name, most in (result.get("ceilings") or {}).items():
        notes.append(f"{name} is at most {100 * most:.4g} here: some classes have fewer photos")
    if result.get("seeds", 1) > 1:
        notes.append(f"mean ± standard deviation of {result['seeds']} seeds")
    how = {"a lens": result.get("lens"), "expand": result.get("expand")}
    variant = "".join(f" + {name} ({value})" for name, value in how.items() if value is not None)
    convention = result.get("convention")
    if entry is not None and convention is not None and entry["convention"] != convention:
        theirs = entry["convention"] or f"{_UNKNOWN} which"
        notes.append(f"{convention} convention; {entry['paper']}: {theirs}")
    return Row(
        source="run",
        method=result["method"] + variant,
        model=result["model"],
        backbone=result.get("base_model"),
        convention=convention,
        metrics=result["metrics"],
        intervals=result.get("intervals", {}),
        notes=notes,
        deviations=result.get("deviations", {}),
        seeds=result.get("seeds", 1),
    )


def _cells(rows: list[Row], metrics: list[str]) -> tuple[list[str], list[list[str]], list[str]]:
    """The header, the texts of each row, and the numbered notes that the texts refer to."""
    header = ["method", "source", "backbone", "convention", *metrics]
    notes: dict[str, int] = {}
    cells = []
    for row in rows:
        marks = "".join(f" [{notes.setdefault(note, len(notes) + 1)}]" for note in row.notes)
        values = [_value(row, name) for name in metrics]
        source = row.model if row.source == "run" else row.by
        cells.append([row.method + marks, source, row.backbone or "", row.convention or "", *values])
    return header, cells, [f"[{number}] {note}" for note, number in notes.items()]


def _metrics(rows: list[Row]) -> list[str]:
    """All metrics of the rows; those that papers print come first."""
    ordered = sorted(rows, key=lambda row: row.source != "paper")
    return list(dict.fromkeys(name for row in ordered for name in row.metrics))


def _compared_metrics(rows: list[Row]) -> list[str]:
    """The metrics that papers print, and the first one of each run without any of these; all if there is no paper."""
    printed = _metrics([row for row in rows if row.source == "paper"])
    others = [next(iter(row.metrics)) for row in rows if not set(printed) & set(row.metrics)]
    return list(dict.fromkeys([*printed, *others])) if printed else _metrics(rows)


def _value(row: Row, name: str) -> str:
    if name not in row.metrics:
        return ""
    if row.source == "paper":
        return f"{100 * row.metrics[name]:.4g}"
    value = f"{100 * row.metrics[name]:.2f}"
    if name in row.deviations:
        return f"{value} ± {100 * row.deviations[name]:.2f}"
    interval = format_interval(row.intervals.get(name))
    return f"{value} ({interval})" if interval else value
