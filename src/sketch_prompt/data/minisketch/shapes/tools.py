"""Tools: hammer, axe, scissors, key."""

import numpy as np

from ..geometry import Part, box, ellipse, line, moved, polygon, spline, top_bottom, tube, turned, wire
from ..parameters import Parameters
from .registry import category


@category("hammer", turn=("tilt", -50, 50))
def hammer(p: Parameters) -> list[Part]:
    """A claw or sledge hammer."""
    length = p.real("handle_length", 0.7, 1.1)
    thick = p.real("handle_width", 0.07, 0.13)
    swell = p.real("grip_swell", 1.0, 1.6)
    head = p.real("head_length", 0.2, 0.32)
    height = p.real("head_height", 0.12, 0.2)
    face = p.real("face_flare", 1.0, 1.4)
    bell = p.real("face_length", 0.07, 0.13)
    shaft = tube(line((0, 0), (0, length)), thick * 0.9, thick, thick * swell, thick * swell)
    parts = [Part("handle", shaft, "wood")]
    if p.chance("grip", 0.5):
        part = p.real("grip_length", 0.3, 0.5)
        path = line((0, length * (1 - part)), (0, length + 0.02))
        parts.append(Part("grip", tube(path, thick * swell * 1.1, thick * swell * 1.2), "paint"))
    if p.chance("claw", 0.65):
        curl = p.real("claw_curl", 0.06, 0.22)
        claw = spline(
            (0.02, -height * 0.5),
            (head * 0.7, -height * 0.4),
            (head * 1.3, curl),
            (head * 1.2, curl + 0.01),
            (head * 0.55, height * 0.35),
            (0.02, height * 0.5),
        )
        parts.append(Part("claw", claw, "metal"))
    else:
        peen = polygon(*top_bottom((0, -height / 2), (head, -height / 2)), radius=0.02)
        parts.append(Part("peen", peen, "metal"))
    upper = (-head + bell, -height * 0.4), (0, -height / 2), (thick * 0.8, -height / 2)
    block = polygon(*top_bottom(*upper), radius=0.015)
    parts += [
        Part("head", block, "metal"),
        Part("face", box(-head + bell / 2, 0, bell, height * face, 0.02), "metal"),
    ]
    return parts


@category("axe", turn=("tilt", -45, 45))
def axe(p: Parameters) -> list[Part]:
    """An axe with a flared blade."""
    length = p.real("handle_length", 0.8, 1.15)
    thick = p.real("handle_width", 0.06, 0.1)
    curve = p.real("handle_curve", -0.08, 0.12)
    blade = p.real("blade_length", 0.24, 0.4)
    edge = p.real("edge_height", 0.28, 0.52)
    poll = p.real("poll_length", 0.03, 0.14)
    root = p.real("root_height", 0.12, 0.2)
    bow = p.real("edge_bow", 0.02, 0.1)
    beard = p.real("beard", 0.35, 0.7)
    path = spline((0, -0.1), (curve, length * 0.5), (0, length))
    parts = [Part("handle", tube(path, thick, thick, thick * 1.1, thick * 1.6), "wood")]
    top, low = -edge * (1 - beard), edge * beard
    neck, upper, lower = -thick * 0.5, (-blade, top), (-blade, low)
    head = np.concatenate(
        [
            line((poll, -root / 2), (neck, -root / 2)),
            spline((neck, -root / 2), (-blade * 0.5, top * 0.6 - root * 0.2), upper),
            spline(upper, (-blade - bow, (top + low) / 2), lower),
            spline(lower, (-blade * 0.5, low * 0.5 + root * 0.2), (neck, root / 2)),
            line((neck, root / 2), (poll, root / 2)),
        ]
    )
    middle = (-blade * 0.86 - bow * 0.9, (top + low) / 2)
    bevel = spline((-blade * 0.88, top * 0.88), middle, (-blade * 0.88, low * 0.88))
    parts.append(Part("head", head, "metal", details=(bevel,)))
    if p.chance("double", 0.25):
        x, far = thick * 0.4, blade * 0.8
        second = polygon((x, -root * 0.4), (far, top * 0.8), (far, low * 0.8), (x, root * 0.4), radius=0.02)
        parts.append(Part("second blade", second, "metal"))
    return parts


@category("scissors", turn=("tilt", -60, 60))
def scissors(p: Parameters) -> list[Part]:
    """Open scissors with two finger rings."""
    blade = p.real("blade_length", 0.5, 0.8)
    width = p.real("blade_width", 0.08, 0.14)
    opening = p.real("opening", 8, 32)
    shank = p.real("shank_length", 0.14, 0.3)
    ring = p.real("ring_size", 0.11, 0.17)
    oval = p.real("ring_oval", 0.75, 1.5)
    rim = p.real("ring_width", 0.03, 0.055)
    splay = p.real("splay", 0.3, 0.9)
    parts = []
    for s, name in ((-1, "left"), (1, "right")):
        knots = ((-0.5, 0.05), (-0.1, -blade), (0.5, -blade * 0.75), (0.5, 0.05))
        knife = polygon(*knots, radius=0.01, scale=(width * s, 1))
        centre = (s * ring * splay, shank + ring * oval)
        bow = ellipse(*centre, ring, ring * oval)
        hole = ellipse(*centre, ring - rim, ring * oval - rim)
        arm = tube(line((0, 0), (s * ring * splay * 0.5, shank + rim)), width, width * 0.7)
        parts += [
            Part(f"{name} blade", turned(knife, s * opening * -0.5), "metal"),
            Part(f"{name} shank", turned(arm, s * opening * 0.5 - s * opening), "metal"),
            Part(
                f"{name} ring",
                turned(bow, -s * opening * 0.5),
                "paint",
                holes=(turned(hole, -s * opening * 0.5),),
            ),
        ]
    return [*parts, Part("pivot", ellipse(0, 0, 0.03), "dark")]


@category("key", turn=("tilt", -70, 70))
def key(p: Parameters) -> list[Part]:
    """A door key: a bow, a shaft and teeth."""
    bow = p.real("bow_size", 0.15, 0.25)
    oval = p.real("bow_oval", 0.7, 1.3)
    hole = p.real("hole_size", 0.3, 0.72)
    length = p.real("shaft_length", 0.55, 0.9)
    thick = p.real("shaft_width", 0.05, 0.1)
    teeth = p.count("teeth", 2, 4)
    tooth = p.real("tooth_length", 0.08, 0.18)
    uneven = p.real("tooth_unevenness", 0.0, 0.5)
    pitch = p.real("tooth_pitch", 0.08, 0.12)
    parts = [Part("shaft", box(0, bow * oval + length / 2 - 0.02, thick, length, 0.01), "metal")]
    end = bow * oval + length - 0.04
    for i in range(teeth):
        size = tooth * (1 - uneven * (i % 2))
        parts.append(Part("teeth", box(thick * 0.4 + size / 2, end - i * pitch, size, pitch * 0.6), "metal"))
    holes = (ellipse(0, 0, bow * hole, bow * oval * hole),)
    if p.chance("clover", 0.35):
        lobe = ellipse(0, -bow * 0.55, bow * 0.55)
        lobes = [moved(turned(lobe, angle), 0, -bow * 0.1) for angle in (0, 110, 250)]
        parts += [
            Part("bow", lobe, "metal", holes=(lobe.mean(axis=0) + (lobe - lobe.mean(axis=0)) * hole,))
            for lobe in lobes
        ]
    else:
        parts.append(Part("bow", ellipse(0, 0, bow, bow * oval), "metal", holes=holes))
    parts.append(Part("collar", box(0, bow * oval + 0.02, thick * 1.7, 0.045, 0.01), "metal"))
    if p.chance("ribbon", 0.2):
        path = spline((0, -bow * oval * 0.8), (0.1, -bow * oval - 0.12), (-0.06, -bow * oval - 0.25))
        parts.append(wire("ribbon", path, 0.03, "paint"))
    return parts
