"""Train a method from a recipe: `accelerate launch scripts/train.py clip-at-mini run.seed=1`."""

import sys

from sketch_prompt.training.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
