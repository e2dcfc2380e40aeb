"""Flipped bits in every kind of file are harmless, named or mended; `scripts/fuzz.py` flips thousands of them."""

import json
from pathlib import Path

from fakes.processes import run

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz.py"
KINDS = 15


def test_a_flipped_bit_is_never_taken_for_whole(tmp_path):
    done = run(SCRIPT, "--flips", 2 * KINDS, "--seed", 7, "--json", tmp_path / "counts.json")
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads((tmp_path / "counts.json").read_text())
    kinds = {name: values for name, values in counts.items() if name != "seed"}
    assert len(kinds) == KINDS and all(sum(values.values()) == 2 for values in kinds.values())
