import numpy as np
import pytest

from sketch_prompt.data.minisketch.geometry import fit_to_unit_square, turned
from sketch_prompt.data.minisketch.parameters import Parameters
from sketch_prompt.data.minisketch.shapes import SHAPE_PROGRAMS
from sketch_prompt.data.minisketch.shapes.registry import category
from sketch_prompt.data.minisketch.surfaces import MATERIALS

INSTANCES = 12


def _geometry(name, instance, overrides=None):
    parameters = Parameters(np.random.default_rng(instance), overrides)
    parts = fit_to_unit_square(SHAPE_PROGRAMS[name](parameters))
    widths = np.array([[part.wire_width or 0.0, 0.0] for part in parts])
    lines = [line for part in parts for line in (part.outline, *part.holes, *part.details)]
    return np.concatenate([widths, *lines]), parameters


@pytest.mark.parametrize("name", sorted(SHAPE_PROGRAMS))
def test_at_least_six_parameters_change_the_geometry(name):
    effective = set()
    for instance in range(INSTANCES):
        before, parameters = _geometry(name, instance)
        for parameter, value in parameters.values.items():
            low, high = parameters.ranges[parameter]
            other = low if value > (low + high) / 2 else high
            after, _ = _geometry(name, instance, {parameter: type(value)(other)})
            if before.shape != after.shape or np.abs(before - after).max() > 0.005:
                effective.add(parameter)
    assert len(effective) >= 6
    drawn = {parameter for instance in range(INSTANCES) for parameter in _geometry(name, instance)[1].values}
    assert effective == drawn, f"no effect: {sorted(drawn - effective)}"


@pytest.mark.parametrize("name", sorted(SHAPE_PROGRAMS))
def test_parts_have_a_name_and_a_known_material(name):
    for part in SHAPE_PROGRAMS[name](Parameters(np.random.default_rng(0))):
        assert part.name and part.material in MATERIALS


def test_two_programs_cannot_share_a_name():
    with pytest.raises(ValueError, match="'cup'"):
        category("cup")(lambda parameters: [])


def test_a_category_that_turns_draws_the_angle_last_and_turns_the_finished_shape():
    upright = Parameters(np.random.default_rng(0), {"tilt": 0.0})
    tilted = Parameters(np.random.default_rng(0), {"tilt": 40.0})
    before, after = SHAPE_PROGRAMS["spoon"](upright), SHAPE_PROGRAMS["spoon"](tilted)
    assert list(tilted.values)[-1] == "tilt"
    for one, other in zip(before, after):
        np.testing.assert_allclose(turned(one.outline, 40.0), other.outline)
