from sketch_prompt.hints import nearest, suggestion


def test_the_nearest_name_is_found_whatever_its_case():
    assert nearest("sketchy_21", ["sketchy-21", "Shoe-V2"]) == "sketchy-21"
    assert nearest("shoe-v2", ["sketchy-21", "Shoe-V2"]) == "Shoe-V2"


def test_a_name_like_none_gets_the_whole_list():
    assert nearest("zzz", ["cup", "cat"]) is None
    assert suggestion("zzz", ["cup", "cat"]) == "known: cup, cat"
    assert suggestion("cupp", ["cup", "cat"]) == "did you mean 'cup'?"
