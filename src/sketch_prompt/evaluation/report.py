"""The report of an evaluation, as JSON, Markdown and a table for the terminal."""

import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from sketch_prompt.atomic import append_line, atomic_write
from sketch_prompt.checksums import json_checksum
from sketch_prompt.hints import with_new_names
from sketch_prompt.vocabulary import GalleryPhotos, Level, Query, Ranking

from .leakage import Setting
from .tables import Table

RESULTS_FILE = "results.jsonl"
_NEEDED = ("method", "model", "benchmark", "level", "setting", "claim", "metrics")
OLD_KEYS = {
    "protocol": "benchmark",
    "train_protocol": "train_benchmark",
    "gallery": "photos",
    "gallery_scope": "gallery",
    "category": "condition",
}
"""{key in the reports of earlier versions: its name today}"""
_CONDITIONS = {
    None: "",
    "given": ", every image embedded with its own category",
    "predicted": ", every image embedded with its predicted category",
    "none": ", embedded without a category",
}
_SUPPORTS = {
    "random": ", support sets of random images",
    "unmatched": ", support sets of another category",
}
_LISTED_UNREADABLE = 10
_LISTED_CLASSES = 3
_DETAILS = ("per_class", "queries_per_class", "curve", "query_scores", "unreadable")
_SHOWN_PREPROCESSING = {
    "size": "{} px",
    "photo_resize": "photos {}",
    "sketch_resize": "sketches {}",
    "sketch_crop_margin": "cropped",
    "sketch_line_width": "lines of {} px at least",
}
"""The settings of the preprocessing to print. The JSON has all of them."""


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Report:
    """The result of evaluating a model on a benchmark.

    Example:
        ```python
        report = evaluate_model(model, model.processor, load_benchmark("mini"), Task("mini")).report
        print(report.metrics["mAP@all"], report.intervals["mAP@all"], report.chance["mAP@all"])
        report.save("evaluation")
        ```

    Attributes:
        method: "clip-at", "frozen-clip", ...
        model: Name of the checkpoint.
        benchmark: Name of the benchmark.
        convention: "standard" or "interpolated"; None at instance level, where there is only one.
        zero_shot: Whether no test class was seen in training.
        claim: The same, in words.
        metrics: {name: 0..1}.
        chance: {name: 0..1} for a random ranking.
        per_class: {class: metrics of its queries}.
        queries: Number of sketches.
        photos: Number of photos in the gallery.
        classes: Number of classes among the queries.
        seconds: Wall-clock time of embedding and ranking.
        base_model: The frozen CLIP, if the model names it.
        train_benchmark: The benchmark trained on, if another one.
        level: "category" or "instance".
        gallery: Which photos were ranked for a query: "all", or those of its "category".
        ranking: "embedding", "rerank", "rerank-plain" or "exhaustive", see `Task`.
        shortlist: Number of photos that re-ranking scored again for each query.
        rerank_weight: Weight of the pair scores in "rerank". None for pair scores alone.
        query: What was searched with: the test sketches ("sketch"), or the names of their classes ("class-name").
        expand: Number of first hits that a query was combined with for a second search. None for a single search.
        lens: Targets of the model's lens. None without a lens.
        pairs: Number of pairs that were scored besides the embeddings.
        setting: "zs", "gzs" (the gallery also holds photos of seen classes), "instances" (training and test data share
            classes, but not instances) or "seen" (not zero-shot).
        condition: Categories for a method with conditions: "given", "predicted" or "none", see `Task`. None for other
            methods.
        support: Example images of a category: "own", "random" or "unmatched". None without categories.
        differences: How the test data differ from the published ones.
        intervals: {name: [lower, upper]}, 95 % bootstrap intervals over the queries.
        queries_per_class: {class: number of queries}.
        curve: {x: values, y: values, "chance": values}: precision over recall, or accuracy over k.
        ceilings: {name: 0..1}, the maximum of each metric that cannot reach 1. For a class with 12 photos, at most 12
            of the first 100 can be correct.
        preprocessing: The preprocessing of images: the arguments of `SketchPromptImageProcessor`.
        seed: Random seed of the training run. None if nothing was trained, or if it is not known.
        recipe: Recipe of the training run by section, without its seed and folders.
        query_set: Checksum of the queries. Reports with the same checksum can be compared query by query.
        query_scores: {name of the metric: its value for each query}, in the order of the benchmark's table. None if a
            query does not count.
        unreadable: {"domain", "path", "reason"} for each image that was left out.
        peak_memory_mb: Peak memory of the process and, on a GPU, of the device.
        environment: Versions, machine, device and dtype.
        time: Time of the report, UTC.
    """

    method: str
    model: str
    benchmark: str
    convention: str | None
    zero_shot: bool
    claim: str
    metrics: dict[str, float]
    chance: dict[str, float]
    per_class: dict[str, dict[str, float]]
    queries: int
    photos: int
    classes: int
    seconds: float
    base_model: str | None = None
    train_benchmark: str | None = None
    level: Level = "category"
    gallery: GalleryPhotos = "all"
    ranking: Ranking = "embedding"
    shortlist: int | None = None
    rerank_weight: float | None = None
    pairs: int = 0
    query: Query = "sketch"
    expand: int | None = None
    lens: str | None = None
    setting: Setting = "zs"
    condition: str | None = None
    support: str | None = None
    differences: list[str] = field(default_factory=list)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    queries_per_class: dict[str, int] = field(default_factory=dict)
    curve: dict[str, list[float]] = field(default_factory=dict)
    ceilings: dict[str, float] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    recipe: dict[str, dict[str, Any]] = field(default_factory=dict)
    query_set: str = ""
    query_scores: dict[str, list[float | None]] = field(default_factory=dict, repr=False)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    peak_memory_mb: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str | int] = field(default_factory=dict)
    time: str = field(default_factory=_now)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Report":
        """Load a `report.json`, also of an earlier version.

        Raises:
            OSError: The file cannot be opened.
            ValueError: It is not a report.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            checksum = content.pop("checksum", None) if isinstance(content, dict) else None
            if checksum is not None and checksum != json_checksum(content):
                raise ValueError("it is damaged, or was edited")
            return cls(**_with_new_keys(content, path))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} is not a report of sketch-prompt evaluate: {error}") from error

    @classmethod
    def of_summary(cls, result: dict) -> "Report":
        """The report in a line of `read_results`, without what `summary` leaves out.

        Raises:
            ValueError: A field is missing.
        """
        known = {f.name for f in fields(cls)} - {"unreadable"}
        try:
            return cls(**{"per_class": {}} | {name: value for name, value in result.items() if name in known})
        except TypeError as error:
            raise ValueError(f"a line of the results is not complete: {error}") from error

    def to_json(self) -> str:
        """All fields except the scores of single queries, which `save` writes. Numbers are between 0 and 1."""
        content = asdict(self)
        del content["query_scores"]
        return json.dumps(content, indent=2, ensure_ascii=False)

    def summary(self) -> dict:
        """All fields except those with an entry for each class, point of the curve, or image."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _DETAILS}
        return kept | {"unreadable": len(self.unreadable)}

    def to_markdown(self) -> str:
        """A heading, the metrics in percent, the facts, all classes, and all images that were left out."""
        parts = [f"# {self.title}\n\n{self.sentence}\n"]
        parts.append(Table("", ["metric", *self._columns()], self._percentages()).to_markdown())
        parts.append("".join(f"- {name}: {value}\n" for name, value in self._facts()))
        header = ["class", "sketches", *self.metrics]
        parts.append(Table("Classes", header, self._class_rows()).to_markdown())
        if self.unreadable:
            parts.append(f"## Left out\n\n{self._left_out()}:\n")
            parts.append(
                "".join(
                    f"- `{image['path']}` ({image['domain']}): {image['reason']}\n"
                    for image in self.unreadable
                )
            )
        return "\n".join(parts)

    def to_table(self) -> Group:
        """A rich renderable with the metrics in percent, the best and the worst classes, and the facts."""
        scores = _table(self.title, "metric", self._columns())
        for name, value, interval, *levels in self._percentages():
            scores.add_row(
                name, Text(value, style="bold"), interval, *(Text(level, style="dim") for level in levels)
            )
        facts = RichTable.grid(padding=(0, 2))
        for name, value in self._facts():
            facts.add_row(Text(name, style="dim"), Text(value))
        parts = [scores, Text(self.sentence, style="" if self.zero_shot else "bold yellow")]
        if len(self.per_class) > 1:
            parts.append(self._class_table())
        parts.append(facts)
        if self.unreadable:
            parts.append(Text(f"{self._left_out()}:", style="yellow"))
            listed = self.unreadable[:_LISTED_UNREADABLE]
            parts += [Text(f"  {entry['path']} ({entry['domain']}): {entry['reason']}") for entry in listed]
            if len(self.unreadable) > len(listed):
                parts.append(
                    Text(f"  and {len(self.unreadable) - len(listed)} more (all in the JSON report)")
                )
        return Group(*parts)

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write `report.json` and `report.md` to a folder, which is created if needed. Returns their paths."""
        paths = []
        content = asdict(self)
        content = json.dumps(content | {"checksum": json_checksum(content)}, indent=2, ensure_ascii=False)
        for name, text in (("report.json", content), ("report.md", self.to_markdown())):
            paths.append(Path(folder) / name)
            with atomic_write(paths[-1]) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return paths

    @property
    def title(self) -> str:
        """The method and the benchmark."""
        trained = f", trained on {self.train_benchmark}" if self.train_benchmark else ""
        return f"{self.method} on {self.benchmark}{trained}"

    @property
    def sentence(self) -> str:
        """A sentence with the queries, the photos, the setting, and whether the result is zero-shot."""
        photos = f"{self.photos:,} photos"
        if self.gallery == "category":
            photos = f"their class's photos ({self.photos:,} in all)"
        manner = f"{self.convention} convention" if self.convention else f"{self.level} level"
        if self.rerank_weight is not None:
            weight = f"{self.rerank_weight:g}"
            manner += f", the first {self.shortlist:,} re-ranked by similarity and pair (weight {weight})"
        elif self.ranking in ("rerank", "rerank-plain"):
            manner += f", the first {self.shortlist:,} re-ranked pairwise"
        elif self.ranking == "exhaustive":
            manner += ", ranked by every pair"
        if self.expand is not None:
            manner += f", searched twice (expand={self.expand})"
        if self.lens is not None:
            manner += f", sketches through a lens ({self.lens})"
        listed = ", ".join(self.differences)
        differences = f"; not the published test data ({listed})" if listed else ""
        manner += _CONDITIONS[self.condition] + _SUPPORTS.get(self.support, "")
        queried = "sketches" if self.query == "sketch" else "class names (one for each sketch)"
        return (
            f"{self.queries:,} {queried} of {self.classes} class{'es' * (self.classes != 1)} against {photos}, "
            f"{manner}; {self.claim}{differences}."
        )

    def _repr_html_(self) -> str:
        from sketch_prompt import notebook

        scores = notebook.table(("metric", *self._columns()), self._percentages(), self.title)
        facts = notebook.table(("", ""), self._facts())
        return (
            f"{scores}<p>{notebook.text(self.sentence)}</p><details><summary>more</summary>{facts}</details>"
        )

    def __repr__(self) -> str:
        metrics = ", ".join(f"{name} {_percent(value)} %" for name, value in self.metrics.items())
        return f"Report({self.title}: {metrics})"

    @property
    def preprocessing_text(self) -> str:
        """The preprocessing of images in a few words. Empty if it is not known."""
        known = {
            name: value
            for name, value in self.preprocessing.items()
            if name in _SHOWN_PREPROCESSING and value
        }
        return ", ".join(_SHOWN_PREPROCESSING[name].format(value) for name, value in known.items())

    def _columns(self) -> tuple[str, ...]:
        return ("%", "95 % interval", "chance", *(("at most",) if self.ceilings else ()))

    def _percentages(self) -> list[tuple[str, ...]]:
        """A row for each metric. If the maximum of a metric is below 100 %, the row has it too."""
        rows = []
        for name, value in self.metrics.items():
            row = [
                name,
                _percent(value),
                format_interval(self.intervals.get(name)),
                _percent(self.chance[name]),
            ]
            if self.ceilings:
                row.append(_percent(self.ceilings[name]) if name in self.ceilings else "")
            rows.append(tuple(row))
        return rows

    def _class_rows(self) -> list[list[str]]:
        """A row for each class, sorted by the first metric, best first."""
        first = next(iter(self.metrics))
        ordered = sorted(self.per_class, key=lambda name: (-self.per_class[name][first], name))
        return [
            [
                name,
                f"{self.queries_per_class[name]:,}" if name in self.queries_per_class else "",
                *(_percent(self.per_class[name][metric]) for metric in self.metrics),
            ]
            for name in ordered
        ]

    def _class_table(self) -> RichTable:
        rows = self._class_rows()
        hidden = len(rows) - 2 * _LISTED_CLASSES
        title = "Classes, best first"
        if hidden > 0:
            title = f"Best and worst of {len(rows)} classes"
        table = _table(title, "class", ("sketches", *self.metrics))
        for index, row in enumerate(rows):
            if hidden <= 0 or not _LISTED_CLASSES <= index < len(rows) - _LISTED_CLASSES:
                table.add_row(*row, end_section=hidden > 0 and index == _LISTED_CLASSES - 1)
        return table

    def _left_out(self) -> str:
        return f"{len(self.unreadable)} images could not be read or searched with, and were left out"

    def _facts(self) -> list[tuple[str, str]]:
        memory = ", ".join(f"{name} {value:,.0f} MB" for name, value in self.peak_memory_mb.items())
        machine = self.environment
        facts = [("model", self.model)]
        if self.preprocessing:
            facts.append(("preprocessing", self.preprocessing_text))
        facts.append(("time", f"{self.seconds:.1f} s"))
        if self.pairs:
            facts.append(("pairs scored", f"{self.pairs:,} of {self.queries * self.photos:,}"))
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


def without_seed(recipe: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sections of a recipe without its seed."""
    return {
        section: {key: value for key, value in keys.items() if (section, key) != ("run", "seed")}
        for section, keys in recipe.items()
    }


def append_result(path: str | os.PathLike, report: Report) -> None:
    """Append the summary of a report as a line. Several processes may write to the same file."""
    append_line(path, json.dumps(report.summary(), ensure_ascii=False))


def read_results(paths: Iterable[str | os.PathLike]) -> list[dict]:
    """Read the lines of result files, in order. A line that cannot be read is skipped with a warning.

    Args:
        paths: Files, or folders with a `results.jsonl`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: None of the files holds a result.
    """
    results = []
    paths = [Path(path) / RESULTS_FILE if Path(path).is_dir() else Path(path) for path in paths]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {path}: sketch-prompt evaluate writes one (--output FOLDER or --results FILE)."
            )
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            if not line.strip():
                continue
            try:
                results.append(_read_line(line, path))
            except ValueError as error:
                warnings.warn(f"{path}, line {number} is skipped: {error}", stacklevel=2)
    if not results:
        raise ValueError(f"No result in {', '.join(map(str, paths))}.")
    return results


def _read_line(line: str, path: Path) -> dict:
    result = json.loads(line)
    if isinstance(result, dict):
        result = _with_new_keys(result, path)
    missing = [name for name in _NEEDED if not isinstance(result, dict) or name not in result]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return result


def _with_new_keys(content: dict, path: str | os.PathLike) -> dict:
    """The content of a report of any version with the keys of this version."""
    return with_new_names(content, OLD_KEYS, str(path)) if "protocol" in content else content


def format_interval(interval: list[float] | None) -> str:
    """An interval in percent, or nothing if there is none."""
    return "" if interval is None else f"{_percent(interval[0])} - {_percent(interval[1])}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _table(title: str, first: str, others: tuple[str, ...]) -> RichTable:
    table = RichTable(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
