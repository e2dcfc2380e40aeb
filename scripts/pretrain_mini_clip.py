#!/usr/bin/env python
"""Pretrain mini-clip, the small CLIP that ships with the package, on MiniSketch.

Draws its training pictures once, trains in the background's pace, resumes where it was interrupted:

    python scripts/pretrain_mini_clip.py --output-dir src/sketch_prompt/assets/mini-clip
"""

import argparse
import shlex
import sys
from dataclasses import fields
from pathlib import Path

from mini_clip.pretraining import PretrainingJob, pretrain
from mini_clip.training import PretrainingOptions


def main() -> None:
    """Parse the command line and pretrain."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output-dir", type=Path, required=True, help="folder of the finished model")
    parser.add_argument(
        "--work-dir", type=Path, default=Path("runs/mini-clip"), help="pictures and checkpoint"
    )
    parser.add_argument("--processes", type=int, default=2, help="processes to share the work, one core each")
    for option in fields(PretrainingOptions):
        flag = "--" + option.name.replace("_", "-")
        parser.add_argument(flag, type=type(option.default), default=option.default)
    arguments = parser.parse_args()
    options = PretrainingOptions(**{o.name: getattr(arguments, o.name) for o in fields(PretrainingOptions)})
    command = shlex.join(["python", "scripts/pretrain_mini_clip.py", *sys.argv[1:]])
    job = PretrainingJob(
        arguments.output_dir, arguments.work_dir, command, processes=arguments.processes, options=options
    )
    for name, value in pretrain(job).items():
        print(f"{name:60} {value:.3f}")


if __name__ == "__main__":
    main()
