"""Measure whether explanations connect the same parts of sketch and photo (MiniSketch, where the parts are known).

    python scripts/explain_fidelity.py                              # every bundled method, unseen classes
    python scripts/explain_fidelity.py runs/my-adapter --instances 40 --json fidelity.json

For each checkpoint: the share of the ten strongest matches that connect the same part, beside that of the same method
with an untrained adapter and with an untrained CLIP, and beside chance.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path


def main() -> None:
    """Measure the checkpoints named on the command line."""
    from rich.console import Console
    from rich.table import Table

    from sketch_prompt import SketchPromptModel
    from sketch_prompt.atomic import atomic_write
    from sketch_prompt.data.minisketch import SEEN_CLASSES, UNSEEN_CLASSES
    from sketch_prompt.explain.fidelity import measure_fidelity, untrained
    from sketch_prompt.models.auto import MODELS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", default=[f"mini-{name}" for name in MODELS])
    parser.add_argument("--seen", action="store_true", help="measure on the seen classes")
    parser.add_argument("--instances", type=int, default=20, help="of each class")
    parser.add_argument("--top-k", type=int, default=10, help="strongest matches that count")
    parser.add_argument("--seed", type=int, default=0, help="of MiniSketch and of the untrained models")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    arguments = parser.parse_args()
    classes = SEEN_CLASSES if arguments.seen else UNSEEN_CLASSES
    options = {"instances": arguments.instances, "top_k": arguments.top_k, "seed": arguments.seed}

    table = Table(title=f"Matches that connect the same part, {len(classes)} classes, %")
    for column in ("model", "trained", "untrained adapter", "untrained CLIP", "chance", "on the object"):
        table.add_column(column, justify="left" if column == "model" else "right")
    numbers = {}
    for source in arguments.models:
        model = SketchPromptModel.from_pretrained(source)
        rows = {"trained": model, "untrained_clip": untrained(model, arguments.seed, backbone=True)}
        if model.trainable_parameters():
            rows["untrained_adapter"] = untrained(model, arguments.seed)
        results = {name: measure_fidelity(row, classes, **options) for name, row in rows.items()}
        numbers[source] = {name: asdict(result) for name, result in results.items()}
        trained = results["trained"]
        table.add_row(
            source,
            *(
                f"{100 * results[name].share:.1f} ± {100 * results[name].standard_error:.1f}"
                if name in results
                else "-"
                for name in ("trained", "untrained_adapter", "untrained_clip")
            ),
            f"{100 * trained.chance:.1f}",
            f"{100 * trained.chance_on_object:.1f}",
        )
    Console().print(table)
    if arguments.json is not None:
        with atomic_write(arguments.json) as temporary:
            temporary.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
