"""Metrics and the demo go to the Hub as Spaces."""

import re
from pathlib import Path

import evaluate
import pytest

from sketch_prompt.hub.upload import push
from sketch_prompt.metrics.loading import METRICS, push_metric

SPACE = Path(__file__).resolve().parents[2] / "space"


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_pushed_with_a_card_and_computes_as_its_card_says(hub, name):
    commit = push_metric(name, f"me/{name}")
    files = hub[f"spaces/me/{name}"].files()
    assert set(files) == {f"{name}.py", "app.py", "requirements.txt", "README.md"}
    assert commit.startswith(f"{hub.url}/spaces/me/{name}/commit/")
    code = re.search(r"```python\n(.*?)```", files["README.md"].decode(), re.DOTALL)[1]
    assert f'evaluate.load("me/{name}")' in code
    names = {}
    exec(code.replace("metric.compute", "found = metric.compute"), names)
    assert all(value == 1.0 for value in names["found"].values())
    assert evaluate.__version__


def test_a_metric_needs_a_repository_of_its_name(hub):
    with pytest.raises(ValueError, match=r"push it to \.\.\./sketch_retrieval"):
        push_metric("sketch_retrieval", "me/other")
    with pytest.raises(ValueError, match="Unknown metric"):
        push_metric("map", "me/map")


def test_the_demo_is_pushed_as_the_space_that_its_card_describes(hub):
    files = [path.name for path in SPACE.iterdir() if path.is_file()]
    push(lambda *_: files, "me/draw", repo_type="space", space_sdk="gradio", directory=SPACE)
    assert set(hub["spaces/me/draw"].files()) == set(files)
