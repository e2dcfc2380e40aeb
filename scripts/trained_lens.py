"""Is a trained lens better than the closed form? Some seeds of it against the same recipe without training.

    python scripts/trained_lens.py sketch-lens-quickdraw-caltech model.base_model=CLIP optimisation.max_steps=60

Prints mAP@all of both on the unseen classes, and the difference, paired over queries. The rule of docs/sketch_lens.md:
the trained lens stays if the difference is more than two standard errors over the seeds, and over the queries.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from lens_on_methods import difference, measure
from sketch_prompt import SketchPromptModel, load_benchmark
from sketch_prompt.embedding.tables import embed
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import train

CLOSED = ["model.train_tower=false"]


def precisions(recipe: str, overrides: list[str], folder: Path) -> np.ndarray:
    """(N,) AP@all in % of the test sketches after the recipe has run."""
    run = [
        f"run.output_dir={folder}",
        "run.progress=false",
        "evaluation.test=false",
        "evaluation.baseline=false",
    ]
    config = TrainingConfig.load(recipe, [*overrides, *run])
    train(config)
    model = SketchPromptModel.from_pretrained(folder)
    benchmark = load_benchmark(config.data.benchmark, config.data.data_dir, **config.data.options)
    tables = {
        ("test", domain): embed(model, benchmark[f"test_{domain}"], model.processor, domain, progress=False)
        for domain in ("sketch", "photo")
    }
    fit = model.config.lens_fit
    print(f"  {folder.name}: lambda {fit['penalty']}, {fit['scores']}", flush=True)
    return measure(tables["test", "sketch"].features, tables, "category")


def main() -> None:
    """Print a line for the closed form, one for every seed, and the verdict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output-dir", type=Path, help="keeps the runs, which go on if they were stopped")
    arguments = parser.parse_args()
    root = arguments.output_dir or Path(tempfile.mkdtemp(prefix="trained-lens-"))
    closed = precisions(arguments.recipe, [*arguments.overrides, *CLOSED], root / "closed")
    print(f"closed form: {closed.mean():.1f}", flush=True)
    gains = []
    for seed in range(arguments.seeds):
        trained = precisions(
            arguments.recipe,
            [*arguments.overrides, "model.train_tower=true", f"run.seed={seed}"],
            root / f"seed-{seed}",
        )
        gains.append(trained - closed)
        print(f"seed {seed}: {trained.mean():.1f} {difference(gains[-1])}", flush=True)
    means = np.array([gain.mean() for gain in gains])
    error = means.std(ddof=1) / len(means) ** 0.5 if len(means) > 1 else float("nan")
    print(
        f"over seeds: {means.mean():+.1f} ± {error:.1f}; over queries: {difference(np.mean(gains, axis=0))}"
    )


if __name__ == "__main__":
    main()
