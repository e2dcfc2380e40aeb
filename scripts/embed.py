"""`sketch-prompt index` for several processes: `accelerate launch scripts/embed.py PHOTOS -o GALLERY`

Each process embeds its share of the photos and saves it every few seconds. A run that was killed continues with the
same command, on any number of processes. The gallery is the one that `sketch-prompt index` makes.
"""

import sys

from sketch_prompt.cli import app

if __name__ == "__main__":
    app(["index", *sys.argv[1:]], prog_name="sketch-prompt")
