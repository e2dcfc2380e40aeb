"""`sketch-prompt train` for several processes: `accelerate launch scripts/train.py clip-at-mini run.seed=1`"""

import sys

from sketch_prompt.cli import app

if __name__ == "__main__":
    app(["train", *sys.argv[1:]], prog_name="sketch-prompt")
