import numpy as np
import pytest

from sketch_prompt.metrics import (
    CONVENTIONS,
    chance_level,
    evaluate_instance_retrieval,
    evaluate_retrieval,
    instance_chance_level,
)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_chance_level_is_what_random_features_score(convention):
    generator = np.random.default_rng(0)
    gallery_labels = np.repeat([0, 1, 2, 3], [2, 8, 20, 30])
    query_labels = generator.integers(0, 4, 4000)
    random_scores = generator.standard_normal((4000, 60))
    measured = evaluate_retrieval(
        random_scores, np.eye(60), query_labels, gallery_labels, convention, ks=(1, 10, 80)
    )
    expected = chance_level(query_labels, gallery_labels, convention, ks=(1, 10, 80))
    assert list(expected) == list(measured)
    assert expected == pytest.approx(measured, abs=0.03)


def test_standard_chance_level_is_exact_on_a_case_worked_by_hand():
    # one relevant photo of two: first in half of the rankings
    chance = chance_level([0], [0, 1], ks=(1, 2))
    assert chance == {"mAP@all": 0.75, "mAP@1": 0.5, "P@1": 0.5, "mAP@2": 0.75, "P@2": 0.5}


def test_instance_chance_level_is_the_share_of_the_category_gallery():
    chance = instance_chance_level(["cup", "cup", "pen"], ["cup"] * 10 + ["pen"] * 2, ks=(1, 5))
    assert chance == {
        "Acc@1": pytest.approx((0.1 + 0.1 + 0.5) / 3),
        "Acc@5": pytest.approx((0.5 + 0.5 + 1) / 3),
    }
    generator = np.random.default_rng(0)
    measured = evaluate_instance_retrieval(
        generator.standard_normal((4000, 10)),
        np.eye(10),
        generator.integers(0, 10, 4000),
        np.arange(10),
        ks=(3,),
    )
    assert measured["Acc@3"] == pytest.approx(0.3, abs=0.03)


def test_chance_without_any_photo_of_a_query_label_is_an_error():
    with pytest.raises(ValueError, match="No query has a photo"):
        chance_level([3], [0, 1])
