"""Write the `config.json` and `preprocessor_config.json` that recipes stand for, from their `training.yaml`.

    python scripts/export_configs.py clip-at-mini -o configs     # configs/clip-at-mini/config.json, ...
    python scripts/export_configs.py -o configs                  # of every recipe

A checkpoint has both files in any case; these are for whoever wants them before training. A recipe whose base model is
on the Hub needs the network for its image size.
"""

import argparse
from pathlib import Path

from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.recipe import recipe_folders


def main() -> None:
    """Write the files of the recipes named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="names of recipes (default: all)")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder to write a folder for each into"
    )
    arguments = parser.parse_args()
    for name in arguments.recipes or sorted(recipe_folders()):
        TrainingConfig.load(name).save_configs(arguments.output / name)
        print(f"wrote {arguments.output / name}")


if __name__ == "__main__":
    main()
