"""The model cards of the bundled checkpoints."""

import re
from pathlib import Path

import pytest

from sketch_prompt.data.minisketch.generator import MiniSketch
from sketch_prompt.models.auto import MODELS

REPOSITORY = Path(__file__).resolve().parents[2]
ASSETS = REPOSITORY / "src" / "sketch_prompt" / "assets"


BUNDLED = [method for method in MODELS if (REPOSITORY / "model_cards" / f"mini-{method}.md").is_file()]


@pytest.mark.parametrize("method", BUNDLED)
def test_the_code_on_the_card_of_a_bundled_checkpoint_runs(method, tmp_path, monkeypatch):
    card = (REPOSITORY / "model_cards" / f"mini-{method}.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    mini = MiniSketch()
    sketch, photos = mini.sketch("teapot", 0), [mini.photo("teapot", n) for n in (0, 1)]
    for name, picture in {"drawing.png": sketch, "1.jpg": photos[0], "2.jpg": photos[1]}.items():
        picture.save(name)
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1].replace("path/or/hub-id", f"mini-{method}")
    names = {"sketch": sketch, "photos": photos}
    exec(code, names)
    assert names["scores"].shape == (1, 2)
    assert names["sketch_features"].shape[1] == names["photo_features"].shape[1]
