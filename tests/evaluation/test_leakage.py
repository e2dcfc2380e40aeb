import pytest

from sketch_prompt.evaluation import SeenClassError, check_classes


def test_disjoint_classes_are_zero_shot():
    claim = check_classes(["car", "cup"], ["bee", "door"])
    assert claim.zero_shot
    assert claim.text == "zero-shot: none of the 2 test classes was seen in training"


def test_untrained_model_is_zero_shot_everywhere():
    assert check_classes([], ["bee"]).zero_shot


def test_seen_classes_are_refused_by_name_in_any_spelling():
    with pytest.raises(
        SeenClassError, match=r"2 of the 3 test classes .*: hot air balloon, t-shirt\..*--allow-seen"
    ):
        check_classes(["T shirt", "hot-air_balloon", "cup"], ["t-shirt", "bee", "hot air balloon"])


def test_allowing_seen_classes_weakens_the_claim():
    claim = check_classes(["car"], ["car", "bee"], allow_seen=True)
    assert not claim.zero_shot
    assert claim.text == "not zero-shot: 1 of 2 test classes were seen in training"
    assert claim.seen == ("car",)


def test_photos_of_seen_classes_in_the_gallery_make_it_generalised():
    claim = check_classes(["car"], ["bee", "door"], distractors={"car": 1200, "cup": 34})
    assert claim.setting == "gzs" and claim.zero_shot
    assert claim.text == (
        "generalised zero-shot: gallery holds 1,234 photos of 2 seen classes; "
        "none of the 2 test classes was seen in training"
    )


def test_seen_queries_are_never_generalised_zero_shot():
    with pytest.raises(SeenClassError):
        check_classes(["bee"], ["bee"], distractors={"car": 1})
    claim = check_classes(["bee"], ["bee"], allow_seen=True, distractors={"car": 1})
    assert claim.setting == "seen" and not claim.zero_shot
    assert claim.text.startswith("not zero-shot: 1 of 1") and "gallery holds 1 photos of 1 seen" in claim.text


def test_new_instances_of_seen_classes_are_allowed_where_the_protocol_parts_instances():
    claim = check_classes(["shoe"], ["shoe"], new_instances=True)
    assert claim.setting == "instances" and not claim.zero_shot
    assert claim.text == (
        "instances: no photo searched for is in the benchmark's training data; "
        "1 of the 1 test classes was seen in training"
    )


def test_a_model_that_saw_nothing_is_zero_shot_there_and_stands_in_the_same_table():
    claim = check_classes([], ["shoe"], new_instances=True)
    assert claim.setting == "instances" and claim.zero_shot
    assert claim.text.endswith("none of the 1 test classes was seen in training")
