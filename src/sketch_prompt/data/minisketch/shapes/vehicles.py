"""Vehicles on wheels: bicycle, car, bus, truck."""

from itertools import pairwise

import numpy as np

from ..geometry import Part, box, ellipse, line, panel, polygon, spline, wire
from ..parameters import Parameters
from .registry import category


def _wheel(name: str, x: float, y: float, radius: float, hub: float = 0.5) -> list[Part]:
    return [Part(name, ellipse(x, y, radius), "dark"), Part("hub cap", ellipse(x, y, radius * hub), "metal")]


def _windows(edges: np.ndarray, y: float, height: float) -> list[Part]:
    panes = [box((a + b) / 2, y, (b - a) * 0.82, height, 0.02) for a, b in pairwise(edges)]
    return [Part("window", pane, "glass") for pane in panes]


@category("bicycle")
def bicycle(p: Parameters) -> list[Part]:
    """A bicycle seen from the side."""
    radius = p.real("wheel_radius", 0.24, 0.34)
    base = p.real("wheelbase", 0.34, 0.46)
    spokes = p.count("spokes", 0, 4)
    saddle = p.real("saddle_height", 0.4, 0.58)
    bar = p.real("handlebar_height", 0.44, 0.64)
    tilt = p.real("seat_tube_lean", 0.04, 0.14)
    thick = p.real("tube_width", 0.028, 0.05)
    rim = p.real("tyre_width", 0.03, 0.055)
    rear, front = np.array([-base, 0.0]), np.array([base, 0.0])
    crank, seat, head = np.array([[-0.06, 0.04], [-0.06 - tilt, -saddle], [base - 0.12, -bar]])
    parts = []
    for name, centre in (("rear wheel", rear), ("front wheel", front)):
        parts.append(Part(name, ellipse(*centre, radius), "dark", holes=(ellipse(*centre, radius - rim),)))
        for angle in np.arange(spokes) * np.pi / max(spokes, 1) + 0.3:
            arm = np.array([np.cos(angle), np.sin(angle)]) * (radius - rim)
            parts.append(wire("spokes", line(centre - arm, centre + arm), 0.01, "metal"))
    collar = head + (front - head) * 0.3
    neck = seat + (head - seat) * 0.04
    joint = neck + (crank - neck) * 0.15
    frame = ((rear, crank), (rear, joint), (crank, seat), (crank, collar), (joint, collar))
    parts += [wire("frame", line(a, b), thick, "paint") for a, b in frame]
    parts += [wire("fork", line(front, head), thick, "paint")]
    if p.chance("dropped_bar", 0.5):
        grip = spline((0, 0), (0.1, -0.03), (0.14, 0.06), (0.06, 0.1), at=head)
    else:
        grip = spline((0.04, 0.0), (0, 0), (-0.07, -0.06), (-0.16, -0.05), at=head)
    parts += [wire("handlebar", grip, 0.04, "dark")]
    width = p.real("saddle_width", 0.1, 0.16)
    knots = ((-width, -0.03), (width * 0.9, -0.02), (width * 0.9, 0.01), (-width * 0.6, 0.04))
    top = polygon(*knots, radius=0.02, at=seat)
    pedal = line((-0.05, -0.09), (0.05, 0.09), at=crank)
    return [
        *parts,
        Part("saddle", top, "dark"),
        Part("chain ring", ellipse(*crank, 0.06), "metal"),
        wire("pedals", pedal, 0.03),
    ]


@category("car")
def car(p: Parameters) -> list[Part]:
    """A car seen from the side."""
    length = p.real("length", 0.55, 0.72)
    body = p.real("body_height", 0.18, 0.26)
    roof = p.real("roof_height", 0.14, 0.26)
    front = p.real("bonnet", 0.15, 0.4)
    rear = p.real("boot", 0.0, 0.3)
    rake = p.real("windscreen_rake", 0.08, 0.2)
    radius = p.real("wheel_radius", 0.1, 0.15)
    curve = p.real("roundness", 0.02, 0.1)
    x0, x1 = -length + front * length, length - rear * length
    hull = polygon(
        (-length, body * 0.2),
        (-length * 0.97, -body * 0.7),
        (x0, -body),
        (x1, -body),
        (length, -body * 0.75),
        (length, body * 0.35),
        (-length, body * 0.35),
        radius=curve,
    )
    cabin = panel(
        (-body * 0.9, x0 - 0.02, x1 + 0.02), (-body - roof, x0 + rake, x1 - rake * 0.7), radius=curve
    )
    middle = (x0 + x1) / 2 + p.real("pillar", -0.08, 0.08)
    top, low = -body - roof * 0.85, -body * 0.98
    pillar_left, pillar_right = middle - 0.02, middle + 0.02
    panes = [
        panel((low, x0 + rake * 0.35 + 0.03, pillar_left), (top, x0 + rake + 0.03, pillar_left), radius=0.02),
        panel(
            (low, pillar_right, x1 - rake * 0.3 - 0.03),
            (top, pillar_right, x1 - rake * 0.7 - 0.03),
            radius=0.02,
        ),
    ]
    door = (
        line((middle, low), (middle, body * 0.3)),
        line((middle + 0.04, -body * 0.6), (middle + 0.1, -body * 0.6)),
    )
    parts = [Part("cabin", cabin, "paint"), Part("body", hull, "paint", details=door)]
    parts += [Part("window", pane, "glass") for pane in panes]
    parts += [Part("light", ellipse(-length * 0.95, -body * 0.35, 0.04, 0.05), "light")]
    for name, x in (("front wheel", -length * 0.6), ("rear wheel", length * 0.6)):
        parts += _wheel(name, x, body * 0.35, radius)
    return parts


@category("bus")
def bus(p: Parameters) -> list[Part]:
    """A bus seen from the side, with a row of windows and a door."""
    length = p.real("length", 0.56, 0.8)
    height = p.real("height", 0.46, 0.66)
    panes = p.count("windows", 3, 6)
    pane = p.real("window_height", 0.24, 0.42) * height
    radius = p.real("wheel_radius", 0.08, 0.12)
    nose = p.real("nose", 0.0, 0.1)
    curve = p.real("roundness", 0.03, 0.12)
    y = -height + pane / 2 + p.real("window_drop", 0.05, 0.12)
    hull = polygon(
        (-length, -height * 0.35),
        (-length + nose, -height),
        (length, -height),
        (length, 0),
        (-length - nose * 0.4, 0),
        radius=curve,
    )
    stripe = ()
    if p.chance("stripe", 0.6):
        stripe = (line((-length + 0.02, -height * 0.3), (length - 0.02, -height * 0.3)),)
    parts = [Part("body", hull, "paint", details=stripe)]
    door = p.real("door_width", 0.12, 0.18)
    left = -length + nose + 0.06
    x = left + door / 2
    leaves = line((x, -height * 0.76), (x, -height * 0.08))
    parts.append(Part("door", box(x, -height * 0.42, door, height * 0.72, 0.01), "glass", details=(leaves,)))
    edges = np.linspace(left + door + 0.05, length - 0.04, panes + 1)
    parts += _windows(edges, y, pane)
    if p.chance("upper_deck", 0.3):
        deck = height * 0.5
        front, top, floor = -length + nose, -height - deck, -height * 0.9
        upper = polygon((front + 0.03, top), (length, top), (length, floor), (front, floor), radius=curve)
        parts.insert(0, Part("upper deck", upper, "paint"))
        parts += _windows(edges, -height - deck * 0.5, deck * 0.5)
    for name, x in (("front wheel", -length * 0.5), ("rear wheel", length * 0.6)):
        parts += _wheel(name, x, 0.0, radius)
    return [*parts, Part("light", ellipse(-length + 0.02, -height * 0.15, 0.03), "light")]


@category("truck")
def truck(p: Parameters) -> list[Part]:
    """A lorry: a cab in front of a cargo box or an open bed."""
    cab = p.real("cab_length", 0.26, 0.38)
    cab_height = p.real("cab_height", 0.38, 0.54)
    cargo = p.real("cargo_length", 0.6, 0.95)
    cargo_height = p.real("cargo_height", 0.3, 0.68)
    radius = p.real("wheel_radius", 0.09, 0.14)
    slope = p.real("screen_slope", 0.0, 0.14)
    axles = p.count("rear_axles", 1, 2)
    hood = p.real("hood", 0.0, 0.16)
    front = polygon(
        (-cab - hood, 0),
        (-cab - hood, -cab_height * 0.45),
        (-cab, -cab_height * 0.5),
        (-cab + slope, -cab_height),
        (0, -cab_height),
        (0, 0),
        radius=0.03,
    )
    pane = panel(
        (-cab_height * 0.54, -cab + 0.04, -0.08), (-cab_height * 0.9, -cab + slope + 0.04, -0.08), radius=0.02
    )
    ribs = ()
    if p.chance("ribs", 0.5):
        places = (0.04 + cargo * t for t in (0.25, 0.5, 0.75))
        ribs = tuple(line((x, -cargo_height + 0.02), (x, -0.06)) for x in places)
    load = box(0.04 + cargo / 2, -cargo_height / 2 - 0.02, cargo, cargo_height, 0.01)
    handle = (line((-0.12, -cab_height * 0.4), (-0.06, -cab_height * 0.4)),)
    parts = [
        Part("chassis", box((cargo - cab) / 2, 0, cargo + cab, 0.07, 0.01), "dark"),
        Part("cargo", load, "trim", details=ribs),
        Part("cab", front, "paint", details=handle),
        Part("window", pane, "glass"),
        Part("light", ellipse(-cab - hood + 0.03, -0.1, 0.03), "light"),
    ]
    parts += _wheel("front wheel", -cab * 0.55, 0.04, radius)
    for i in range(axles):
        parts += _wheel("rear wheel", 0.04 + cargo * 0.8 - i * radius * 2.2, 0.04, radius)
    return parts
