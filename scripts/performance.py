"""docs/performance.md and docs/scale.md from docs/performance.json.

python scripts/performance.py
"""

import argparse
import json
import math
from pathlib import Path

from benchmark import BENCHMARKS, CODE_BYTES

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = """# Performance

Made by `python scripts/performance.py` from what `python scripts/benchmark.py --json docs/performance.json` measures.
Contenders take turns in one run, and the medians are printed: on a shared machine only what was measured side by side
can be compared, and single times depend on the load. With one thread, embedding and training are measured in seconds
of the processor, which other programs do not change. Models are ViT-B/32 with random weights in float32 unless
something else is said.
"""
GPU = """## On a GPU

Not measured. `python scripts/device_benchmark.py --device cuda` measures embedding and training of ViT-B/32 and
ViT-L/14 in bfloat16, compiled, as a share of the rate at which the same device multiplies matrices (wanted: 60 % and
45 %), compares the rankings in bfloat16 and float16 with those in float32, and builds a gallery from 20,000 JPEG files
(wanted: 1,500 photos a second). `--rehearse` runs it with a tiny CLIP on any machine.
"""


def page(measured: dict[str, dict]) -> str:
    """The page of what was measured, in the order of the benchmarks."""
    parts = [HEAD]
    for name in BENCHMARKS:
        if name not in measured:
            continue
        group = measured[name]
        rows = ["| | measured | beside | limit |", "| --- | --- | --- | --- |"]
        rows += [f"| {f['what']} | {f['value']} | {f['beside']} | {f['limit']} |" for f in group["figures"]]
        note = f"`{name}`, {group['date']}, load {group['load']}: {group['machine']}."
        parts.append("\n".join([f"## {group['about']}", "", *rows, "", note, ""]))
    return "\n".join([*parts, GPU])


WIDTH = 512
_FEATURES = 4 * WIDTH + 40  # bytes on the disk: numbers, digest, checksum
_CODES = {
    name: CODE_BYTES[name](WIDTH) + 12 for name in ("int8", "binary")
}  # in memory, with a number and a place
_TABLE = 40  # bytes of a photo's row in the table on the disk: path, category, digest, times
_CORES = 16
_COMMANDS = {
    1_000_000: "sketch-prompt index photos -o gallery --base-model CLIP -m frozen-clip",
    10_000_000: "accelerate launch -m sketch_prompt index photos -o gallery --precision binary",
    100_000_000: "accelerate launch -m sketch_prompt index photos -o gallery --index lance",
    1_000_000_000: "sketch-prompt index photos -o gallery --index milvus --milvus-uri http://cluster:19530",
}
SCALE_HEAD = f"""# From a million photos to a billion

Made by `python scripts/performance.py`. The costs are computed from what [performance.md](performance.md) measured and
from the sizes of the files, for features of {WIDTH} numbers (ViT-B/32). Of these sizes, only indexes of one and of ten
million made-up photos were built and searched; see [search.md](search.md).
"""
SCALE_TAIL = """- Storage is the features in full precision; what is found is compared with them.
- Memory of an index is its codes, the number of each photo and the place of its features. The table of photos (path,
  category, digest, times) stays on the disk; a search reads the parts that its hits are in. While photos are added or
  removed it is in memory, with 250 bytes a photo. The program and the model take about 500 MB.
- A machine has {cores} cores. Hours are those of the model alone, at {rate:.1f} photos a second and core as measured
  on {date}. Reading and decoding JPEGs, 300 a second and core, comes on top. A GPU was not measured.
- Several machines that share a disk embed together. Each saves its features every few seconds, and a run that was
  killed goes on. One process builds the index.
- `--index lance` keeps the vectors on the disk, and `--index milvus` in a cluster. Milvus was tested as
  milvus-lite and as a single server.
"""


def scale_page(measured: dict[str, dict]) -> str | None:
    """What large collections cost, if the rate of embedding was measured."""
    if "embed" not in measured:
        return None
    group = measured["embed"]
    threads = int(group["machine"].partition(" threads")[0].rpartition(" ")[2])
    rate = 32 / group["figures"][0]["raw"]["ours"] / threads
    rows = [
        "| photos | features on the disk | index in memory, `int8` / `binary` | table on the disk "
        "| hours of a machine | machines for a day | command |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for photos, command in _COMMANDS.items():
        memory = " / ".join(_size(photos * size) for size in _CODES.values())
        hours = photos / (rate * _CORES) / 3600
        cells = [
            f"{photos:,}",
            _size(photos * _FEATURES),
            memory,
            _size(photos * _TABLE),
            f"{hours:,.0f}",
            f"{math.ceil(hours / 24)}",
            f"`{command}`",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    tail = SCALE_TAIL.format(cores=_CORES, rate=rate, date=group["date"])
    return "\n".join([SCALE_HEAD, *rows, "", tail])


def _size(count: float) -> str:
    for unit in ("MB", "GB", "TB"):
        count /= 1000 if unit != "MB" else 1e6
        if count < 1000:
            return f"{count:.3g} {unit}"
    return f"{count:,.0f} TB"


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, default=DOCS / "performance.json")
    parser.add_argument("-o", "--output", type=Path, default=DOCS / "performance.md")
    arguments = parser.parse_args()
    measured = json.loads(arguments.json.read_text())
    arguments.output.write_text(page(measured), encoding="utf-8")
    scale = scale_page(measured)
    if scale is not None:
        arguments.output.with_name("scale.md").write_text(scale, encoding="utf-8")


if __name__ == "__main__":
    main()
