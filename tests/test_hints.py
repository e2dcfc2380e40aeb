import pytest

from sketch_prompt.hints import nearest, suggestion, with_new_names


def test_the_nearest_name_is_found_whatever_its_case():
    assert nearest("sketchy_21", ["sketchy-21", "Shoe-V2"]) == "sketchy-21"
    assert nearest("shoe-v2", ["sketchy-21", "Shoe-V2"]) == "Shoe-V2"


def test_a_name_like_none_gets_the_whole_list():
    assert nearest("zzz", ["cup", "cat"]) is None
    assert suggestion("zzz", ["cup", "cat"]) == "known: cup, cat"
    assert suggestion("cupp", ["cup", "cat"]) == "did you mean 'cup'?"


def test_an_old_name_is_accepted_with_a_warning_but_not_beside_the_new_one():
    with pytest.warns(FutureWarning, match="here: a is now called b"):
        assert with_new_names({"a": 1, "c": 2}, {"a": "b"}, "here") == {"b": 1, "c": 2}
    with pytest.warns(FutureWarning), pytest.raises(ValueError, match="b is given twice"):
        with_new_names({"a": 1, "b": 2}, {"a": "b"}, "here")
