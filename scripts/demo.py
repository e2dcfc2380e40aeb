"""From nothing to ranked photos in a few minutes on a CPU, without any download: what `make demo` runs.

Draws MiniSketch, trains CLIP-AT on its seen classes once a seed, evaluates it on the unseen ones beside the
frozen CLIP, and searches the unseen classes' photos with a drawing. Writes `results.json`
({method: {metric: value}}) and `retrieval.png`.

With `--all` every recipe for MiniSketch is trained, at category or at instance level as it says,
and each level has a table of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from sketch_prompt.training.config import TrainingConfig

QUICK = ("clip-at-mini",)
LEVELS = ("category", "instance")
DRAWN_CLASS, DRAWN_INSTANCE = "teapot", 10_000  # an unseen class, an instance that is in no split


def load_recipes(everything: bool) -> dict[str, TrainingConfig]:
    """The recipes to train by the names of their rows: the quick one, or all there are for MiniSketch."""
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.recipe import recipe_folders

    names = sorted(recipe_folders()) if everything else QUICK
    recipes = {name: TrainingConfig.load(name) for name in names}
    return {
        name.replace("-mini", ""): recipe
        for name, recipe in recipes.items()
        if recipe.data.benchmark == "mini"
    }


def train_seed(name: str, recipe: TrainingConfig, seed: int, folder: Path, steps: int):
    """Train a recipe for `steps` steps; its report on the unseen classes."""
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.loop import train

    print(f"{name}, seed {seed}", file=sys.stderr)
    sections = recipe.to_dict()
    sections["run"] |= {"output_dir": str(folder), "seed": seed, "resume": "never"}
    sections["optimisation"]["max_steps"] = steps
    # The number of steps is fixed, so there is nothing to choose.
    sections["data"] |= {"validation_classes": 0, "num_workers": 0}
    return train(TrainingConfig.from_dict(sections)).test


def own_drawing(path: Path | None) -> tuple[Image.Image, str | None]:
    """The drawing to search with, and its class if it is known."""
    if path is not None:
        return Image.open(path), None
    from sketch_prompt.data.minisketch.generator import MiniSketch

    return MiniSketch().sketch(DRAWN_CLASS, DRAWN_INSTANCE), DRAWN_CLASS


def search(model, processor, drawing: Image.Image, name: str | None, benchmark, photos):
    """The ten photos nearest to `drawing` as a picture, right ones framed."""
    import torch

    from sketch_prompt.metrics.ranking import rank
    from sketch_prompt.plotting import plot_ranking

    with torch.inference_mode():
        features = model.get_sketch_features(processor(sketches=drawing)["sketch_pixel_values"])
    found = rank(features.numpy(), photos.features, 10)
    rows, scores = photos.rows[found.indices[0]], found.scores[0]
    names = benchmark["test_photo"].features["label"].names
    titles = [names[label] for label in photos.labels[found.indices[0]]]
    return plot_ranking(
        drawing,
        [benchmark["test_photo"][int(row)]["image"] for row in rows],
        correct=None if name is None else [title == name for title in titles],
        scores=scores.tolist(),
        titles=titles,
        query_title=f"drawing: {name}" if name else "your drawing",
    )


def summarise(reports: list) -> dict[str, float]:
    """Metrics of one report, or their means and standard deviations over those of several seeds."""
    summary = {}
    for metric in reports[0].metrics:
        values = [report.metrics[metric] for report in reports]
        summary[metric] = statistics.mean(values)
        if len(values) > 1:
            summary[f"{metric} std"] = statistics.stdev(values)
    return summary


def print_table(results: dict[str, dict[str, float]], metrics: list[str], title: str) -> None:
    """The rows that have these metrics as a table, in percent, with their distance from the frozen CLIP."""
    from rich.console import Console
    from rich.table import Table

    first = metrics[0]
    table = Table("method", *metrics, f"{first} above frozen", title=title)
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
        table.add_row(name, *cells, "" if name in ("chance", "frozen-clip") else above)
    Console().print(table)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder to write")
    parser.add_argument(
        "--drawing", type=Path, help="search with this picture instead of a generated drawing"
    )
    parser.add_argument("--all", action="store_true", help="train every recipe for MiniSketch")
    parser.add_argument("--seeds", type=int, default=3, help="training runs of each recipe")
    parser.add_argument("--steps", type=int, default=60, help="training steps of each run")
    arguments = parser.parse_args()
    start = time.perf_counter()

    import torch

    from sketch_prompt import SketchPromptModel, load_benchmark
    from sketch_prompt.atomic import atomic_write
    from sketch_prompt.evaluation import Task, embed, evaluate_model
    from sketch_prompt.evaluation.environment import peak_memory
    from sketch_prompt.plotting import save_figure

    arguments.output.mkdir(parents=True, exist_ok=True)
    benchmark, recipes = load_benchmark("mini"), load_recipes(arguments.all)
    levels = [level for level in LEVELS if level in {recipe.data.level for recipe in recipes.values()}]
    baseline = SketchPromptModel.from_pretrained("mini-frozen-clip")
    frozen = {
        level: evaluate_model(baseline, baseline.processor, benchmark, Task("mini", level)).report
        for level in levels
    }
    results: dict[str, dict[str, float]] = {"chance": {}, "frozen-clip": {}}
    for report in frozen.values():
        results["chance"] |= report.chance
        results["frozen-clip"] |= report.metrics
    for name, recipe in recipes.items():
        folders = [arguments.output / f"{name}-seed{seed}" for seed in range(arguments.seeds)]
        results[name] = summarise(
            [train_seed(name, recipe, seed, folder, arguments.steps) for seed, folder in enumerate(folders)]
        )
        with atomic_write(arguments.output / "results.json") as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")

    drawing, name = own_drawing(arguments.drawing)
    model = SketchPromptModel.from_pretrained(arguments.output / "clip-at-seed0")
    photos = embed(model, benchmark["test_photo"], model.processor, "photo")
    figure = search(model, model.processor, drawing, name, benchmark, photos)
    save_figure(figure, arguments.output / "retrieval.png")

    for level in levels:
        title = f"MiniSketch, 12 unseen classes, {level} level, seeds: {arguments.seeds}, percent"
        print_table(results, list(frozen[level].metrics), title)
    print(
        f"{time.perf_counter() - start:.0f} s, peak memory {peak_memory(torch.device('cpu'))['process']:.0f} MB."
    )
    print(f"Wrote {arguments.output / 'results.json'} and {arguments.output / 'retrieval.png'}.")


if __name__ == "__main__":
    main()
