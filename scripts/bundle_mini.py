"""Make the checkpoints that ship with the package: the frozen baseline and one trained adapter a method.

    python scripts/bundle_mini.py            # everything
    python scripts/bundle_mini.py clip-at    # one method
    python scripts/bundle_mini.py --measure  # train nothing: measure what is bundled, and write the cards anew

Each adapter is trained by its recipe `hub_configs/<method>-mini`, as a user would train it, and copied to
`src/sketch_prompt/assets/mini-<method>` without optimiser state and logs; the cards go to `model_cards/` as well.
"""

import argparse
from pathlib import Path

import model_cards

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src" / "sketch_prompt" / "assets"


def bundle(method: str, seed: int) -> None:
    """Train `method` on MiniSketch, if there is anything to train, and save it among the assets."""
    from sketch_prompt import SketchPromptModel, SketchPromptProcessor, load_benchmark
    from sketch_prompt.evaluation import Task, evaluate_model
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.loop import train

    if method == "frozen-clip":
        # Images prepared as for the trained methods, so that a comparison shows what training does.
        recipe = TrainingConfig.load("clip-at-mini")
        model = SketchPromptModel.from_base_model(method, "mini-clip")
        model.processor = SketchPromptProcessor.from_base_model("mini-clip", **recipe.processor)
        report = evaluate_model(model.eval(), model.processor, load_benchmark("mini"), Task("mini")).report
    else:
        recipe = TrainingConfig.load(f"{method}-mini", [f"run.seed={seed}"])
        result = train(recipe)
        model, report = SketchPromptModel.from_pretrained(result.output_dir), result.test
    model.save_pretrained(ASSETS / f"mini-{method}", results={"mini": report.metrics})
    print(f"wrote {ASSETS / f'mini-{method}'}")


def measure(method: str, frozen: dict) -> None:
    """Evaluate a bundled checkpoint beside the frozen CLIP and write its card anew; its tensors stay as they are.

    Args:
        method: the checkpoint is `mini-<method>`.
        frozen: reports on the frozen CLIP by level, filled in where they are needed.
    """
    from sketch_prompt import SketchPromptModel, load_benchmark
    from sketch_prompt.evaluation import Task, evaluate_model
    from sketch_prompt.publishing.facts import TrainingFacts
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.publication import measurement

    def evaluate(name: str, task: Task):
        model = SketchPromptModel.from_pretrained(f"mini-{name}")
        return evaluate_model(model, model.processor, load_benchmark("mini"), task).report

    model, facts, level = SketchPromptModel.from_pretrained(f"mini-{method}"), TrainingFacts(), "category"
    if method != "frozen-clip":
        # Not the recipe's values: it may have changed since. The configuration holds what the method was trained with.
        facts, level = TrainingFacts(benchmark="mini"), TrainingConfig.load(f"{method}-mini").data.level
    if level not in frozen:
        frozen[level] = evaluate("frozen-clip", Task("mini", level))
    for ranking in ("embedding", "rerank") if model.has_reranker else ("embedding",):
        if method == "frozen-clip":
            report, baseline = frozen[level], None
        else:
            report, baseline = evaluate(method, Task("mini", level, ranking=ranking)), frozen[level]
        facts.add(measurement(report, baseline))
    names = ("sketch_prompt", "torch", "transformers", "python")
    facts.environment = {name: report.environment[name] for name in names}
    model.adapter.facts = facts
    model.save_pretrained(ASSETS / f"mini-{method}")
    print(f"wrote {ASSETS / f'mini-{method}'}")


def main() -> None:
    """Bundle the methods named on the command line."""
    from sketch_prompt.models.auto import MODELS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--measure", action="store_true", help="train nothing, write the cards anew")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    arguments = parser.parse_args()
    methods = arguments.methods or list(MODELS)
    if arguments.measure:
        frozen = {}
        for method in methods:
            if (ASSETS / f"mini-{method}").is_dir():
                measure(method, frozen)
    else:
        for method in methods:
            bundle(method, arguments.seed)
    model_cards.write()


if __name__ == "__main__":
    main()
