"""Things to eat: apple, pear, banana, carrot, ice cream, mushroom."""

import numpy as np

from ..geometry import (
    Part,
    arc,
    ellipse,
    left_right,
    line,
    mirrored,
    moved,
    spline,
    trapezium,
    tube,
    turned,
    wire,
)
from ..parameters import Parameters
from .registry import category


def _leaf(x: float, y: float, length: float, width: float, angle: float) -> Part:
    blade = spline((0, 0), (length * 0.35, -width), (length, 0), (length * 0.45, width * 0.8), closed=True)
    rib = line((0, 0), (length * 0.85, 0))
    return Part("leaf", moved(turned(blade, angle), x, y), "leaf", details=(moved(turned(rib, angle), x, y),))


@category("apple")
def apple(p: Parameters) -> list[Part]:
    """An apple with a stem, often a leaf, sometimes bitten."""
    width = p.real("width", 0.42, 0.56)
    waist = p.real("bottom_width", 0.28, 0.52)
    dimple = p.real("dimple", 0.04, 0.14)
    lobe = p.real("bottom_lobe", 0.0, 0.08)
    height = p.real("height", 0.75, 1.0)
    body = mirrored(
        (0, dimple),
        (width * 0.45, 0),
        (width * 0.95, height * 0.25),
        (width * 0.9, height * 0.58),
        (waist * 0.62, height * 0.93),
        (0.1, height),
        (0, height - lobe),
    )
    if p.chance("bite", 0.3):
        y = height * p.real("bite_height", 0.25, 0.6)
        hole = np.concatenate([arc(width * 0.95, y + d, 0.1, 0.09, 260, 100) for d in (-0.07, 0.06)])
        keep = (body[:, 0] < width * 0.5) | (abs(body[:, 1] - y) > 0.16)
        start = int(np.argmin(keep))
        body = np.concatenate([body[:start], hole, body[start:][keep[start:]]])
    lean = p.real("stem_lean", -0.15, 0.15)
    stem = spline((0, dimple + 0.04), (lean * 0.3, -0.06), (lean, -p.real("stem_length", 0.1, 0.26)))
    parts = [Part("stem", tube(stem, 0.03, 0.045), "wood")]
    if p.chance("leaf", 0.65):
        size = p.real("leaf_size", 0.18, 0.34)
        parts.append(_leaf(0.02, -0.02, size, size * 0.32, p.real("leaf_angle", -50, 10)))
    shine = arc(-width * 0.3, height * 0.35, width * 0.4, height * 0.22, 170, 250)
    shines = (shine,) if p.chance("shine", 0.5) else ()
    return [Part("body", body, "fruit", details=shines), *parts]


@category("pear", turn=("tilt", -20, 20))
def pear(p: Parameters) -> list[Part]:
    """A pear: a narrow top on a round belly."""
    height = p.real("height", 0.95, 1.3)
    belly = p.real("belly", 0.34, 0.48)
    neck = p.real("neck", 0.14, 0.24)
    waist = p.real("neck_height", 0.22, 0.38)
    sag = p.real("sag", 0.62, 0.78)
    lean = p.real("lean", -0.12, 0.12)
    body = mirrored(
        (0, 0),
        (neck * 0.8, height * 0.04),
        (neck * 1.1, height * waist),
        (belly * 0.98, height * sag),
        (belly * 0.55, height * 0.97),
        (0, height * 0.98),
    )
    body = body + np.stack([lean * (1 - body[:, 1] / height) ** 2, np.zeros(len(body))], axis=1)
    stem = spline((lean, 0.03), (lean * 1.3, -0.07), (lean + p.real("stem_lean", -0.1, 0.1), -0.16))
    freckles = ()
    if p.chance("freckles", 0.5):
        places = ((-0.3, 0.62), (0.1, 0.7), (0.4, 0.6), (-0.1, 0.82), (0.2, 0.85))
        freckles = tuple(line((0, 0), (0.02, 0), at=(x * belly, y * height)) for x, y in places)
    parts = [Part("body", body, "fruit", details=freckles), Part("stem", tube(stem, 0.03, 0.045), "wood")]
    if p.chance("leaf", 0.6):
        size = p.real("leaf_size", 0.18, 0.34)
        parts.append(_leaf(lean, -0.02, size, size * 0.3, p.real("leaf_angle", -50, 15)))
    return parts


@category("banana", turn=("tilt", -60, 60))
def banana(p: Parameters) -> list[Part]:
    """A banana, or a small bunch joined at the stem."""
    radius = p.real("radius", 0.5, 0.8)
    sweep = p.real("sweep", 85, 125)
    width = p.real("width", 0.15, 0.25)
    stem = p.real("stem_length", 8, 18)
    tip = p.real("tip", 0.03, 0.07)
    fingers = p.count("fingers", 1, 3)
    spread = p.real("spread", 9, 16)
    parts = []
    for i in range(fingers):
        turn = (i - (fingers - 1) / 2) * -spread
        start = np.array([radius, 0.0])
        path = arc(0, 0, radius, radius, 0, sweep) - start
        ridge = arc(0, 0, radius + width * 0.08, radius + width * 0.08, sweep * 0.08, sweep * 0.9) - start
        stalk = arc(0, 0, radius, radius, -stem, 3) - start
        end = arc(0, 0, radius, radius, sweep - 1, sweep + 5) - start
        body = tube(path, 0.06, width * 0.85, width, width, width * 0.75, tip * 1.3)
        parts += [
            Part("stem", turned(tube(stalk, 0.05, 0.06), turn), "wood"),
            Part("tip", turned(tube(end, tip * 1.2, tip * 0.6), turn), "dark"),
            Part("body", turned(body, turn), "fruit", details=(turned(ridge, turn),)),
        ]
    return parts


@category("carrot", turn=("tilt", -60, 60))
def carrot(p: Parameters) -> list[Part]:
    """A carrot with its leaves on."""
    length = p.real("length", 0.75, 1.15)
    width = p.real("width", 0.2, 0.4)
    taper = p.real("taper", 0.35, 0.75)
    bend = p.real("bend", -0.12, 0.12)
    fronds = p.count("fronds", 2, 5)
    frond = p.real("frond_length", 0.25, 0.5)
    fan = p.real("fan", 20, 60)
    rings = p.count("rings", 2, 5)
    parts = []
    for angle in np.linspace(-fan, fan, fronds):
        stalk = spline((0, 0.04), (0.02, -frond * 0.5), (0, -frond))
        parts.append(Part("leaves", turned(tube(stalk, 0.03, 0.11, 0.12, 0.03), angle), "leaf"))
    path = spline((0, 0), (bend, length * 0.5), (0, length))
    body = tube(path, width * 0.8, width, width * (0.5 + taper / 2), width * taper, 0.02)
    lines = []
    for i in range(rings):
        y = length * (0.15 + 0.6 * i / rings)
        half = width * 0.25
        side = half if i % 2 else -half
        lines.append(spline((bend + side * 1.2, y), (bend + side * 0.2, y + 0.02)))
    parts.append(Part("root", body, "fruit", details=tuple(lines)))
    return parts


@category("ice cream", turn=("tilt", -18, 18))
def ice_cream(p: Parameters) -> list[Part]:
    """Scoops of ice cream in a waffle cone."""
    width = p.real("cone_width", 0.24, 0.36)
    length = p.real("cone_length", 0.55, 0.9)
    scoops = p.count("scoops", 1, 3)
    radius = width * p.real("scoop_size", 0.95, 1.2)
    step = radius * p.real("stacking", 0.85, 1.15)
    shrink = p.real("shrink", 0.8, 1.0)
    grid = p.real("waffle", 0.3, 0.5)
    cross = []
    for t in np.arange(grid, 1, grid):
        for s in (-1, 1):
            start = (s * width * (1 - t), length * t)
            stop = (-s * width * min(1, 1.6 - t) * 0.6, length * max(0.05, t - 0.42))
            cross.append(line(start, stop))
    cone = trapezium(width, 0, 0.02, length)
    parts = [Part("cone", cone, "wood", details=tuple(cross))]
    y = -radius * 0.35
    for i in range(scoops):
        size = radius * shrink**i
        drip = size * 0.18
        hem = spline(
            (size * 0.98, y + size * 0.15),
            (size * 0.6, y + size * 0.45 + drip),
            (size * 0.25, y + size * 0.35),
            (-size * 0.2, y + size * 0.5 + drip),
            (-size * 0.6, y + size * 0.35),
            (-size * 0.98, y + size * 0.17),
        )
        scoop = np.concatenate([arc(0, y, size, size * 0.95, 170, 370), hem])
        parts.append(Part(("scoop", "second scoop", "third scoop")[i], scoop, ("paint", "trim", "light")[i]))
        y -= step * shrink**i
    top = y + step * shrink ** (scoops - 1) - radius * shrink ** (scoops - 1)
    if p.chance("cherry", 0.5):
        size = p.real("cherry_size", 0.06, 0.11)
        stalk = spline((0, top - size), (0.03, top - size * 2), (0.09, top - size * 2.8))
        parts += [
            wire("cherry stalk", stalk, 0.015),
            Part("cherry", ellipse(0, top - size * 0.5, size), "fruit"),
        ]
    return parts


@category("mushroom")
def mushroom(p: Parameters) -> list[Part]:
    """A toadstool: a domed cap, often spotted, on a stem."""
    width = p.real("cap_width", 0.4, 0.62)
    height = p.real("cap_height", 0.28, 0.6)
    point = p.real("cap_point", 0.55, 0.95)
    sag = p.real("cap_sag", 0.02, 0.1)
    stem = p.real("stem_length", 0.35, 0.75)
    stem_width = p.real("stem_width", 0.14, 0.26)
    foot = p.real("foot", 1.0, 1.7)
    spots = p.count("spots", 0, 6)
    dome = spline(*left_right((-width, 0), (-width * point, -height * 0.6), (0, -height)))
    hem = spline(*left_right((width * 0.95, 0.03), (0, sag + 0.05)))
    path = spline((0, 0.0), (p.real("stem_bend", -0.08, 0.08), stem * 0.5), (0, stem))
    stalk = tube(path, stem_width, stem_width * 0.95, stem_width * foot)
    parts = [Part("stem", stalk, "light")]
    if p.chance("ring", 0.4):
        y = stem * 0.32
        ring = trapezium(stem_width * 0.5, y - 0.04, stem_width * 0.85, y + 0.06, radius=0.03)
        parts.append(Part("ring", ring, "light"))
    parts.append(Part("cap", np.concatenate([dome, hem]), "paint"))
    places = ((-0.45, -0.35), (0.1, -0.65), (0.5, -0.3), (0.02, -0.22), (-0.25, -0.68), (0.72, -0.1))
    size = p.real("spot_size", 0.04, 0.08)
    parts += [
        Part("spots", ellipse(x * width, y * height, size, size * 0.8), "light") for x, y in places[:spots]
    ]
    return parts
