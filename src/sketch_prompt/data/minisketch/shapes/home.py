"""Things at home: chair, table, couch, umbrella, guitar."""

from itertools import pairwise

import numpy as np

from ..geometry import Part, arc, box, ellipse, left_right, line, mirrored, moved, polygon, spline, tube, wire
from ..parameters import Parameters
from .registry import category


@category("chair")
def chair(p: Parameters) -> list[Part]:
    """A chair seen from the front and a little to the side."""
    width = p.real("width", 0.22, 0.32)
    depth = p.real("depth", 0.1, 0.22)
    shift = p.real("side_view", 0.08, 0.24)
    leg = p.real("leg_length", 0.34, 0.56)
    back = p.real("back_height", 0.4, 0.75)
    thick = p.real("leg_width", 0.04, 0.07)
    slats = p.count("slats", 0, 4)
    splay = p.real("leg_splay", -0.02, 0.08)
    crest = p.real("crest", 0.06, 0.16)
    far = np.array([shift, -depth])
    left, right = np.array([-width, 0.0]), np.array([width, 0.0])
    parts = []
    for corner, out in ((left + far, -0.5), (right + far, 0.5)):
        leg_path = line(corner, moved(corner, splay * out, leg * 0.92))
        parts.append(Part("back leg", tube(leg_path, thick * 0.8), "wood"))
    for corner in (left + far, right + far):
        parts.append(Part("back post", tube(line(corner, moved(corner, shift * 0.2, -back)), thick), "wood"))
    a, b = left + far + (shift * 0.2, -back), right + far + (shift * 0.2, -back)
    steps = np.arange(1, slats + 1) / (slats + 1)
    if slats == 0:
        low = (0, 0.1)
        panel = polygon(
            moved(a, 0, crest), moved(b, 0, crest), right + far - low, left + far - low, radius=0.03
        )
        parts.append(Part("back", panel, "cloth"))
    elif p.chance("upright_slats", 0.5):
        for t in steps:
            top, low = a + (b - a) * t, left + far + (right - left) * t
            parts.append(Part("back", tube(line(top, low), thick * 0.6), "wood"))
    else:
        for d in (np.array([0, back * t]) for t in steps):
            parts.append(Part("back", tube(line(a + d, b + d), thick * 1.1), "wood"))
    arch = p.real("crest_arch", 0.0, 0.1)
    top = np.concatenate(
        [
            spline(moved(a, -0.02, 0), (a + b) / 2 - (0, arch), moved(b, 0.02, 0)),
            spline(moved(b, 0.02, crest), moved((a + b) / 2, 0, crest - arch * 0.6), moved(a, -0.02, crest)),
        ]
    )
    parts.append(Part("crest", top, "wood"))
    seat = polygon(left, right, right + far, left + far, radius=0.03)
    parts += [
        Part("front leg", tube(line(c, moved(c, splay * s, leg)), thick), "wood")
        for c, s in ((moved(left, thick / 2, 0), -1), (right - (thick / 2, 0), 1))
    ]
    apron = polygon(left, right, moved(right, 0, 0.06), moved(left, 0, 0.06), radius=0.01)
    return [*parts, Part("seat", seat, "cloth"), Part("apron", apron, "wood")]


@category("table")
def table(p: Parameters) -> list[Part]:
    """A table with four legs, or a round one on a pedestal."""
    width = p.real("width", 0.42, 0.58)
    depth = p.real("depth", 0.1, 0.26)
    shift = p.real("side_view", -0.16, 0.16)
    leg = p.real("leg_length", 0.36, 0.62)
    thick = p.real("leg_width", 0.04, 0.09)
    taper = p.real("leg_taper", 0.4, 1.1)
    board = p.real("board", 0.04, 0.09)
    middle = np.zeros(2)
    if p.chance("round", 0.3):
        foot = p.real("foot_width", 0.4, 0.7) * width
        toes = (-foot, leg + 0.05), (-foot * 0.4, leg - 0.02), (0, leg - 0.06)
        post = tube(line((0, 0), (0, leg)), thick * 1.2, thick * 2, thick * 1.2, thick * 2.2)
        parts = [
            Part("foot", spline(*left_right(*toes), (0, leg + 0.08), closed=True), "wood"),
            Part("leg", post, "wood"),
            Part("edge", ellipse(0, board, width, depth * 0.8), "wood"),
            Part("top", ellipse(0, 0, width, depth * 0.8), "wood"),
        ]
    else:
        middle = np.array([shift / 2, -depth / 2])
        corners = (
            ("back leg", -width + shift + thick, -depth),
            ("back leg", width + shift - thick, -depth),
            ("front leg", -width + thick * 0.6, 0),
            ("front leg", width - thick * 0.6, 0),
        )
        legs = [(name, line((x, y), (x, y + leg))) for name, x, y in corners]
        parts = [Part(name, tube(path, thick, thick * taper), "wood") for name, path in legs]
        parts.append(Part("edge", box(0, board / 2, width * 2, board, 0.01), "wood"))
        if p.chance("drawer", 0.4):
            size, y = p.real("drawer_width", 0.3, 0.7) * width, board + 0.06
            pull = line((-0.04, y), (0.04, y))
            parts.insert(2, Part("drawer", box(0, y, size * 2, 0.12, 0.01), "trim", details=(pull,)))
        top = polygon((-width, 0), (width, 0), (width + shift, -depth), (-width + shift, -depth), radius=0.02)
        parts.append(Part("top", top, "wood"))
    if p.chance("vase", 0.35):
        tall = p.real("vase_height", 0.14, 0.28)
        shape = mirrored((0.03, 0), (0.035, tall * 0.25), (0.075, tall * 0.65), (0.045, tall))
        parts.append(Part("vase", moved(shape, middle[0] + width * 0.2, middle[1] - tall), "paint"))
    return parts


@category("couch")
def couch(p: Parameters) -> list[Part]:
    """An upholstered couch seen from the front."""
    width = p.real("width", 0.44, 0.66)
    back = p.real("back_height", 0.26, 0.44)
    arm = p.real("arm_width", 0.09, 0.17)
    arm_height = p.real("arm_height", 0.12, 0.26)
    seats = p.count("seats", 1, 3)
    cushion = p.real("cushion_height", 0.09, 0.16)
    base = p.real("base_height", 0.08, 0.16)
    leg = p.real("leg_length", 0.03, 0.13)
    curve = p.real("roundness", 0.03, 0.12)
    hump = p.real("back_hump", 0.0, 0.12)
    inside = width - arm
    low = cushion + base
    feet = [
        polygon((-0.03, low - 0.01), (0.03, low - 0.01), (0.02, low + leg), (-0.02, low + leg), at=(x, 0))
        for x in (-width + 0.08, width - 0.08)
    ]
    parts = [Part("leg", foot, "wood") for foot in feet]
    side = (
        (-inside - 0.02, 0.04),
        (-inside, -back * 0.85),
        (-inside * 0.5, -back - hump * 0.6),
        (0, -back - hump),
    )
    rest = spline(*left_right(*side))
    edges = np.linspace(-inside, inside, seats + 1)
    seams = tuple(line((x, 0), (x, -back * 0.85)) for x in edges[1:-1])
    parts.append(Part("back", rest, "cloth", details=seams))
    parts.append(Part("base", box(0, cushion + base / 2, inside * 2, base, 0.02), "cloth"))
    parts += [
        Part("cushion", box((a + b) / 2, cushion / 2, b - a, cushion, 0.03), "trim")
        for a, b in pairwise(edges)
    ]
    for s in (-1, 1):
        shape = box(s * (width - arm / 2), (low - arm_height) / 2, arm, low + arm_height, curve)
        parts.append(Part("arm", shape, "cloth"))
    if p.chance("pillow", 0.4):
        x = p.real("pillow_place", -0.5, 0.5) * inside
        pillow = polygon((0, -0.2), (0.12, -0.1), (0, 0.01), (-0.12, -0.1), radius=0.03, at=(x, 0))
        parts.append(Part("pillow", pillow, "paint"))
    return parts


@category("umbrella", turn=("tilt", -35, 35))
def umbrella(p: Parameters) -> list[Part]:
    """An open umbrella with a hooked handle."""
    width = p.real("width", 0.46, 0.62)
    height = p.real("height", 0.28, 0.5)
    panels = p.count("panels", 3, 6)
    scallop = p.real("scallop", 0.03, 0.09)
    shaft = p.real("shaft_length", 0.5, 0.85)
    hook = p.real("hook_size", 0.06, 0.12)
    tip = p.real("tip", 0.04, 0.12)
    point = p.real("dome", 0.6, 0.85)
    edges = np.linspace(-width, width, panels + 1)
    hem = [arc((a + b) / 2, 0, (b - a) / 2, scallop, 0, -180) for a, b in reversed(list(pairwise(edges)))]
    dome = spline(*left_right((-width, 0), (-width * point, -height * 0.62), (0, -height)))
    ribs = tuple(
        spline((0, -height), (x * 0.8 * (0.4 + point * 0.6), -height * 0.55), (x, -0.01)) for x in edges[1:-1]
    )
    grip = np.concatenate([line((0, shaft - 0.15), (0, shaft)), arc(-hook, shaft, hook, hook, 10, 175)])
    parts = [
        wire("shaft", line((0, -height - tip), (0, shaft)), 0.028, "metal"),
        wire("handle", grip, p.real("handle_width", 0.04, 0.065), "wood"),
        Part("canopy", np.concatenate([dome, *hem]), "cloth", details=ribs),
    ]
    return parts


@category("guitar", turn=("tilt", -50, 50))
def guitar(p: Parameters) -> list[Part]:
    """A guitar: a waisted body with a sound hole, a neck and a head."""
    lower = p.real("lower_bout", 0.24, 0.33)
    upper = p.real("upper_bout", 0.17, 0.26)
    waist = p.real("waist", 0.11, 0.17)
    body = p.real("body_length", 0.55, 0.75)
    neck = p.real("neck_length", 0.5, 0.75)
    neck_width = p.real("neck_width", 0.06, 0.1)
    hole = p.real("hole_size", 0.06, 0.1)
    head = p.real("head_length", 0.12, 0.22)
    shape = mirrored(
        (0, 0),
        (upper * 0.85, 0.03),
        (upper, body * 0.2),
        (waist, body * 0.44),
        (lower * 0.95, body * 0.64),
        (lower * 0.9, body * 0.86),
        (0, body),
    )
    half = neck_width * 0.45
    frets = tuple(line((-half, -neck * t), (half, -neck * t)) for t in (0.2, 0.4, 0.6, 0.8))
    knots = left_right((-neck_width * 0.5, -neck), (-neck_width * 0.9, -neck - head))
    parts = [Part("head", polygon(*knots, radius=0.015), "dark"), Part("body", shape, "wood")]
    pegs = p.count("pegs", 2, 3)
    for i in range(pegs):
        y = -neck - head * (0.25 + 0.6 * i / pegs)
        parts += [Part("peg", ellipse(s * neck_width * 1.15, y, 0.025, 0.018), "metal") for s in (-1, 1)]
    if p.chance("cutaway", 0.3):
        parts.append(Part("pick guard", ellipse(upper * 0.55, body * 0.38, 0.06, 0.12, 20), "dark"))
    board = box(0, (body * 0.2 - neck) / 2, neck_width, neck + body * 0.2, 0.005)
    parts += [
        Part("sound hole", ellipse(0, body * 0.38, hole), "dark"),
        Part("neck", board, "trim", details=frets),
        Part("bridge", box(0, body * 0.72, p.real("bridge_width", 0.14, 0.24), 0.04, 0.01), "dark"),
    ]
    parts += [
        wire("string", line((x, -neck), (x, body * 0.72)), 0.006, "light")
        for x in (-neck_width * 0.2, neck_width * 0.2)
    ]
    return parts
