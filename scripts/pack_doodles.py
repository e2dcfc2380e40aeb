"""Pack Quick, Draw! stroke files into the drawings that come with the package.

    python scripts/pack_doodles.py FOLDER   # with <class>.ndjson, Google's simplified drawings

Those that the game's classifier recognised are kept.
"""

from pathlib import Path

import numpy as np
import typer

from sketch_prompt.atomic import atomic_write
from sketch_prompt.data import doodles
from sketch_prompt.data.strokes import Drawing, read_drawings

PACK = Path(doodles.__file__).with_name("doodles.npz")


def pack_doodles(drawings: dict[str, list[Drawing]]) -> dict[str, np.ndarray]:
    """Drawings by class as the arrays of the pack; `np.savez_compressed` writes them.

    Points are kept as differences along each stroke, modulo 256, which compress to two bytes a point.

    Raises:
        ValueError: if a coordinate is no whole number from 0 to 255.
    """
    rows = [(label, drawing) for label, name in enumerate(sorted(drawings)) for drawing in drawings[name]]
    strokes = [np.array(stroke[:2]) for _, drawing in rows for stroke in drawing.strokes]
    for stroke in strokes:
        if stroke.dtype.kind != "i" or stroke.min() < 0 or stroke.max() > 255:
            raise ValueError(
                "drawings are packed from Google's simplified files: whole numbers from 0 to 255"
            )
    x, y = np.concatenate([np.diff(stroke, axis=1, prepend=0) for stroke in strokes], axis=1).astype(np.uint8)
    return {
        "classes": np.array(sorted(drawings)),
        "labels": np.array([label for label, _ in rows], np.uint16),
        "key_ids": np.array([int(drawing.key_id) for _, drawing in rows], np.uint64),
        "strokes": np.array([len(drawing.strokes) for _, drawing in rows], np.uint16),
        "points": np.array([stroke.shape[1] for stroke in strokes], np.uint16),
        "x": x,
        "y": y,
    }


def main(folder: Path, output: Path = PACK) -> None:
    """Write the pack of all stroke files in FOLDER."""
    drawings = {path.stem: list(read_drawings(str(path))) for path in sorted(folder.glob("*.ndjson"))}
    with atomic_write(output) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **pack_doodles(drawings))
    print(f"{output}: {sum(map(len, drawings.values()))} drawings of {len(drawings)} classes")


if __name__ == "__main__":
    typer.run(main)
