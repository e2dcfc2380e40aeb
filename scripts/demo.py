"""From nothing to ranked photos in a few minutes on a CPU, without any download: what `make demo` runs.

Draws MiniSketch, trains CLIP-AT on its seen classes once a seed, evaluates it on the unseen ones beside the
frozen CLIP, and searches the unseen classes' photos with a drawing. Writes `results.json`
({method: {metric: value}}) and `retrieval.png`.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "hub_configs" / "clip-at-mini"
DRAWN_CLASS, DRAWN_INSTANCE = "teapot", 10_000  # an unseen class, an instance that is in no split


def train_seed(seed: int, folder: Path, steps: int):
    """Train CLIP-AT from the recipe for `steps` steps; its report on the unseen classes."""
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.loop import train

    overrides = [
        f"run.output_dir={folder}",
        f"run.seed={seed}",
        "run.resume=never",
        f"optimisation.max_steps={steps}",
        "data.validation_classes=0",  # the number of steps is fixed, so there is nothing to choose
        "data.num_workers=0",
    ]
    return train(TrainingConfig.load(RECIPE, overrides)).test


def own_drawing(path: Path | None) -> tuple[Image.Image, str | None]:
    """The drawing to search with, and its class if it is known."""
    if path is not None:
        return Image.open(path), None
    from sketch_prompt.data.minisketch.generator import MiniSketch

    return MiniSketch().sketch(DRAWN_CLASS, DRAWN_INSTANCE), DRAWN_CLASS


def search(model, processor, drawing: Image.Image, name: str | None, benchmark, photos):
    """The ten photos nearest to `drawing` as a picture, right ones framed."""
    import torch

    from sketch_prompt.retrieval.figures import plot_ranking
    from sketch_prompt.retrieval.ranking import rank

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


def summarise(frozen, trained: list) -> dict[str, dict[str, float]]:
    """Metrics of every method, those of a trained one as mean and standard deviation over the seeds."""
    clip_at = {}
    for metric in frozen.metrics:
        values = [report.metrics[metric] for report in trained]
        clip_at[metric] = statistics.mean(values)
        if len(values) > 1:
            clip_at[f"{metric} std"] = statistics.stdev(values)
    return {"chance": frozen.chance, "frozen-clip": frozen.metrics, "clip-at": clip_at}


def print_table(results: dict[str, dict[str, float]], seeds: int) -> None:
    """The results as a table, in percent."""
    from rich.console import Console
    from rich.table import Table

    metrics = list(results["frozen-clip"])
    table = Table("method", *metrics, title=f"MiniSketch, 12 unseen classes, {seeds} seeds, percent")
    for method, values in results.items():
        cells = []
        for metric in metrics:
            spread = values.get(f"{metric} std")
            cells.append(
                f"{100 * values[metric]:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")
            )
        table.add_row(method, *cells)
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
    parser.add_argument("--seeds", type=int, default=3, help="training runs")
    parser.add_argument("--steps", type=int, default=60, help="training steps of each run")
    arguments = parser.parse_args()
    start = time.perf_counter()

    import torch

    from sketch_prompt import SketchPromptModel, load_benchmark
    from sketch_prompt.atomic import atomic_write
    from sketch_prompt.evaluation import embed, evaluate_model
    from sketch_prompt.evaluation.environment import peak_memory
    from sketch_prompt.retrieval.figures import save_figure

    arguments.output.mkdir(parents=True, exist_ok=True)
    benchmark = load_benchmark("mini")
    baseline = SketchPromptModel.from_pretrained("mini-frozen-clip")
    frozen = evaluate_model(baseline, baseline.processor, benchmark, "mini")
    trained = []
    for seed in range(arguments.seeds):
        print(f"CLIP-AT, seed {seed} of {arguments.seeds}", file=sys.stderr)
        trained.append(train_seed(seed, arguments.output / f"clip-at-seed{seed}", arguments.steps))
    results = summarise(frozen, trained)
    with atomic_write(arguments.output / "results.json") as temporary:
        temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")

    drawing, name = own_drawing(arguments.drawing)
    model = SketchPromptModel.from_pretrained(arguments.output / "clip-at-seed0")
    photos = embed(model, benchmark["test_photo"], model.processor, "photo")
    figure = search(model, model.processor, drawing, name, benchmark, photos)
    save_figure(figure, arguments.output / "retrieval.png")

    print_table(results, arguments.seeds)
    gain = results["clip-at"]["mAP@all"] - results["frozen-clip"]["mAP@all"]
    spread = results["clip-at"].get("mAP@all std")
    beside = f", {gain / spread:.1f} times the standard deviation over the seeds" if spread else ""
    print(f"CLIP-AT is {100 * gain:.1f} points of mAP@all above the frozen CLIP{beside}.")
    print(
        f"{time.perf_counter() - start:.0f} s, peak memory {peak_memory(torch.device('cpu'))['process']:.0f} MB."
    )
    print(f"Wrote {arguments.output / 'results.json'} and {arguments.output / 'retrieval.png'}.")


if __name__ == "__main__":
    main()
