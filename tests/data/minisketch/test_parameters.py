import numpy as np

from sketch_prompt.data.minisketch.parameters import Parameters


def test_values_stay_in_their_ranges_and_are_remembered():
    for seed in range(50):
        p = Parameters(np.random.default_rng(seed))
        height, legs, lid = p.real("height", 2.0, 3.0), p.count("legs", 3, 5), p.chance("lid", 0.5)
        assert 2 <= height <= 3 and legs in (3, 4, 5) and lid in (True, False)
        assert p.values == {"height": height, "legs": legs, "lid": lid}
        assert p.ranges == {"height": (2.0, 3.0), "legs": (3, 5), "lid": (0, 1)}


def test_an_override_leaves_the_other_parameters_as_they_are():
    def draw(overrides):
        p = Parameters(np.random.default_rng(0), overrides)
        return [p.real("a", 0, 1), p.real("b", 0, 1), p.real("c", 0, 1)]

    a, b, c = draw({})
    assert draw({"b": 7.0}) == [a, 7.0, c] and b != 7.0
