"""What a lens adds on top of trained methods: plain, centred and with a lens, as a Markdown table.

    python scripts/lens_on_methods.py mini mini-clip-at mini-splip mini-dp-clip mini-zse-sbir
    python scripts/lens_on_methods.py sketchy-21 RUN... --data-dir SKETCHY

The lens is fitted on the benchmark's seen classes, of which a checkpoint may have held out some to choose itself by.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch

from sketch_prompt import load_benchmark
from sketch_prompt.embedding.conditioning import conditioned
from sketch_prompt.embedding.tables import embed
from sketch_prompt.evaluation import Task
from sketch_prompt.lens import fit_features
from sketch_prompt.metrics import FeatureScores, retrieval_details
from sketch_prompt.models.loading import load_model


def embed_splits(model, processor, benchmark, condition: str) -> dict:
    """Features of the four splits, each under its own classes for a method with conditions."""
    tables = {}
    for part in ("train", "test"):
        pair = {f"test_{domain}": benchmark[f"{part}_{domain}"] for domain in ("sketch", "photo")}
        with conditioned(model, processor, pair, condition, progress=False) as conditions:
            for domain in ("sketch", "photo"):
                tables[part, domain] = embed(
                    model, pair[f"test_{domain}"], processor, domain, conditions=conditions, progress=False
                )
    return tables


def average_precisions(queries: np.ndarray, tables: dict) -> np.ndarray:
    """(N,) of the test sketches over all test photos."""
    sketches, photos = tables["test", "sketch"], tables["test", "photo"]
    details = retrieval_details(
        FeatureScores(queries, photos.features), sketches.labels, photos.labels, ks=(1,), progress=False
    )
    return 100 * details.values["AP@all"]


def row(name: str, base_model: str | None, benchmark, condition: str) -> str:
    """The line of one checkpoint."""
    model, processor = load_model(name, base_model)
    model.set_lens(None)
    tables = embed_splits(model, processor, benchmark, condition)
    sketches, photos, test = (
        tables[key] for key in (("train", "sketch"), ("train", "photo"), ("test", "sketch"))
    )
    names = benchmark["train_sketch"].features["label"].names
    lens = fit_features(
        sketches.features, sketches.labels, names, photos=photos.features, photo_labels=photos.labels
    )
    plain = average_precisions(test.features, tables)
    cells = [f"{plain.mean():.1f}"]
    for variant in (replace(lens, map=None), lens):
        gain = average_precisions(variant(torch.from_numpy(test.features)).numpy(), tables) - plain
        error = gain.std(ddof=1) / len(gain) ** 0.5
        cells.append(f"{(plain + gain).mean():.1f} ({gain.mean():+.1f} ± {error:.1f})")
    return f"| `{model.method}` | {' | '.join(cells)} | {lens.penalty:g} |"


def main() -> None:
    """Print a row for every checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="checkpoints")
    parser.add_argument("--data-dir")
    parser.add_argument("--base-model")
    parser.add_argument("--condition", default=Task("mini").condition, help="for dp-clip")
    arguments = parser.parse_args()
    benchmark = load_benchmark(arguments.benchmark, arguments.data_dir)
    print("| | plain | centred | lens | lambda |\n| --- | --- | --- | --- | --- |")
    for name in arguments.models:
        print(row(name, arguments.base_model, benchmark, arguments.condition), flush=True)


if __name__ == "__main__":
    main()
