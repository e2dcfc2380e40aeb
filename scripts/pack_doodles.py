"""Pack Quick, Draw! stroke files into the drawings that come with the package.

    python scripts/pack_doodles.py FOLDER   # with <class>.ndjson, Google's simplified drawings

Those that the game's classifier recognised are kept.
"""

from pathlib import Path

import numpy as np
import typer

from sketch_prompt.atomic import atomic_write
from sketch_prompt.data import doodles
from sketch_prompt.data.strokes import read_drawings

PACK = Path(doodles.__file__).with_name("doodles.npz")


def main(folder: Path, output: Path = PACK) -> None:
    """Write the pack of all stroke files in FOLDER."""
    drawings = {path.stem: list(read_drawings(str(path))) for path in sorted(folder.glob("*.ndjson"))}
    with atomic_write(output) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **doodles.pack_doodles(drawings))
    print(f"{output}: {sum(map(len, drawings.values()))} drawings of {len(drawings)} classes")


if __name__ == "__main__":
    typer.run(main)
