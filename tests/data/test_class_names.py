import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketch_prompt.data import published
from sketch_prompt.data.class_names import class_key, merge_spellings, normalize_class_name

SPLITS = published()["splits"]
NAMES = {protocol: split["seen"] + split["unseen"] for protocol, split in SPLITS.items()}
ALL_NAMES = sorted({name for names in NAMES.values() for name in names})

SPELLINGS = {
    "hot air balloon": [
        "hot-air_balloon",
        "hot air balloon",
        "hotairballoon",
        "Hot_Air_Balloon",
        " hot-air balloon ",
    ],
    "car sedan": ["car_(sedan)", "car (sedan)", "carsedan", "car-sedan"],
    "t-shirt": ["t-shirt", "tshirt", "T_shirt", "t shirt"],
    "frying pan": ["frying-pan", "frying pan", "fryingpan", "frying_pan"],
    "jack-o-lantern": ["jack-o-lantern", "jackolantern", "jack o lantern"],
    "teddy bear": ["teddy-bear", "teddy_bear", "teddybear"],
    "hot dog": ["hot-dog", "hotdog", "hot dog"],
    "pipe for smoking": ["pipe (for smoking)", "pipe_(for_smoking)", "pipe for smoking"],
    "wine bottle": ["wine_bottle", "wine bottle", "wine-bottle", "winebottle"],
}


@pytest.mark.parametrize("readable", SPELLINGS)
def test_every_spelling_of_a_class_gives_its_readable_name(readable):
    assert {normalize_class_name(spelling) for spelling in SPELLINGS[readable]} == {readable}
    assert len({class_key(spelling) for spelling in SPELLINGS[readable]}) == 1


@pytest.mark.parametrize("protocol", NAMES)
def test_two_classes_of_one_benchmark_never_collide(protocol):
    assert len(set(map(class_key, NAMES[protocol]))) == len(NAMES[protocol])
    assert len(set(map(normalize_class_name, NAMES[protocol]))) == len(NAMES[protocol])


@pytest.mark.parametrize("separator", ["_", "-", " ", ""])
def test_published_classes_are_found_under_every_separator(separator):
    for name in ALL_NAMES:
        spelling = name.replace("-", " ").replace(" ", separator)
        assert normalize_class_name(spelling.upper()) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("crocodile", "crocodilian"),
        ("motorbike", "motorcycle"),
        ("The Eiffel Tower", "eiffel tower"),
        ("mouse (animal)", "mouse"),
        ("bear (animal)", "bear"),
    ],
)
def test_names_of_one_class_that_differ_between_packagings_compare_equal(one, other):
    assert class_key(one) == class_key(other)


@given(st.text())
def test_normalising_keeps_the_key_and_is_idempotent(name):
    try:
        key = class_key(name)
    except ValueError:
        with pytest.raises(ValueError, match="no letter or digit"):
            normalize_class_name(name)
        return
    readable = normalize_class_name(name)
    assert class_key(readable) == key
    assert normalize_class_name(readable) == readable
    assert readable == readable.strip() and "  " not in readable


@given(st.sampled_from(ALL_NAMES), st.data())
def test_any_mix_of_separators_and_case_is_the_same_class(name, data):
    letters = [data.draw(st.sampled_from(["", "_", "-", " ", "("])) + c for c in name if c.isalnum()]
    spelling = "".join(c.upper() if data.draw(st.booleans()) else c for c in letters)
    assert normalize_class_name(spelling) == name


def test_unknown_names_keep_letters_of_every_script():
    assert normalize_class_name("Käse_Brot") == "käse brot"
    assert normalize_class_name("бабочка") == "бабочка"
    assert class_key("कि") != class_key("का")


def test_merging_prefers_the_spelling_with_the_most_words():
    assert merge_spellings(["firetruck", "Fire-Truck", "cat"]) == {"firetruck": "fire truck", "cat": "cat"}
