"""Things that grow: tree, palm tree, cactus, flower."""

import numpy as np

from ..geometry import Part, ellipse, left_right, line, moved, spline, trapezium, tube, turned, wire
from ..parameters import Parameters
from .registry import category


def _pot(y: float, width: float, height: float) -> list[Part]:
    bowl = trapezium(width * 0.85, y, width * 0.62, y + height, radius=0.02)
    rim = trapezium(width, y - 0.03, width, y + 0.06, radius=0.015)
    return [Part("pot", bowl, "clay"), Part("pot rim", rim, "clay")]


def _cloud(cx: float, cy: float, rx: float, ry: float, lobes: int, depth: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 12 * lobes, endpoint=False)
    swell = 1 - depth + depth * abs(np.sin(angle * lobes / 2))
    return np.stack([cx + rx * swell * np.cos(angle), cy + ry * swell * np.sin(angle)], axis=1)


@category("tree")
def tree(p: Parameters) -> list[Part]:
    """A leafy tree: a trunk with roots and a lobed crown, perhaps with fruit."""
    width = p.real("crown_width", 0.34, 0.52)
    height = p.real("crown_height", 0.28, 0.5)
    lobes = p.count("lobes", 6, 11)
    depth = p.real("lobe_depth", 0.08, 0.26)
    trunk = p.real("trunk_length", 0.3, 0.6)
    thick = p.real("trunk_width", 0.1, 0.2)
    root = p.real("root_width", 1.3, 2.6)
    bend = p.real("trunk_bend", -0.1, 0.1)
    stem = spline((bend, -height * 0.5), (bend * 0.5, trunk * 0.4), (0, trunk * 0.85), (0, trunk))
    bark = tuple(
        line((x, a), (x, b), scale=(thick, trunk)) for x, a, b in ((-0.15, 0.3, 0.6), (0.18, 0.45, 0.75))
    )
    parts = [Part("trunk", tube(stem, thick * 0.7, thick * 0.9, thick, thick * root), "wood", details=bark)]
    if p.chance("branch", 0.4):
        side = 1 if bend < 0 else -1
        branch = spline((0, trunk * 0.35), (side * 0.12, trunk * 0.15), (side * 0.2, -0.02))
        parts.append(Part("branch", tube(branch, 0.07, 0.04), "wood"))
    crown = _cloud(bend, -height * 0.75, width, height, lobes, depth)
    curls = tuple(
        moved(spline((-0.07, 0.03), (0, -0.03), (0.07, 0.03)), bend + x * width, -height * y)
        for x, y in ((-0.4, 0.6), (0.25, 1.05), (0.35, 0.4))
    )
    parts.append(Part("crown", crown, "leaf", details=curls))
    fruit = p.count("fruit", 0, 5)
    places = ((-0.5, 0.9), (0.1, 0.5), (0.5, 0.9), (-0.15, 1.3), (-0.3, 0.3))[:fruit]
    return parts + [Part("fruit", ellipse(bend + x * width, -height * y, 0.04), "fruit") for x, y in places]


@category("palm tree")
def palm_tree(p: Parameters) -> list[Part]:
    """A palm with a ringed, bent trunk and arching fronds."""
    height = p.real("height", 0.75, 1.15)
    bend = p.real("bend", -0.3, 0.3)
    thick = p.real("trunk_width", 0.08, 0.15)
    fronds = p.count("fronds", 5, 8)
    reach = p.real("frond_length", 0.4, 0.62)
    droop = p.real("droop", 0.12, 0.42)
    blade = p.real("frond_width", 0.08, 0.15)
    nuts = p.count("coconuts", 0, 3)
    path = spline((0, 0), (bend * 0.15, -height * 0.4), (bend, -height))
    half = np.array([thick * 0.45, 0])
    rings = tuple(line(knot - half, knot + half) for knot in path[2:-2:2])
    parts = []
    if p.chance("island", 0.5):
        island = spline((-0.4, 0.06), (-0.2, -0.06), (0.2, -0.06), (0.4, 0.06), closed=True)
        parts.append(Part("island", island, "sand"))
    parts.append(Part("trunk", tube(path, thick * 1.3, thick, thick * 0.8), "wood", details=rings))
    for angle in np.linspace(-200, 20, fronds):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        tip = (bend + reach * c, -height + reach * s * 0.6 + droop * (0.5 + abs(c) * 0.5))
        middle = (bend + reach * c * 0.6, -height + reach * s * 0.75 - 0.03)
        spine = spline((bend, -height), middle, tip)
        parts.append(Part("frond", tube(spine, 0.03, blade, blade, 0.01), "leaf", details=(spine[1:-2],)))
    spots = ((-0.06, 0.04), (0.06, 0.05), (0.0, 0.09))[:nuts]
    return parts + [Part("coconut", ellipse(bend + x, -height + y, 0.05), "wood") for x, y in spots]


@category("cactus")
def cactus(p: Parameters) -> list[Part]:
    """A desert cactus with arms, sometimes in a pot, sometimes in flower."""
    height = p.real("height", 0.7, 1.1)
    thick = p.real("width", 0.2, 0.34)
    arms = p.count("arms", 1, 3)
    reach = p.real("arm_reach", 0.16, 0.28)
    arm = thick * p.real("arm_width", 0.5, 0.75)
    rise = p.real("arm_length", 0.18, 0.4)
    first = p.real("arm_height", 0.35, 0.6)
    ribs = p.count("ribs", 1, 3)
    parts = []
    for i in range(arms):
        side = (-1, 1, -1)[i]
        y = -height * (first + (0, 0.12, 0.27)[i])
        x = thick * 0.3 * side
        out = thick * 0.5 + reach * (1, 0.9, 0.6)[i]
        path = spline(
            (x, y), (side * out * 0.85, y - 0.01), (side * out, y - rise * 0.4), (side * out, y - rise)
        )
        parts.append(Part("arm", tube(path, arm * 0.9, arm, arm, arm, arm * 0.55), "leaf"))
    side = (-thick / 2, 0), (-thick / 2, -height * 0.5), (-thick * 0.42, -height * 0.92), (0, -height)
    body = spline(*left_right(*side))
    lines = tuple(
        line((x, -0.05), (x, -height * 0.88)) for x in np.linspace(-thick / 2, thick / 2, ribs + 2)[1:-1]
    )
    parts.append(Part("stem", body, "leaf", details=lines))
    if p.chance("flower", 0.4):
        parts += [
            Part("flower", ellipse(s * 0.05, -height - 0.02, 0.05, 0.03, s * 30), "fruit") for s in (-1, 1)
        ]
    if p.chance("pot", 0.5):
        parts += _pot(-0.02, thick * p.real("pot_width", 0.75, 1.1), p.real("pot_height", 0.2, 0.36))
    else:
        parts.insert(0, Part("ground", ellipse(0, 0, thick * 1.4, 0.06), "sand"))
    return parts


@category("flower")
def flower(p: Parameters) -> list[Part]:
    """One blossom on a stem with leaves."""
    petals = p.count("petals", 5, 10)
    length = p.real("petal_length", 0.18, 0.32)
    width = p.real("petal_width", 0.5, 1.0) * np.pi * (length + 0.1) / petals * 0.75
    heart = p.real("heart", 0.08, 0.16)
    stem = p.real("stem_length", 0.5, 0.95)
    bend = p.real("stem_bend", -0.14, 0.14)
    leaves = p.count("leaves", 1, 2)
    leaf = p.real("leaf_length", 0.2, 0.38)
    path = spline((0, 0), (bend, stem * 0.5), (bend * 0.4, stem))
    parts = [Part("stem", tube(path, 0.035, 0.05), "leaf")]
    for i in range(leaves):
        side = (1, -1)[i]
        y = stem * (0.72 - 0.16 * i)
        blade = spline(
            (0, 0), (leaf * 0.4, -leaf * 0.35), (leaf, -leaf * 0.4), (leaf * 0.5, 0.02), closed=True
        )
        rib = spline((0, 0), (leaf * 0.5, -leaf * 0.2), (leaf * 0.85, -leaf * 0.36))
        blade, rib = (moved(curve * (side, 1), bend * 0.9, y) for curve in (blade, rib))
        parts.append(Part("leaf", blade, "leaf", details=(rib,)))
    if p.chance("pot", 0.35):
        parts += _pot(stem, p.real("pot_width", 0.16, 0.26), 0.24)
    else:
        parts.append(wire("grass", line((bend * 0.4 - 0.12, stem), (bend * 0.4 + 0.12, stem)), 0.02, "leaf"))
    point = p.real("petal_point", 0.3, 0.8)
    y = -heart - length * point
    petal = spline((0, -heart * 0.6), (width * 0.6, y), (0, -heart - length), (-width * 0.6, y), closed=True)
    parts += [Part("petal", turned(petal, 360 * i / petals), "paint") for i in range(petals)]
    return [*parts, Part("heart", ellipse(0, 0, heart), "fruit")]
