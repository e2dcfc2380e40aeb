import json

import pytest

from sketch_prompt.data.class_names import class_key
from sketch_prompt.data.splits import (
    SPLIT_NAMES,
    BenchmarkSplit,
    published_protocols,
    published_split,
    random_split,
    read_split,
)

SIZES = {
    "sketchy-25": (100, 25),
    "sketchy-21": (104, 21),
    "tu-berlin-30": (220, 30),
    "quickdraw-30": (80, 30),
}


@pytest.mark.parametrize("protocol", SIZES)
def test_published_splits_have_the_published_numbers_of_classes(protocol):
    split = published_split(protocol)
    assert (len(split.seen), len(split.unseen)) == SIZES[protocol]
    assert list(split.seen) == sorted(split.seen) and list(split.unseen) == sorted(split.unseen)
    assert set(split.counts) == set(SPLIT_NAMES)


def test_published_splits_equal_the_ground_truth(shared):
    for protocol, truth in json.loads((shared("splits") / "benchmarks.json").read_text()).items():
        split = published_split(protocol)
        assert {class_key(name) for name in truth["seen_classes"]} == set(map(class_key, split.seen))
        assert {class_key(name) for name in truth["unseen_classes"]} == set(map(class_key, split.unseen))
        assert dict(split.counts) == truth["counts"]
        for spelling in truth["seen_classes"] + truth["unseen_classes"]:
            assert class_key(split.class_of(spelling)) == class_key(spelling)


def test_an_unknown_protocol_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'sketchy-21'"):
        published_split("sketchy21")


def test_a_split_is_read_from_yaml_with_normalised_names(tmp_path):
    path = tmp_path / "split.yaml"
    path.write_text("seen: [Hot-Dog, cat]\nunseen: [wine_bottle]\naliases: {felis: cat}\n")
    split = read_split(path)
    assert split.seen == ("cat", "hot dog") and split.unseen == ("wine bottle",)
    assert split.class_names == ("cat", "hot dog", "wine bottle")
    assert split.class_of("Felis") == "cat"
    assert split.class_of("hot_dog") == "hot dog"
    assert split.class_of("dog") is None


def test_a_split_is_read_from_a_protocol_a_mapping_or_itself():
    split = read_split({"seen": ["cat"], "unseen": ["dog"]})
    assert read_split(split) is split
    assert read_split("sketchy-25") == published_split("sketchy-25")
    assert "sketchy-25" in published_protocols()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seen: [cat]\nunseen: [Cat]", "both seen and unseen: cat"),
        ("seen: cat", "must be a list of names"),
        ("sen: [cat]", "unknown key 'sen': did you mean 'seen'"),
        ("[cat, dog]", "must hold the lists"),
        ("seen: []", "at least one class"),
        ("seen: [cat]\naliases: {kitty: dog}", "'dog', which is not a class of the split"),
        ("seen: [cat]\naliases: [kitty]", "`aliases` must map"),
        ("seen: ['--']", "no letter or digit"),
        ("seen: [cat", "not valid YAML"),
    ],
)
def test_a_bad_split_file_is_an_error_that_names_file_and_fault(tmp_path, content, message):
    path = tmp_path / "split.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_split(path)
    assert str(path) in str(error.value)


def test_a_missing_split_file_is_an_error_that_says_what_can_be_given(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a YAML file"):
        read_split(tmp_path / "none.yaml")


def test_a_random_split_depends_on_the_seed_alone_and_leaves_classes_on_both_sides():
    names = [f"class {i}" for i in range(10)]
    assert random_split(names, 0.2, seed=3) == random_split(reversed(names), 0.2, seed=3)
    assert len(random_split(names, 0.2).unseen) == 2
    assert len(random_split(["a", "b"], 0.01).unseen) == 1
    assert len(random_split(["a", "b"], 0.99).seen) == 1
    assert random_split(names, 1.0).seen == ()
    assert random_split(names, 0.0).unseen == ()
    assert len({random_split(names, 0.2, seed=seed).unseen for seed in range(10)}) > 1
    with pytest.raises(ValueError, match="from 0 to 1"):
        random_split(names, 20)


def test_splits_can_be_compared_and_printed_but_not_changed():
    split = BenchmarkSplit(seen=["dog"], unseen=["cat"])
    with pytest.raises(AttributeError):
        split.seen = ()
