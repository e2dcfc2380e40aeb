from dataclasses import replace

import pytest

from sketch_prompt.evaluation import Report
from sketch_prompt.evaluation.curves import check_comparable, plot_curves


def report(**changes):
    curve = {"recall": [0.0, 0.5, 1.0], "precision": [1.0, 0.8, 0.3], "chance": [0.1, 0.1, 0.1]}
    values = {"mAP@all": 0.7}
    base = Report(
        "clip-at", "runs/a", "sketchy-21", "standard", True, "", values, values, {}, 1, 1, 1, 1.0, curve=curve
    )
    return replace(base, **changes)


def test_curves_of_all_reports_and_chance_are_drawn_and_told_apart():
    figure = plot_curves([report(), report(method="frozen-clip"), report(model="runs/b")])
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == [
        "clip-at, runs/a (mAP@all 70.0)",
        "frozen-clip, runs/a (mAP@all 70.0)",
        "clip-at, runs/b (mAP@all 70.0)",
        "chance",
    ]
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 4
    assert ax.lines[0].get_ydata().tolist() == [1.0, 0.8, 0.3]
    assert ax.get_xlabel() == "recall"


def test_reports_of_another_level_or_without_a_curve_are_refused():
    with pytest.raises(ValueError, match=r"clip-at on sketchy-21 is at category level .* with instance"):
        check_comparable([report()], "instance")
    with pytest.raises(ValueError, match="has no curve"):
        plot_curves([report(curve={})])
