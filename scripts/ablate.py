"""Take a recipe apart: train it whole and with one thing changed at a time, over several seeds.

    python scripts/ablate.py clip-at-mini-fg                       # the rows of its ablations.yaml
    python scripts/ablate.py dp-clip-mini --rows "no windows" --seeds 1
    python scripts/ablate.py dp-clip-mini --add "slower: optimisation.learning_rate=1e-4" \\
        evaluation.test=false                                                  # on held-out seen classes
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from ablation import ablate, ablation_table, read_rows
from sketch_prompt.cli.command import one_message
from sketch_prompt.training.recipe import find_recipe


def main() -> None:
    """Parse the command line, train every row, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "recipe", type=find_recipe, help="name, or folder with a training.yaml and ablations.yaml"
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="changes of all rows")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows of ablations.yaml")
    parser.add_argument(
        "--add", action="append", default=[], metavar="NAME: CHANGE ...", help="rows of your own instead"
    )
    parser.add_argument("--seeds", type=int, default=3, help="training runs a row")
    parser.add_argument("--output", type=Path, help="folder of the runs (default: runs/ablation-<recipe>)")
    arguments = parser.parse_args()
    output = arguments.output or Path("runs") / f"ablation-{arguments.recipe.resolve().name}"
    with one_message():
        rows = _rows(arguments)
        scores = ablate(arguments.recipe, rows, output, range(arguments.seeds), arguments.overrides)
    title = f"{arguments.recipe.resolve().name}, seeds: {arguments.seeds}, percent"
    Console().print(ablation_table(scores, title))
    print(f"wrote {output / 'results.json'}", file=sys.stderr)


def _rows(arguments: argparse.Namespace) -> dict[str, list[str]]:
    if arguments.add:
        pairs = (entry.partition(":") for entry in arguments.add)
        return {name.strip(): changes.split() for name, _, changes in pairs}
    rows = read_rows(arguments.recipe / "ablations.yaml")
    if arguments.rows is None:
        return rows
    for name in arguments.rows:
        if name not in rows:
            raise ValueError(f"there is no row {name!r}; there are {', '.join(rows)}")
    return {name: rows[name] for name in arguments.rows}


if __name__ == "__main__":
    main()
