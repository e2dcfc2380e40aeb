"""Pack the photos of `quickdraw-caltech` from Caltech-101's.

    python scripts/pack_caltech.py FOLDER   # with <Caltech-101 category>/*.jpg and pairs.json

`pairs.json` says which category shows which class of drawings (`{"pairs": {"airplane": "airplanes", ...}}`). Photos
are shrunk to 128 pixels on the longer side.
"""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from PIL import Image

from sketch_prompt.atomic import atomic_write
from sketch_prompt.data import quickdraw_caltech

PACK = Path(quickdraw_caltech.__file__).with_name("photos.parquet")


def shrunk(path: Path, longer_side: int) -> bytes:
    """The photo as JPEG, at most `longer_side` pixels long; a greyscale one stays so."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.thumbnail((longer_side, longer_side), Image.Resampling.LANCZOS)
        image.save(buffer, "JPEG", quality=85, optimize=True)
    return buffer.getvalue()


def main(folder: Path, output: Path = PACK, longer_side: int = 128) -> None:
    """Write the photos of all categories in FOLDER."""
    pairs = json.loads((folder / "pairs.json").read_text())["pairs"]
    rows = [
        {"class_name": name, "file": f"{category}/{path.name}", "image": shrunk(path, longer_side)}
        for name, category in sorted(pairs.items())
        for path in sorted((folder / category).glob("*.jpg"))
    ]
    with atomic_write(output) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
    print(f"{output}: {len(rows)} photos of {len(pairs)} classes")


if __name__ == "__main__":
    typer.run(main)
