"""What a lens adds on top of trained methods: plain, centred and with a lens, as a Markdown table.

    python scripts/lens_on_methods.py mini mini-clip-at mini-splip mini-dp-clip mini-zse-sbir
    python scripts/lens_on_methods.py sketchy-21 RUN... --data-dir SKETCHY
    python scripts/lens_on_methods.py sketchy-fg RUN... --data-dir SKETCHY --level instance

At category level mAP@all, at instance level Acc@1 among the photos of the class.

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
from sketch_prompt.metrics import FeatureScores, instance_details, instance_ranks, retrieval_details
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


def measure(queries: np.ndarray, tables: dict, level: str) -> np.ndarray:
    """(N,) of the test sketches: AP over all test photos, or whether their own photo is the first of its class."""
    sketches, photos = tables["test", "sketch"], tables["test", "photo"]
    scores = FeatureScores(queries, photos.features)
    if level == "category":
        details = retrieval_details(scores, sketches.labels, photos.labels, ks=(1,), progress=False)
        return 100 * details.values["AP@all"]
    keys = [[f"{label}/{name}" for label, name in zip(t.labels, t.instance_ids)] for t in (sketches, photos)]
    ranks = instance_ranks(scores, *keys, sketches.labels, photos.labels)
    return 100 * instance_details(ranks, sketches.labels, (1,)).values["Acc@1"]


def difference(gain: np.ndarray) -> str:
    """A mean with its standard error, paired over queries."""
    return f"({gain.mean():+.1f} ± {gain.std(ddof=1) / len(gain) ** 0.5:.1f})"


def row(name: str, base_model: str | None, benchmark, condition: str, level: str) -> str:
    """The line of one checkpoint."""
    model, processor = load_model(name, base_model)
    model.set_lens(None)
    tables = embed_splits(model, processor, benchmark, condition)
    sketches, photos, test = (
        tables[key] for key in (("train", "sketch"), ("train", "photo"), ("test", "sketch"))
    )
    lens = fit_features(
        sketches.features,
        sketches.labels,
        benchmark["train_sketch"].features["label"].names,
        "photos" if level == "category" else "instances",
        photos=photos.features,
        photo_labels=photos.labels,
        instance_ids=sketches.instance_ids,
        photo_instance_ids=photos.instance_ids,
    )
    plain = measure(test.features, tables, level)
    cells = [f"{plain.mean():.1f}"]
    for variant in (replace(lens, map=None), lens):
        gain = measure(variant(torch.from_numpy(test.features)).numpy(), tables, level) - plain
        cells.append(f"{(plain + gain).mean():.1f} {difference(gain)}")
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
    parser.add_argument("--level", choices=["category", "instance"], default="category")
    parser.add_argument("--condition", help="for dp-clip; by default that of the level")
    arguments = parser.parse_args()
    benchmark = load_benchmark(arguments.benchmark, arguments.data_dir)
    condition = arguments.condition or Task(arguments.benchmark, arguments.level).condition
    print("| | plain | centred | lens | lambda |\n| --- | --- | --- | --- | --- |")
    for name in arguments.models:
        print(row(name, arguments.base_model, benchmark, condition, arguments.level), flush=True)


if __name__ == "__main__":
    main()
