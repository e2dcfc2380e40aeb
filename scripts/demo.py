"""From nothing to ranked photos in a few minutes on a CPU, without any download: what `make demo` runs.

Trains on the seen classes of a bundled benchmark once a seed, evaluates on the unseen ones beside the frozen CLIP, and
searches the unseen classes' photos with drawings of them. Writes `results.json` ({method: {metric: value}}) and
`retrieval.png`.

The benchmark is `quickdraw-caltech`, real drawings and real photos; or, with `--benchmark mini`, MiniSketch, which
the package draws. With `--all` every recipe for it is trained, at category or at instance level as it says, and each
level has a table of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from sketch_prompt.training.config import TrainingConfig

LEVELS = ("category", "instance")
DEFAULT = "quickdraw-caltech"
# What is trained where not every recipe is, and what is drawn: classes that no recipe trains on.
QUICK = {"quickdraw-caltech": ("clip-at", "sketch-lens"), "mini": ("clip-at",)}
DRAWN = {"quickdraw-caltech": ("pizza", "helicopter", "camera", "flamingo"), "mini": ("teapot",)}


def load_recipes(benchmark: str, everything: bool) -> dict[str, TrainingConfig]:
    """The recipes to train by the names of their rows: the quick ones, or all there are for the benchmark."""
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.recipe import recipe_folders

    quick = [f"{method}-{benchmark}" for method in QUICK[benchmark]]
    names = sorted(recipe_folders()) if everything else quick
    recipes = {name: TrainingConfig.load(name) for name in names}
    return {
        name.replace(f"-{benchmark}", ""): recipe
        for name, recipe in recipes.items()
        if recipe.data.benchmark == benchmark
    }


def frozen_clip(recipe: TrainingConfig):
    """The CLIP of a recipe as it is, with the pictures that the recipe's model is shown."""
    from sketch_prompt import SketchPromptModel, SketchPromptProcessor

    base = recipe.model.base_model
    model = SketchPromptModel.from_base_model("frozen-clip", base)
    model.processor = SketchPromptProcessor.from_base_model(base, **recipe.processor)
    return model


def train_seed(name: str, recipe: TrainingConfig, seed: int, folder: Path, steps: int):
    """Train a recipe for `steps` steps, or fit its lens; its report on the unseen classes."""
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.loop import train

    print(f"{name}, seed {seed}", file=sys.stderr)
    sections = recipe.to_dict()
    sections["run"] |= {"output_dir": str(folder), "seed": seed, "resume": "never"}
    sections["optimisation"]["max_steps"] = steps
    # The number of steps is fixed, so there is nothing to choose.
    sections["data"] |= {"validation_classes": 0, "num_workers": 0}
    return train(TrainingConfig.from_dict(sections)).test


def own_drawings(
    path: Path | None, benchmark, classes: Iterable[str]
) -> list[tuple[Image.Image, str | None]]:
    """The drawings to search with, each with its class if that is known: a file, or one of each of the classes."""
    if path is not None:
        return [(Image.open(path), None)]
    table = benchmark["test_sketch"]
    labels, names = table["label"][:], table.features["label"].names
    return [(table[labels.index(names.index(name))]["image"], name) for name in classes]


def search(model, drawings: list[tuple[Image.Image, str | None]], benchmark):
    """The ten photos nearest to each drawing as a picture, right ones framed."""
    import torch

    from sketch_prompt.evaluation import embed
    from sketch_prompt.metrics import FeatureScores
    from sketch_prompt.metrics.ranking import rank
    from sketch_prompt.plotting import RankedQuery, plot_rankings

    photos = embed(model, benchmark["test_photo"], model.processor, "photo")
    names = benchmark["test_photo"].features["label"].names
    inputs = model.processor(sketches=[drawing for drawing, _ in drawings])
    with torch.inference_mode():
        features = model.get_sketch_features(inputs["sketch_pixel_values"])
    found = rank(FeatureScores(features.numpy(), photos.features), 10)
    rows = []
    for (drawing, name), places, scores in zip(drawings, found.indices, found.scores):
        titles = [names[label] for label in photos.labels[places]]
        rows.append(
            RankedQuery(
                drawing,
                [benchmark["test_photo"][int(row)]["image"] for row in photos.rows[places]],
                correct=None if name is None else [title == name for title in titles],
                scores=scores.tolist(),
                titles=titles,
                query_title=f"drawing: {name}" if name else "your drawing",
            )
        )
    return plot_rankings(rows)


def summarise(reports: list) -> dict[str, float]:
    """Means over the reports of all seeds: of the metrics and of their 95 % intervals; and standard deviations."""
    summary = {}
    for metric in reports[0].metrics:
        values = [report.metrics[metric] for report in reports]
        summary[metric] = statistics.mean(values)
        if len(values) > 1:
            summary[f"{metric} std"] = statistics.stdev(values)
        edges = [report.intervals[metric] for report in reports if metric in report.intervals]
        if edges:
            low, high = (statistics.mean(edge) for edge in zip(*edges))
            summary |= {f"{metric} low": low, f"{metric} high": high}
    return summary


def print_table(results: dict[str, dict[str, float]], metrics: list[str], title: str) -> None:
    """The rows that have these metrics as a table, in percent.

    Beside them: the interval of the first metric over other queries, and its distance from the frozen CLIP.
    """
    from rich.console import Console
    from rich.table import Column, Table

    first = metrics[0]
    narrow = [Column(name, no_wrap=True) for name in ("method", "95 % interval")]
    table = Table(narrow[0], *metrics, narrow[1], f"{first} above frozen", title=title)
    for name, values in results.items():
        if first not in values:
            continue
        spreads = [values.get(f"{metric} std") for metric in metrics]
        cells = [
            f"{100 * values[metric]:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")
            for metric, spread in zip(metrics, spreads)
        ]
        gain = values[first] - results["frozen-clip"][first]
        above = f"{100 * gain:+.1f}" + (f", {gain / spreads[0]:.1f} std" if spreads[0] else "")
        edges = [values[edge] for edge in (f"{first} low", f"{first} high") if edge in values]
        interval = " - ".join(f"{100 * edge:.1f}" for edge in edges)
        table.add_row(name, *cells, interval, "" if name in ("chance", "frozen-clip") else above)
    Console().print(table)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder to write")
    parser.add_argument("--benchmark", choices=list(QUICK), default=DEFAULT, help="what to train and test on")
    parser.add_argument("--drawing", type=Path, help="search with this picture instead of the benchmark's")
    parser.add_argument("--all", action="store_true", help="train every recipe for the benchmark")
    parser.add_argument("--seeds", type=int, default=3, help="training runs of each recipe")
    parser.add_argument("--steps", type=int, default=60, help="training steps of each run")
    arguments = parser.parse_args()
    start = time.perf_counter()

    import torch

    from sketch_prompt import SketchPromptModel, load_benchmark
    from sketch_prompt.atomic import atomic_write
    from sketch_prompt.evaluation import Task, evaluate_model
    from sketch_prompt.evaluation.environment import peak_memory
    from sketch_prompt.plotting import save_figure

    arguments.output.mkdir(parents=True, exist_ok=True)
    benchmark = load_benchmark(arguments.benchmark)
    recipes = load_recipes(arguments.benchmark, arguments.all)
    levels = [level for level in LEVELS if level in {recipe.data.level for recipe in recipes.values()}]
    baseline = frozen_clip(recipes["clip-at"])
    frozen = {
        level: evaluate_model(
            baseline, baseline.processor, benchmark, Task(arguments.benchmark, level)
        ).report
        for level in levels
    }
    results: dict[str, dict[str, float]] = {"chance": {}, "frozen-clip": {}}
    for report in frozen.values():
        results["chance"] |= report.chance
        results["frozen-clip"] |= summarise([report])
    for name, recipe in recipes.items():
        # A lens in closed form is the same with every seed.
        seeds = 1 if recipe.model.method == "sketch-lens" else arguments.seeds
        folders = [arguments.output / f"{name}-seed{seed}" for seed in range(seeds)]
        results[name] = summarise(
            [train_seed(name, recipe, seed, folder, arguments.steps) for seed, folder in enumerate(folders)]
        )
        with atomic_write(arguments.output / "results.json") as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")

    shown = "sketch-lens" if "sketch-lens" in results else "clip-at"
    model = SketchPromptModel.from_pretrained(arguments.output / f"{shown}-seed0")
    drawings = own_drawings(arguments.drawing, benchmark, DRAWN[arguments.benchmark])
    figure = search(model, drawings, benchmark)
    save_figure(figure, arguments.output / "retrieval.png")

    unseen = len(set(benchmark["test_sketch"]["label"][:]))
    for level in levels:
        title = f"{arguments.benchmark}, {unseen} unseen classes, {level} level, seeds: {arguments.seeds}, percent"
        print_table(results, list(frozen[level].metrics)[:3], title)
    print(
        f"{time.perf_counter() - start:.0f} s, peak memory {peak_memory(torch.device('cpu'))['process']:.0f} MB."
    )
    print(f"Wrote {arguments.output / 'results.json'} and {arguments.output / 'retrieval.png'}.")


if __name__ == "__main__":
    main()
