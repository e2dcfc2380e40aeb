"""Measure whether explanations connect the same parts of sketch and photo (MiniSketch, where the parts are known).

    python scripts/explain_fidelity.py                              # every bundled method, unseen classes
    python scripts/explain_fidelity.py runs/my-adapter --instances 40 --json fidelity.json
    python scripts/explain_fidelity.py mini-clip-at --figures explained          # and a figure of each class

For each checkpoint: the share of the ten strongest matches that connect the same part, beside that of the same method
with an untrained adapter and with an untrained CLIP, and beside chance.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path


def draw_figures(model, classes: list[str], folder: Path, image_size: int, seed: int) -> None:
    """Explain the first sketch of each class by its own photo and draw all kinds of figures of that."""
    from sketch_prompt.data.minisketch import MiniSketch
    from sketch_prompt.explain.figures import plot_explanation
    from sketch_prompt.plotting import save_figure

    mini = MiniSketch(image_size, seed)
    for name in classes:
        correspondence = model.explain(mini.sketch(name, 0), mini.photo(name, 0))
        save_figure(plot_explanation(correspondence), folder / f"{model.method}-{name.replace(' ', '_')}.png")


def main() -> None:
    """Measure the checkpoints named on the command line."""
    from rich.console import Console
    from rich.table import Table

    from part_fidelity import measure_fidelity, untrained
    from sketch_prompt import SketchPromptModel
    from sketch_prompt.atomic import atomic_write
    from sketch_prompt.data.minisketch import SEEN_CLASSES, UNSEEN_CLASSES
    from sketch_prompt.models.auto import MODELS
    from sketch_prompt.sources import bundled_names

    bundled = [f"mini-{name}" for name in MODELS if f"mini-{name}" in bundled_names()]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", default=bundled)
    parser.add_argument("--seen", action="store_true", help="measure on the seen classes")
    parser.add_argument("--instances", type=int, default=20, help="of each class")
    parser.add_argument("--top-k", type=int, default=10, help="strongest matches that count")
    parser.add_argument("--seed", type=int, default=0, help="of MiniSketch and of the untrained models")
    parser.add_argument("--image-size", type=int, default=128, help="pixels a side of the pictures")
    parser.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="also draw one explanation a class here"
    )
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    arguments = parser.parse_args()
    classes = SEEN_CLASSES if arguments.seen else UNSEEN_CLASSES
    pictures = {"image_size": arguments.image_size, "seed": arguments.seed}
    options = pictures | {"instances": arguments.instances, "top_k": arguments.top_k}

    table = Table(title=f"Matches that connect the same part, {len(classes)} classes, %")
    table.add_column("model", no_wrap=True)
    for column in ("trained", "untrained adapter", "untrained CLIP", "chance", "on the object"):
        table.add_column(column, justify="right")
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
        if arguments.figures is not None:
            draw_figures(model, classes, arguments.figures, **pictures)
    Console().print(table)
    if arguments.json is not None:
        with atomic_write(arguments.json) as temporary:
            temporary.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
