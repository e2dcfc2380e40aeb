"""Make the checkpoints that ship with the package: the frozen baseline and one trained adapter a method and benchmark.

    python scripts/bundle.py                                        # everything
    python scripts/bundle.py mini-clip-at clip-at-quickdraw-caltech # these
    python scripts/bundle.py --measure                              # train nothing: measure, and write the cards anew

`mini-<method>` is trained by the recipe `hub_configs/<method>-mini` and `<method>-quickdraw-caltech` by the recipe of
that name, as a user would train them. They are copied to `src/sketch_prompt/assets` without optimiser state and logs;
the cards go to `model_cards/` as well.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import model_cards

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src" / "sketch_prompt" / "assets"
MINI = "mini"
REAL = "quickdraw-caltech"
BASE_MODELS = {MINI: "mini-clip", REAL: "small-clip"}


@dataclass(frozen=True)
class Bundled:
    """A checkpoint that ships with the package: a method on a bundled benchmark."""

    method: str
    benchmark: str

    @classmethod
    def of(cls, name: str) -> Bundled:
        """By the name of its folder.

        Raises:
            ValueError: no folder is called so.
        """
        if name.startswith(f"{MINI}-"):
            return cls(name.removeprefix(f"{MINI}-"), MINI)
        if name.endswith(f"-{REAL}"):
            return cls(name.removesuffix(f"-{REAL}"), REAL)
        raise ValueError(f"{name} is neither {MINI}-<method> nor <method>-{REAL}")

    @property
    def name(self) -> str:
        """Of its folder among the assets."""
        return f"{MINI}-{self.method}" if self.benchmark == MINI else f"{self.method}-{REAL}"

    @property
    def recipe(self) -> str:
        """Name of the recipe that it is trained by."""
        return f"{self.method}-{self.benchmark}"

    @property
    def folder(self) -> Path:
        """Where it is written."""
        return ASSETS / self.name


def everything() -> list[Bundled]:
    """All methods with a recipe for a bundled benchmark, and the frozen baseline of MiniSketch."""
    from sketch_prompt.models.auto import MODELS
    from sketch_prompt.training.recipe import recipe_folders

    trained = [Bundled(method, benchmark) for benchmark in BASE_MODELS for method in MODELS]
    recipes = recipe_folders()
    return [Bundled("frozen-clip", MINI), *(wanted for wanted in trained if wanted.recipe in recipes)]


def bundle(wanted: Bundled, seed: int | None) -> None:
    """Train, if there is anything to train, and save among the assets."""
    from sketch_prompt import SketchPromptModel, SketchPromptProcessor, load_benchmark
    from sketch_prompt.evaluation import Task, evaluate_model
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.loop import train

    if wanted.method == "frozen-clip":
        # Images prepared as for the trained methods, so that a comparison shows what training does.
        base = BASE_MODELS[wanted.benchmark]
        recipe = TrainingConfig.load(f"clip-at-{wanted.benchmark}")
        model = SketchPromptModel.from_base_model(wanted.method, base)
        model.processor = SketchPromptProcessor.from_base_model(base, **recipe.processor)
        data = load_benchmark(wanted.benchmark)
        report = evaluate_model(model.eval(), model.processor, data, Task(wanted.benchmark)).report
    else:
        recipe = TrainingConfig.load(wanted.recipe, [] if seed is None else [f"run.seed={seed}"])
        result = train(recipe)
        model, report = SketchPromptModel.from_pretrained(result.output_dir), result.test
    model.save_pretrained(wanted.folder, results={wanted.benchmark: report.metrics})
    print(f"wrote {wanted.folder}")


def measure(wanted: Bundled, frozen: dict) -> None:
    """Evaluate a bundled checkpoint beside the frozen CLIP and write its card anew; its tensors stay as they are.

    Args:
        wanted: which.
        frozen: reports on the frozen CLIP by benchmark and level, filled in where they are needed.
    """
    from sketch_prompt import SketchPromptModel, SketchPromptProcessor, load_benchmark
    from sketch_prompt.evaluation import Task, evaluate_model
    from sketch_prompt.hub.facts import TrainingFacts
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.publication import measurement

    data = load_benchmark(wanted.benchmark)
    model, facts, level = SketchPromptModel.from_pretrained(wanted.name), TrainingFacts(), "category"
    if wanted.method != "frozen-clip":
        # Not the recipe's values: it may have changed since. The configuration holds what the method was trained with.
        level = TrainingConfig.load(wanted.recipe).data.level
        facts = TrainingFacts(benchmark=wanted.benchmark)
    key = (wanted.benchmark, level)
    if key not in frozen:
        base = BASE_MODELS[wanted.benchmark]
        plain = SketchPromptModel.from_base_model("frozen-clip", base).eval()
        recipe = TrainingConfig.load(f"clip-at-{wanted.benchmark}")
        processor = SketchPromptProcessor.from_base_model(base, **recipe.processor)
        frozen[key] = evaluate_model(plain, processor, data, Task(wanted.benchmark, level)).report
    for ranking in ("embedding", "rerank") if model.has_reranker else ("embedding",):
        if wanted.method == "frozen-clip":
            report, baseline = frozen[key], None
        else:
            task = Task(wanted.benchmark, level, ranking=ranking)
            report, baseline = evaluate_model(model, model.processor, data, task).report, frozen[key]
        facts.add(measurement(report, baseline))
    names = ("sketch_prompt", "torch", "transformers", "python")
    facts.environment = {name: report.environment[name] for name in names}
    model.adapter.facts = facts
    model.save_pretrained(wanted.folder)
    print(f"wrote {wanted.folder}")


def main() -> None:
    """Bundle the checkpoints named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of checkpoints (default: all)")
    parser.add_argument("--measure", action="store_true", help="train nothing, write the cards anew")
    parser.add_argument("--seed", type=int, help="of the training (default: the recipe's)")
    arguments = parser.parse_args()
    chosen = [Bundled.of(name) for name in arguments.names] or everything()
    frozen: dict = {}
    for wanted in chosen:
        if not arguments.measure:
            bundle(wanted, arguments.seed)
        elif wanted.folder.is_dir():
            measure(wanted, frozen)
    model_cards.write()


if __name__ == "__main__":
    main()
