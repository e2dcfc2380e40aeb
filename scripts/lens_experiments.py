"""What the sketch lens adds to a frozen CLIP: the tables and the plot of docs/sketch_lens.md, as Markdown.

    python scripts/lens_experiments.py --base-model CLIP --sketchy DIR --caltech DIR --quickdraw DIR \
        --split SPLIT.yaml --shoes DIR --cache FOLDER --plot docs/sketch_lens_classes.png

Sketches are prepared alike everywhere: cropped to the drawing, lines thickened for a CLIP of few pixels. Features are
computed once and kept in FOLDER. Whatever is chosen is chosen on seen classes; unseen ones are only measured on.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sketch_prompt import SketchPromptModel, SketchPromptProcessor, load_benchmark
from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.doodles import read_doodles
from sketch_prompt.data.strokes import rasterize
from sketch_prompt.embedding.tables import embed
from sketch_prompt.expansion import expand_queries
from sketch_prompt.lens import Lens, fit_features
from sketch_prompt.metrics import instance_details, instance_ranks, retrieval_details
from sketch_prompt.metrics.pair_scores import FeatureScores

SPLITS = ("train_sketch", "train_photo", "test_sketch", "test_photo")
EXPAND = 5


@dataclass
class Table:
    """Features of a split: (N, D), class numbers, names of the instances."""

    x: np.ndarray
    y: np.ndarray
    ids: np.ndarray

    def take(self, rows) -> "Table":
        """Some of its rows."""
        return Table(self.x[rows], self.y[rows], self.ids[rows])


@dataclass
class Setting:
    """What a lens is fitted on and what is searched: four tables, the classes' names and their texts."""

    train_sketch: Table
    train_photo: Table
    test_sketch: Table
    test_photo: Table
    names: np.ndarray
    texts: np.ndarray

    def fit(self, targets: str, penalty: float | None = None, labels=None, ambiguity: bool = False) -> Lens:
        """A lens on the seen classes; with other labels of the sketches for the control."""
        return fit_features(
            self.train_sketch.x,
            self.train_sketch.y if labels is None else labels,
            self.names,
            targets,
            photos=self.train_photo.x,
            photo_labels=self.train_photo.y,
            texts=self.texts,
            instance_ids=self.train_sketch.ids,
            photo_instance_ids=self.train_photo.ids,
            penalty=penalty,
            ambiguity=ambiguity,
        )

    def only_classes(self, classes) -> "Setting":
        """With the sketches and photos of some seen classes to learn from."""
        train = {
            name: getattr(self, name).take(np.isin(getattr(self, name).y, classes)) for name in SPLITS[:2]
        }
        return replace(self, **train)


def through(lens: Lens | None, x: np.ndarray) -> np.ndarray:
    """Queries of a lens; None is the frozen CLIP."""
    return x if lens is None else lens(torch.from_numpy(x)).numpy()


def centred(lens: Lens) -> Lens:
    """The same lens without its map."""
    return replace(lens, map=None)


def precisions(setting: Setting, queries: np.ndarray, photos: np.ndarray | None = None) -> np.ndarray:
    """(N,) average precision of every query over all photos."""
    photos = setting.test_photo.x if photos is None else photos
    labels = setting.test_sketch.y, setting.test_photo.y
    return retrieval_details(FeatureScores(queries, photos), *labels, ks=(1,), progress=False).values[
        "AP@all"
    ]


def expanded(queries: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """The queries of a second search."""
    first = np.argsort(-(queries @ photos.T), axis=1, kind="stable")[:, :EXPAND]
    return expand_queries(queries, photos[first], photos.mean(0))


def cell(scores: np.ndarray, baseline: np.ndarray | None = None) -> str:
    """`mean` in %, with the paired difference to the baseline and its standard error over queries."""
    text = f"{100 * scores.mean():.1f}"
    if baseline is None:
        return text
    gain = scores - baseline
    return f"{text} ({100 * gain.mean():+.1f} ± {100 * gain.std(ddof=1) / len(gain) ** 0.5:.1f})"


def print_table(columns: list[str], rows: dict[str, list[str]]) -> None:
    """Print a Markdown table."""
    print("| | " + " | ".join(columns) + " |")
    print("| --- " * (len(columns) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(flush=True)


class Features:
    """Features of benchmarks and doodles, computed once and kept in a folder."""

    def __init__(self, base_model: str, cache: Path, **processor):
        self.cache = cache
        self.model = SketchPromptModel.from_base_model("frozen-clip", base_model).eval()
        self.processor = SketchPromptProcessor.from_base_model(base_model, **processor)

    def benchmark(self, key: str, name: str, data_dir: Path | None = None, **options) -> Setting:
        """The four tables of a benchmark."""
        arrays = self._kept(key, lambda: self._embed(load_benchmark(name, data_dir, **options)))
        tables = {
            split: Table(*(arrays[f"{split}_{column}"] for column in ("x", "y", "i"))) for split in SPLITS
        }
        return Setting(**tables, names=arrays["names"], texts=arrays["texts"])

    def doodles(self, key: str) -> dict[str, np.ndarray]:
        """Features x and labels y of the bundled doodles, the names and texts of their classes."""
        return self._kept(key, self._embed_doodles)

    def _kept(self, key: str, compute: Callable[[], dict]) -> dict[str, np.ndarray]:
        file = self.cache / f"{key}.npz"
        if not file.is_file():
            self.cache.mkdir(parents=True, exist_ok=True)
            np.savez(file, **compute())
        return dict(np.load(file))

    def _embed(self, benchmark) -> dict[str, np.ndarray]:
        arrays = {}
        for split in SPLITS:
            table = embed(self.model, benchmark[split], self.processor, split.split("_")[1], progress=False)
            arrays |= {
                f"{split}_x": table.features,
                f"{split}_y": table.labels,
                f"{split}_i": table.instance_ids,
            }
        names = benchmark["test_sketch"].features["label"].names
        return arrays | {"names": np.array(names), "texts": self._texts(names)}

    @torch.inference_mode()
    def _embed_doodles(self) -> dict[str, np.ndarray]:
        doodles = read_doodles()
        names = sorted({doodle.class_name for doodle in doodles})
        numbers = {name: number for number, name in enumerate(names)}
        features = []
        for start in range(0, len(doodles), 64):
            pictures = [rasterize(doodle.strokes).convert("RGB") for doodle in doodles[start : start + 64]]
            pixels = torch.stack([self.processor.preprocess(picture, "sketch") for picture in pictures])
            features.append(self.model.get_sketch_features(pixels).numpy())
        labels = np.array([numbers[doodle.class_name] for doodle in doodles])
        return {
            "x": np.concatenate(features),
            "y": labels,
            "names": np.array(names),
            "texts": self._texts(names),
        }

    @torch.inference_mode()
    def _texts(self, names) -> np.ndarray:
        return self.model.embed_classes([name.replace("_", " ") for name in names], self.processor).numpy()


def doodle_lens(doodles: dict[str, np.ndarray], setting: Setting) -> Lens:
    """A lens of the doodles and their classes' texts, without the classes that are tested on."""
    tested = {class_key(name) for name in setting.names[np.unique(setting.test_sketch.y)]}
    kept = [n for n, name in enumerate(doodles["names"]) if class_key(str(name)) not in tested]
    rows = np.isin(doodles["y"], kept)
    labels = np.searchsorted(kept, doodles["y"][rows])
    return fit_features(
        doodles["x"][rows], labels, doodles["names"][kept], "text", texts=doodles["texts"][kept]
    )


def category_table(settings: dict[str, Setting], doodles: dict[str, dict]) -> None:
    """The main table: every kind of fit, two-pass search, the control."""
    rows: dict[str, list[str]] = {}
    for name, setting in settings.items():
        q, p = setting.test_sketch.x, setting.test_photo.x
        frozen = precisions(setting, q)

        def add(row, queries, baseline=frozen, setting=setting):
            rows.setdefault(row, []).append(cell(precisions(setting, queries), baseline))

        add("frozen", q, None)
        add("frozen, `expand=5`", expanded(q, p))
        lenses = {kind: setting.fit(kind) for kind in ("photos", "both", "text")}
        photos = lenses["photos"]
        add("centred: `none`", through(centred(photos), q))
        for kind, lens in lenses.items():
            add(f"lens: `{kind}`", through(lens, q))
        add("lens: `photos`, `expand=5`", expanded(through(photos, q), p))
        control = []
        seen = np.unique(setting.train_sketch.y)
        for seed in range(3):
            turn = dict(zip(seen, np.random.default_rng(seed).permutation(seen)))
            shuffled = np.array([turn[label] for label in setting.train_sketch.y])
            penalty = photos.penalty if np.isfinite(photos.penalty) else 3.0
            lens = setting.fit("photos", penalty, shuffled)
            control.append(100 * precisions(setting, through(lens, q)).mean())
        rows.setdefault("control: `photos` of other classes, 3 seeds", []).append(
            ", ".join(f"{score:.1f}" for score in control)
        )
        alone = doodle_lens(doodles[name], setting)
        add("bundled doodles, no photos: centred", through(centred(alone), q))
        add("bundled doodles, no photos: `text`", through(alone, q))
        add("bundled doodles, no photos: `text`, `expand=5`", expanded(through(alone, q), p))
        rows.setdefault("lambda of `photos`, `both`, `text`; doodles", []).append(
            ", ".join(f"{lens.penalty:g}" for lens in lenses.values()) + f"; {alone.penalty:g}"
        )
    print_table(list(settings), rows)


def transfer_table(settings: dict[str, tuple[Setting, Setting]]) -> None:
    """A lens of one benchmark on another one's test data, without the classes that it was fitted on."""
    rows: dict[str, list[str]] = {}
    for fitted, tested in settings.values():
        seen = {class_key(fitted.names[label]) for label in np.unique(fitted.train_sketch.y)}
        left = [n for n in np.unique(tested.test_sketch.y) if class_key(tested.names[n]) not in seen]
        sketches = tested.test_sketch.take(np.isin(tested.test_sketch.y, left))
        photos = tested.test_photo.take(np.isin(tested.test_photo.y, left))
        setting = replace(fitted, test_sketch=sketches, test_photo=photos)
        frozen = precisions(setting, sketches.x)
        lens = setting.fit("photos")
        rows.setdefault("queries x photos", []).append(f"{len(sketches.x)} x {len(photos.x)}")
        rows.setdefault("frozen", []).append(cell(frozen))
        for row, queries in {
            "centred": through(centred(lens), sketches.x),
            "lens: `photos`": through(lens, sketches.x),
            "lens: `photos`, `expand=5`": expanded(through(lens, sketches.x), photos.x),
        }.items():
            rows.setdefault(row, []).append(cell(precisions(setting, queries), frozen))
    print_table(list(settings), rows)


def gzs(setting: Setting, benchmark) -> Setting:
    """The generalised setting: a fifth of the seen photos in the gallery, and out of the fit."""
    train = benchmark["train_photo"].select_columns(["label", "instance_id"])[:]
    kept = {f"{label}/{instance}" for label, instance in zip(train["label"], train["instance_id"])}
    names = [f"{label}/{instance}" for label, instance in zip(setting.train_photo.y, setting.train_photo.ids)]
    inside = np.isin(names, list(kept))
    moved, old = setting.train_photo.take(~inside), setting.test_photo
    gallery = Table(*(np.concatenate([getattr(old, c), getattr(moved, c)]) for c in ("x", "y", "ids")))
    return replace(setting, train_photo=setting.train_photo.take(inside), test_photo=gallery)


def gzs_table(settings: dict[str, Setting]) -> None:
    """Frozen, centred and with a lens where photos of seen classes are in the gallery."""
    rows: dict[str, list[str]] = {}
    for setting in settings.values():
        q = setting.test_sketch.x
        frozen, lens = precisions(setting, q), setting.fit("photos")
        rows.setdefault("frozen", []).append(cell(frozen))
        for row, queries in {
            "centred": through(centred(lens), q),
            "lens: `photos`": through(lens, q),
            "lens: `photos`, `expand=5`": expanded(through(lens, q), setting.test_photo.x),
        }.items():
            rows.setdefault(row, []).append(cell(precisions(setting, queries), frozen))
    print_table(list(settings), rows)


def instance_table(settings: dict[str, Setting]) -> None:
    """Acc@1 and Acc@5 of a sketch searching the photos of its class."""
    rows: dict[str, list[str]] = {}
    for setting in settings.values():
        sketches, photos = setting.test_sketch, setting.test_photo
        keys = [np.char.add(np.char.add(t.y.astype(str), "/"), t.ids.astype(str)) for t in (sketches, photos)]

        def hits(queries, k, sketches=sketches, photos=photos, keys=keys):
            ranks = instance_ranks(FeatureScores(queries, photos.x), *keys, sketches.y, photos.y)
            return instance_details(ranks, sketches.y, (k,)).values[f"Acc@{k}"].astype(float)

        lenses = {kind: setting.fit(kind) for kind in ("instances", "photos")}
        found = {"frozen": sketches.x, "centred": through(centred(lenses["instances"]), sketches.x)}
        for kind, lens in lenses.items():
            found[f"lens: `{kind}`"] = through(lens, sketches.x)
        forced = setting.fit("instances", 3.0)
        found["`instances`, lambda = 3 by hand"] = through(forced, sketches.x)
        for row, queries in found.items():
            text = [cell(hits(queries, k), None if row == "frozen" else hits(sketches.x, k)) for k in (1, 5)]
            rows.setdefault(row, []).append(" / ".join(text))
        rows.setdefault("lambda of `instances`", []).append(f"{lenses['instances'].penalty:g}")
    print_table(list(settings), rows)


def ambiguity_table(settings: dict[str, Setting]) -> None:
    """Drawings weighted by how clearly they are of their class, against all alike."""
    rows: dict[str, list[str]] = {}
    for setting in settings.values():
        q = setting.test_sketch.x
        for row, change in (
            ("centred", centred),
            ("lens: `photos`", lambda lens: lens),
        ):
            scores = [
                precisions(setting, through(change(setting.fit("photos", ambiguity=weighted)), q))
                for weighted in (False, True)
            ]
            rows.setdefault(row, []).append(cell(scores[0]))
            rows.setdefault(f"{row}, weighted", []).append(cell(scores[1], scores[0]))
    print_table(list(settings), rows)


def classes_table(settings: dict[str, Setting], plot: Path | None) -> None:
    """How many seen classes it takes: three draws of each number."""
    curves = {}
    rows: dict[str, list[str]] = {}
    for name, setting in settings.items():
        seen = np.unique(setting.train_sketch.y)
        numbers = [n for n in (5, 10, 20, 50) if n < len(seen)] + [len(seen)]
        curve = []
        for number in numbers:
            scores = []
            for seed in range(3 if number < len(seen) else 1):
                part = setting.only_classes(np.random.default_rng(seed).permutation(seen)[:number])
                lens = part.fit("photos")
                forced = part.fit("photos", 3.0)
                queries = [through(each, part.test_sketch.x) for each in (centred(lens), lens, forced)]
                scores.append([100 * precisions(part, q).mean() for q in queries])
            curve.append(np.mean(scores, axis=0))
            rows[f"{name}, {number} classes"] = [f"{score:.1f}" for score in curve[-1]]
        frozen = 100 * precisions(setting, setting.test_sketch.x).mean()
        rows[f"{name}, frozen"] = [f"{frozen:.1f}", "", ""]
        curves[name] = numbers, np.array(curve), frozen
    print_table(["centred", "lens: `photos`", "lambda = 3 by hand"], rows)
    if plot is not None:
        plot_classes(curves, plot)


def plot_classes(curves: dict, path: Path) -> None:
    """mAP over the number of seen classes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(curves), 3.2), layout="constrained")
    for axes, (name, (numbers, curve, frozen)) in zip(
        figure.subplots(1, len(curves), squeeze=False)[0], curves.items()
    ):
        axes.axhline(frozen, color="0.6", linestyle="--", label="frozen CLIP")
        for values, label in zip(curve.T, ("centred", "lens", "map at any price (λ = 3)")):
            axes.plot(numbers, values, marker="o", label=label)
        axes.set(title=name, xlabel="seen classes", ylabel="mAP@all, %", xscale="log")
        axes.set_xticks(numbers, [str(n) for n in numbers], minor=False)
        axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print every table whose data are given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-model", required=True, help="the CLIP of all but MiniSketch")
    parser.add_argument("--sketchy", type=Path, required=True)
    parser.add_argument("--caltech", type=Path, required=True)
    parser.add_argument("--quickdraw", type=Path, required=True)
    parser.add_argument(
        "--split", type=Path, required=True, help="seen and unseen classes of Quick, Draw! x Caltech"
    )
    parser.add_argument("--shoes", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for features")
    parser.add_argument("--plot", type=Path, help="picture of mAP over the number of seen classes")
    arguments = parser.parse_args()
    real = Features(arguments.base_model, arguments.cache, sketch_crop_margin=True, sketch_line_width=1.5)
    padded = Features(
        arguments.base_model,
        arguments.cache,
        sketch_crop_margin=True,
        sketch_line_width=1.5,
        photo_resize="pad",
    )
    small = Features("mini-clip", arguments.cache, sketch_crop_margin=True)
    sketchy = real.benchmark("sketchy-21", "sketchy-21", arguments.sketchy)
    other = real.benchmark("sketchy-25", "sketchy-25", arguments.sketchy)
    caltech = real.benchmark(
        "caltech",
        "sketch-folder",
        photo_dir=str(arguments.caltech),
        sketch_dir=str(arguments.quickdraw),
        split=str(arguments.split),
    )
    sets = {"sketchy-21": sketchy, "Quick, Draw! x Caltech": caltech}
    mini = {"mini": small.benchmark("mini", "mini")}
    doodles = dict.fromkeys(sets, real.doodles("doodles")) | {"mini": small.doodles("doodles-mini")}
    print("## Category level, mAP@all\n")
    category_table(sets | mini, doodles)
    print("## Generalised zero-shot, mAP@all\n")
    general = {
        name: gzs(setting, load_benchmark(name, arguments.sketchy, setting="gzs"))
        for name, setting in (("sketchy-21", sketchy), ("sketchy-25", other))
    }
    gzs_table(general)
    print("## Across data sets, mAP@all\n")
    transfer_table({"sketchy-25 → Caltech": (other, caltech), "Caltech → sketchy-25": (caltech, other)})
    print("## Instance level, Acc@1 / Acc@5\n")
    instance_table(
        {
            "sketchy-fg": real.benchmark("sketchy-fg", "sketchy-fg", arguments.sketchy),
            "shoes": padded.benchmark("shoes", "shoe-v2", arguments.shoes),
        }
    )
    print("## Weights by ambiguity, mAP@all\n")
    ambiguity_table(sets | mini)
    print("## Number of seen classes, mAP@all\n")
    classes_table(sets, arguments.plot)


if __name__ == "__main__":
    main()
