"""Train a method from a recipe, on any number of processes.

accelerate launch -m sketch_prompt.training clip-at-mini run.seed=1
"""

import argparse
import sys

from accelerate import PartialState
from rich.console import Console

from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import train


def main() -> int:
    """Parse the command line, train, print the report on the unseen classes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "recipe", help="name, folder or YAML file; `sketch-prompt train --list` prints the names"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="in place of the recipe's values"
    )
    arguments = parser.parse_args()
    try:
        result = train(TrainingConfig.load(arguments.recipe, arguments.overrides))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interruption:
        print(f"\n{interruption}", file=sys.stderr)
        return 130
    if PartialState().is_main_process:
        console = Console()
        if result.test is not None:
            console.print(result.test.to_table())
        console.print(f"checkpoint after step {result.best_step} of {result.steps}: {result.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
