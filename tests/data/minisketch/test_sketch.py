from dataclasses import replace

import numpy as np

from sketch_prompt.data.minisketch.geometry import Part, box, ellipse, line
from sketch_prompt.data.minisketch.sketch import Hand, render_sketch


def _ink(parts, seed=0, size=96):
    return 255 - np.asarray(render_sketch(parts, size, np.random.default_rng(seed)))[..., 0].astype(int)


def test_lines_hidden_by_a_part_in_front_are_not_drawn():
    back, front = Part("back", box(0.5, 0.5, 0.3, 0.8)), Part("front", box(0.5, 0.5, 0.8, 0.35))
    both = sum(_ink([back, front], seed).sum() for seed in range(10))
    apart = sum(_ink([back, replace(front, drawn=False)], seed).sum() for seed in range(10))
    front_only = sum(_ink([replace(back, drawn=False), front], seed).sum() for seed in range(10))
    assert front_only < both < 0.9 * (apart + front_only)


def test_a_part_that_is_not_drawn_leaves_no_ink():
    assert _ink([Part("drink", ellipse(0.5, 0.5, 0.3), drawn=False)]).sum() == 0


def test_some_drawers_leave_details_out_and_some_do_not():
    bare = Part("shell", ellipse(0.5, 0.5, 0.4))
    detailed = replace(bare, details=(line((0.3, 0.5), (0.7, 0.5)),))
    centre = [_ink([detailed], seed)[40:56, 40:56].sum() > 0 for seed in range(40)]
    assert 5 < sum(centre) < 40


def test_drawers_differ_in_width_and_darkness():
    hands = [Hand.random(np.random.default_rng(seed)) for seed in range(30)]
    assert max(hand.width for hand in hands) > 1.5 * min(hand.width for hand in hands)
    assert {hand.strokes for hand in hands} == {1, 2}
    assert {hand.looseness for hand in hands} == {1, 2, 3}
