"""What single options of CLIP-AT, SpLIP and ZSE-SBIR do on two real benchmarks: see docs/real_data.md.

    python scripts/compare_options.py --base-model CLIP --sketchy DIR --output runs/options

Every row is trained for a few steps with each seed and measured twice: on seen classes that were held out, which is
what a choice may rest on, and on the unseen classes. Runs are appended to OUTPUT/runs.jsonl and never repeated, so the
command can be stopped and started again; `--table` prints what is there. Differences are paired by seed, which also
decides the held-out classes.
"""

import argparse
import json
import math
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sketch_prompt import FrozenClipModel, SketchPromptProcessor, load_benchmark
from sketch_prompt.evaluation import Task, evaluate_model
from sketch_prompt.models.loading import load_model
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import train
from sketch_prompt.training.recipe import find_recipe
from sketch_prompt.training.validation import hold_out

METRIC = "mAP@all"
SHORT = [
    "data.refit=false",
    "data.num_workers=0",
    "processor.size=64",
    "processor.sketch_line_width=1.5",
    "processor.sketch_crop_margin=true",
    "optimisation.schedule=cosine",
    "optimisation.batch_size=24",
    "optimisation.mixed_precision=bf16",
    "evaluation.metric=null",
    "evaluation.ks=null",
    "evaluation.baseline=false",
    "evaluation.every_epochs=1000",
    "run.progress=false",
    "run.resume=never",
]
BENCHMARKS = {
    "sketchy-21": ["data.validation_classes=0.1"],
    "quickdraw-caltech": ["data.validation_classes=0.2"],
}
FAMILIES: dict[str, tuple[str, list[str], dict[str, list[str]]]] = {
    "clip-at": (
        "clip-at-sketchy-21",
        [
            "model.temperature=null",
            "optimisation.learning_rate=1e-2",
            "optimisation.learning_rates={layer_norms: 1e-3}",
        ],
        {
            "separate LayerNorms": [],
            "shared LayerNorms": ["model.layer_norms=shared"],
            "temperature 0.07": ["model.temperature=0.07"],
            "temperature 0.2": ["model.temperature=0.2"],
            "no classification loss": ["model.classification_weight=0"],
        },
    ),
    "splip": (
        "splip-sketchy-21",
        ["optimisation.learning_rate=1e-3"],
        {
            "as the recipe": [],
            "T of each image": ["model.text_prompt_source=image"],
            "patch shuffling for the jigsaw": ["model.jigsaw_weight=0", "model.patch_shuffling_weight=1"],
            "prompts at the mean token": ["model.prompt_init=mean_token"],
            "negative not classified": ["model.classify_negatives=false"],
            "margin at least 0.2": ["model.least_margin=0.2"],
            "T replaces words": ["model.text_prompt_placement=replace", "model.n_text_prompts=3"],
        },
    ),
    "zse-sbir": (
        "zse-sbir-quickdraw-caltech",
        ["evaluation.shortlist=30"],
        {
            "ranked by ret": ["evaluation.ranking=embedding"],
            "by ret and rn": ["evaluation.ranking=rerank"],
            "by rn": ["evaluation.ranking=rerank-plain"],
            "by ret and class tokens": ["evaluation.ranking=rerank", "model.pair_score=class"],
            "by ret and rn, all pairs": ["evaluation.ranking=rerank", "model.relation_pairs=batch"],
            "by ret and rn, second sketch": ["evaluation.ranking=rerank", "model.mismatched_sketch=second"],
        },
    ),
}
"""{family: (recipe, settings of all its rows, {row: changes})}; the first row is what the others are compared with."""
RANKED_TOO = {"by ret and rn": {"ranked by ret": "embedding", "by rn": "rerank-plain"}}
"""{row: {other row: ranking}}: other rows that are the same model, so that one training measures them all."""


@dataclass(frozen=True)
class Run:
    """One training run of the grid."""

    family: str
    row: str
    benchmark: str
    seed: int

    def config(self, arguments: argparse.Namespace) -> TrainingConfig:
        """Its recipe."""
        recipe, common, rows = FAMILIES[self.family]
        place = f"{self.family}-{self.row}-{self.benchmark}-{self.seed}".replace(" ", "-")
        return TrainingConfig.load(
            find_recipe(recipe),
            [
                *SHORT,
                *BENCHMARKS[self.benchmark],
                *common,
                *rows[self.row],
                f"model.base_model={arguments.base_model}",
                f"data.benchmark={self.benchmark}",
                *([f"data.data_dir={arguments.sketchy}"] if self.benchmark.startswith("sketchy") else []),
                f"optimisation.max_steps={arguments.steps}",
                f"run.seed={self.seed}",
                f"run.output_dir={arguments.output / place}",
            ],
        )


def grid(arguments: argparse.Namespace) -> Iterator[Run]:
    """All runs; the seeds of a row come one after the other, so that early rows are complete early."""
    along = {row for others in RANKED_TOO.values() for row in others}
    for family in arguments.families:
        for row in FAMILIES[family][2]:
            if row in along:
                continue
            for seed in range(arguments.seeds):
                for benchmark in BENCHMARKS:
                    yield Run(family, row, benchmark, seed)


def measure(run: Run, arguments: argparse.Namespace) -> dict[str, dict]:
    """Train a run's model and measure it by all rankings that rows ask for: {row: scores}; its folder is removed."""
    config = run.config(arguments)
    result = train(config)
    scores = {run.row: {"held_out": result.validation, "unseen": result.test.metrics[METRIC]}}
    others = RANKED_TOO.get(run.row, {})
    if others:
        model, processor = load_model(str(config.output_dir))
        for row, ranking in others.items():
            scores[row] = evaluate_both(model, processor, run, config, ranking)
    shutil.rmtree(config.output_dir)
    return scores


def measure_frozen(run: Run, arguments: argparse.Namespace) -> dict[str, dict]:
    """The frozen CLIP with the first family's preprocessing, on the same held-out and unseen classes."""
    family = arguments.families[0]
    config = Run(family, next(iter(FAMILIES[family][2])), run.benchmark, run.seed).config(arguments)
    processor = SketchPromptProcessor.from_base_model(arguments.base_model, **config.processor)
    model = FrozenClipModel.from_base_model(arguments.base_model).eval()
    return {run.row: evaluate_both(model, processor, run, config)}


def evaluate_both(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    run: Run,
    config: TrainingConfig,
    ranking: str | None = None,
) -> dict[str, float]:
    """A model on a run's held-out and unseen classes."""
    benchmark = load_benchmark(run.benchmark, config.data.data_dir)
    held_out = hold_out(benchmark, config.data.validation_classes, run.seed).validation
    scores = {}
    for name, tables in {"held_out": held_out, "unseen": benchmark}.items():
        task = Task(
            run.benchmark,
            "category",
            allow_seen=True,
            ranking=ranking,
            shortlist=config.evaluation.shortlist,
        )
        report = evaluate_model(model, processor, tables, task, progress=False).report
        scores[name] = report.metrics[METRIC]
        scores[f"{name}_chance"] = report.chance[METRIC]
    return scores


def read(path: Path) -> dict[tuple, dict]:
    """{(family, row, benchmark, seed): the scores} of the runs in a file."""
    if not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(line["family"], line["row"], line["benchmark"], line["seed"]): line for line in lines}


def table(runs: dict[tuple, dict], seeds: int) -> str:
    """Markdown: means over the seeds in percent, and paired differences to the first row ± standard error."""
    lines = []
    for benchmark in BENCHMARKS:
        lines += [
            f"### {benchmark}",
            "",
            "| | held-out seen classes | against the first | unseen | against |",
        ]
        lines += ["| --- | ---: | ---: | ---: | ---: |"]
        frozen = _scores(runs, "frozen", "frozen CLIP", benchmark, seeds)
        if frozen:
            means = [100 * statistics.mean(frozen[part].values()) for part in ("held_out", "unseen")]
            lines.append(f"| frozen CLIP | {means[0]:.1f} | | {means[1]:.1f} | |")
        for family, (_, _, rows) in FAMILIES.items():
            first = _scores(runs, family, next(iter(rows)), benchmark, seeds)
            for row in rows:
                own = _scores(runs, family, row, benchmark, seeds)
                if own:
                    cells = [
                        cell for part in ("held_out", "unseen") for cell in _cells(own[part], first[part])
                    ]
                    lines.append(f"| `{family}`, {row} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _scores(runs: dict, family: str, row: str, benchmark: str, seeds: int) -> dict[str, dict[int, float]]:
    found = {seed: runs.get((family, row, benchmark, seed)) for seed in range(seeds)}
    found = {seed: scores for seed, scores in found.items() if scores}
    parts = ("held_out", "unseen") if found else ()
    return {part: {seed: scores[part] for seed, scores in found.items()} for part in parts}


def _cells(own: dict[int, float], first: dict[int, float]) -> tuple[str, str]:
    mean = f"{100 * statistics.mean(own.values()):.1f}"
    paired = [own[seed] - first[seed] for seed in own if seed in first]
    if own == first or not paired:
        return mean, ""
    error = f" ± {paired_error(paired):.1f}" if len(paired) > 1 else ""
    return mean, f"{100 * statistics.mean(paired):+.1f}{error} ({len(paired)})"


def paired_error(differences: list[float]) -> float:
    """The standard error of the mean of paired differences, in percent."""
    return 100 * statistics.stdev(differences) / math.sqrt(len(differences))


def main() -> None:
    """Parse the command line, run what is missing, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-model", help="folder or id of the CLIP")
    parser.add_argument("--sketchy", type=Path, help="folder of Sketchy, whole or in part")
    parser.add_argument("--output", type=Path, default=Path("runs/options"))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=32, help="optimiser steps a run")
    parser.add_argument(
        "--table", action="store_true", help="print what has been measured, and train nothing"
    )
    arguments = parser.parse_args()
    path = arguments.output / "runs.jsonl"
    if not arguments.table:
        arguments.output.mkdir(parents=True, exist_ok=True)
        wanted = [
            *(
                Run("frozen", "frozen CLIP", name, seed)
                for seed in range(arguments.seeds)
                for name in BENCHMARKS
            ),
            *grid(arguments),
        ]
        for run in wanted:
            key = run.family, run.row, run.benchmark, run.seed
            if key in read(path):
                continue
            start = time.process_time()
            frozen = run.family == "frozen"
            measured = measure_frozen(run, arguments) if frozen else measure(run, arguments)
            spent = {"steps": arguments.steps, "cpu_seconds": time.process_time() - start}
            with path.open("a", encoding="utf-8") as file:
                for row, scores in measured.items():
                    file.write(json.dumps(vars(run) | {"row": row} | scores | spent) + "\n")
            print(f"{run}: {measured}", flush=True)
    print(table(read(path), arguments.seeds))


if __name__ == "__main__":
    main()
