"""The grid of options: its recipes, and the paired differences of its table."""

import argparse
import math
from pathlib import Path

import pytest

from compare_options import BENCHMARKS, FAMILIES, RANKED_TOO, grid, paired_error, table

ARGUMENTS = argparse.Namespace(
    base_model="mini-clip",
    sketchy=Path("sketchy"),
    output=Path("runs"),
    families=list(FAMILIES),
    seeds=2,
    steps=3,
)


def test_every_row_is_a_recipe_and_differs_from_the_first_of_its_family():
    runs = list(grid(ARGUMENTS))
    along = sum(len(others) for others in RANKED_TOO.values())
    rows = sum(len(rows) for _, _, rows in FAMILIES.values())
    assert len(runs) == 2 * len(BENCHMARKS) * (rows - along)
    first_seed = [run for run in runs if run.seed == 0 and run.benchmark == "sketchy-21"]
    for family in FAMILIES:
        configs = [run.config(ARGUMENTS).to_dict() for run in first_seed if run.family == family]
        assert all(config["optimisation"]["max_steps"] == 3 for config in configs)
        assert all(not config["data"]["refit"] and config["data"]["validation_classes"] for config in configs)
        parts = [(config["model"], config["evaluation"]) for config in configs]
        assert all(other != parts[0] for other in parts[1:])


def test_differences_are_paired_by_seed():
    rows = list(FAMILIES["clip-at"][2])
    scores = {(rows[0], 0): 0.10, (rows[0], 1): 0.20, (rows[1], 0): 0.12, (rows[1], 1): 0.21}
    runs = {
        ("clip-at", row, "sketchy-21", seed): {"held_out": value, "unseen": 2 * value}
        for (row, seed), value in scores.items()
    }
    text = table(runs, seeds=2)
    assert f"| `clip-at`, {rows[0]} | 15.0 |  | 30.0 |  |" in text
    assert f"| `clip-at`, {rows[1]} | 16.5 | +1.5 ± 0.5 (2) | 33.0 | +3.0 ± 1.0 (2) |" in text
    assert paired_error([0.02, 0.01]) == pytest.approx(100 * 0.01 / math.sqrt(2) / math.sqrt(2))


def test_rows_that_are_measured_along_are_rows_of_the_same_family_that_train_alike():
    for row, others in RANKED_TOO.items():
        (rows,) = [rows for _, _, rows in FAMILIES.values() if row in rows]
        for other, ranking in others.items():
            assert rows[other] == [f"evaluation.ranking={ranking}"]
            assert all(change.startswith("evaluation.") for change in rows[row])
