import numpy as np
import pytest
import torch

from fakes.correspondences import correspondence
from part_fidelity import (
    chance_share,
    measure_fidelity,
    patch_parts,
    same_part_share,
    untrained,
)
from sketch_prompt import SketchPromptModel
from sketch_prompt.data.minisketch import SEEN_CLASSES, MiniSketch


@pytest.fixture(scope="module")
def model():
    return SketchPromptModel.from_pretrained("mini-clip-at")


def test_a_patch_is_of_the_part_it_shows_most_of():
    parts = np.zeros((40, 80), np.uint8)
    parts[:20, :20] = 3
    parts[:20, 20:28] = 1  # 40 % of patch 1
    parts[:20, 28:40] = 2  # 60 % of it
    parts[20:40, 78:80] = 5  # 10 % of the last patch
    parts[20:40, 59:60] = 5  # 5 % of the one before
    assert patch_parts(parts, (0, 0, 80, 40), (2, 4)).tolist() == [3, 2, 0, 0, 0, 0, 0, 5]
    assert patch_parts(parts, (0, 0, 20, 20), (2, 2)).tolist() == [3, 3, 3, 3]
    # padded on the left: the grid begins before the picture does
    assert patch_parts(parts, (-20, 0, 20, 20), (1, 2)).tolist() == [0, 3]


def test_chance_is_the_probability_over_all_pairs():
    rng = np.random.default_rng(0)
    sketch, photo = rng.integers(0, 4, 30), rng.integers(0, 4, 50)
    expected = np.mean([[s > 0 and s == p for p in photo] for s in sketch])
    assert chance_share(sketch, photo) == pytest.approx(expected)
    assert chance_share(np.zeros(3, int), photo) == 0 == chance_share(sketch, np.zeros(0, int))


def test_a_match_counts_if_both_patches_show_the_same_part():
    sketch, photo = np.zeros(16, int), np.zeros(16, int)
    known = correspondence()  # 5 with 4, 2 with 1
    assert same_part_share(known, sketch, photo) == 0  # no part is no part in common
    sketch[5] = photo[4] = 7
    assert same_part_share(known, sketch, photo) == 0.5
    sketch[2], photo[1] = 1, 2
    assert same_part_share(known, sketch, photo) == 0.5
    none = correspondence(matches=np.zeros((0, 2), int), weights=np.zeros(0))
    assert same_part_share(none, sketch, photo) == 0


def test_explanations_of_the_bundled_model_mean_something(model):
    """Far above chance and above the same architecture with a CLIP that has learned nothing (seen classes)."""
    classes = SEEN_CLASSES[::3]
    learned = measure_fidelity(model, classes, instances=2)
    nothing = measure_fidelity(untrained(model, backbone=True), classes, instances=2)
    assert learned.pairs == 2 * len(classes) and 9 < learned.matches <= 10
    assert learned.chance == nothing.chance < learned.chance_on_object < 0.5
    assert learned.share > learned.chance_on_object + 5 * learned.standard_error
    assert learned.share > nothing.share + 0.15


def test_untrained_models_are_the_architecture_without_what_it_learned(model):
    adapter, everything = untrained(model, seed=1), untrained(model, seed=1, backbone=True)
    assert adapter.clip is model.clip and everything.clip is not model.clip
    assert adapter.processor is everything.processor is model.processor
    for fresh in (adapter, everything):
        assert not torch.equal(fresh.adapter.sketch_prompts, model.adapter.sketch_prompts)
        assert not fresh.training
        assert fresh.config.class_names == model.config.class_names
    assert torch.allclose(adapter.adapter.class_embeddings, model.adapter.class_embeddings, atol=1e-5)
    again = untrained(model, seed=1)
    assert torch.equal(again.adapter.sketch_prompts, adapter.adapter.sketch_prompts)


def test_a_conditional_model_is_told_each_class_by_other_instances_and_forgets_it(model, monkeypatch):
    conditional = SketchPromptModel.from_base_model("dp-clip", "mini-clip").eval()
    conditional.processor = model.processor
    told, explain = [], conditional.explain
    monkeypatch.setattr(
        conditional, "explain", lambda *pair, **given: told.append(given) or explain(*pair, **given)
    )
    assert measure_fidelity(conditional, ["cup", "cat"], instances=1).pairs == 2
    assert told == [{"category": "cup"}, {"category": "cat"}]
    assert conditional.categories == []
    conditional.add_category("cat", [MiniSketch().sketch("cat", 0)], [])
    stored = conditional.adapter.category_prompts
    measure_fidelity(conditional, ["cat"], instances=1)
    assert conditional.categories == ["cat"] and conditional.adapter.category_prompts is stored
    assert untrained(conditional).categories == []
