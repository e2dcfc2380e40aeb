"""Animals with fins, paws and shells: fish, whale, cat, rabbit, snail, turtle, giraffe."""

import numpy as np

from ..geometry import (
    Part,
    arc,
    ellipse,
    flipped,
    left_right,
    line,
    moved,
    polygon,
    spline,
    top_bottom,
    tube,
    turned,
    wire,
)
from ..parameters import Parameters
from .registry import category


def eye(x: float, y: float, size: float) -> list[Part]:
    """A white eye with a dark pupil."""
    return [Part("eye", ellipse(x, y, size), "light"), Part("pupil", ellipse(x, y, size * 0.5), "dark")]


@category("fish")
def fish(p: Parameters) -> list[Part]:
    """A fish seen from the side."""
    height = p.real("body_height", 0.2, 0.42)
    snout = p.real("snout", 0.3, 0.7)
    tail = p.real("tail_length", 0.2, 0.38)
    spread = p.real("tail_spread", 0.14, 0.34)
    fork = p.real("tail_fork", 0.0, 0.16)
    dorsal = p.real("dorsal_height", 0.08, 0.28)
    stripes = p.count("stripes", 0, 4)
    fin = p.real("fin_size", 0.1, 0.2)
    half = ((-0.5, -height * snout), (-0.1, -height), (0.35, -height * 0.45), (0.6, -0.05))
    body = spline((-0.6, 0.02), *top_bottom(*half), closed=True)
    tail_fin = polygon(*top_bottom((0.52, -0.05), (0.6 + tail, -spread), (0.6 + tail - fork, 0)), radius=0.04)
    back = spline(
        (-0.25, -height * 0.8),
        (-0.02, -height - dorsal),
        (0.3, -height * 0.5 - dorsal * 0.5),
        (0.34, -height * 0.3),
        closed=True,
    )
    bands = [
        spline((x, -height * w), (x + 0.05, 0), (x, height * w))
        for x, w in ((-0.05, 0.85), (0.12, 0.75), (0.27, 0.5), (0.4, 0.3))
    ]
    gill = spline((-0.32, -height * 0.55), (-0.26, 0), (-0.32, height * 0.55))
    mouth = line((-0.6, 0.05), (-0.5, 0.08))
    parts = [Part("tail", tail_fin, "trim"), Part("dorsal fin", back, "trim")]
    if p.chance("belly_fin", 0.6):
        under = polygon((-0.05, height * 0.8), (0.2, height * 0.6), (0.16, height + 0.12))
        parts.append(Part("belly fin", under, "trim"))
    pectoral = spline((-0.2, 0.05), (-0.2 + fin, 0.0), (-0.16 + fin, fin * 0.8), closed=True)
    parts += [
        Part("body", body, "paint", details=(gill, mouth, *bands[:stripes])),
        Part("pectoral fin", pectoral, "trim"),
    ]
    return parts + eye(-0.43, -height * 0.25, p.real("eye_size", 0.035, 0.065))


@category("whale")
def whale(p: Parameters) -> list[Part]:
    """A whale with raised flukes, perhaps blowing."""
    height = p.real("body_height", 0.3, 0.46)
    brow = p.real("brow", 0.6, 1.0)
    lift = p.real("tail_lift", 0.1, 0.42)
    fluke = p.real("fluke_size", 0.16, 0.28)
    narrow = p.real("tail_width", 0.05, 0.1)
    flipper = p.real("flipper", 0.14, 0.28)
    top = -height
    body = spline(
        (-0.62, 0.1),
        (-0.58, top * brow * 0.7),
        (-0.3, top),
        (0.1, top * 0.75),
        (0.42, -narrow),
        (0.64, -lift - narrow),
        (0.68, -lift + narrow * 0.4),
        (0.5, 0.12 + narrow),
        (0.15, 0.3),
        (-0.35, 0.32),
        closed=True,
    )
    belly = np.concatenate(
        [
            spline((-0.6, 0.12), (-0.3, 0.14), (0.1, 0.2), (0.3, 0.22)),
            spline((0.16, 0.29), (-0.2, 0.325), (-0.5, 0.26)),
        ]
    )
    half = spline(
        (0, 0), (fluke * 0.5, -fluke * 0.6), (fluke * 1.15, -fluke * 0.55), (fluke * 0.6, 0.02), closed=True
    )
    flukes = [moved(turned(shape, 25), 0.66, -lift) for shape in (half, flipped(half))]
    fin = spline(
        (-0.18, 0.18),
        (-0.02, 0.22),
        (0.04 + flipper * 0.3, 0.22 + flipper),
        (-0.1, 0.2 + flipper * 0.6),
        closed=True,
    )
    parts = [Part("flukes", shape, "paint") for shape in flukes]
    mouth = spline((-0.61, 0.08), (-0.45, 0.06), (-0.3, p.real("smile", 0.0, 0.12)))
    grooves = tuple(spline((-0.5 + d, 0.16), (-0.35 + d, 0.24), (-0.1 + d, 0.27)) for d in (0.0, 0.12))
    parts += [
        Part("body", body, "paint", details=(mouth,)),
        Part("belly", belly, "light", details=grooves),
        Part("flipper", fin, "paint"),
    ]
    if p.chance("spout", 0.55):
        rise = p.real("spout_height", 0.15, 0.32)
        jets = [
            spline((-0.25, top), (-0.25 + s * 0.03, top - rise), (-0.25 + s * 0.16, top - rise * 0.75))
            for s in (-1, 1)
        ]
        parts += [wire("spout", jet, 0.025, "glass") for jet in jets]
    return parts + eye(-0.4, -0.03, p.real("eye_size", 0.025, 0.05))


def _face(y: float, gap: float, size: float) -> list[Part]:
    nose = polygon((-0.03, y + 0.07), (0.03, y + 0.07), (0, y + 0.105), radius=0.01)
    smile = (
        spline((-0.07, y + 0.13), (-0.03, y + 0.145), (0, y + 0.105)),
        spline((0.07, y + 0.13), (0.03, y + 0.145), (0, y + 0.105)),
    )
    eyes = [Part("eye", ellipse(s * gap, y, size * 0.75, size), "dark") for s in (-1, 1)]
    return [*eyes, Part("nose", nose, "dark", details=smile)]


@category("cat")
def cat(p: Parameters) -> list[Part]:
    """A sitting cat seen from the front, its tail to one side."""
    head = p.real("head_width", 0.22, 0.32)
    ear = p.real("ear_height", 0.14, 0.26)
    ear_width = p.real("ear_width", 0.11, 0.18)
    body = p.real("body_width", 0.2, 0.36)
    height = p.real("body_height", 0.45, 0.7)
    tail = p.real("tail_length", 0.25, 0.5)
    curl = p.real("tail_curl", -0.12, 0.25)
    base = height + 0.1
    path = spline(
        (body * 0.7, -0.05),
        (body + tail * 0.6, -0.08),
        (body + tail * 0.7, -tail),
        (body + tail * 0.7 - curl, -tail * 1.3),
        at=(0, base),
    )
    parts = [Part("tail", tube(path, 0.08, 0.08, 0.05), "fur")]
    side = ((0.12, 0.1), (body * 0.8, height * 0.5), (body, base - 0.1), (body * 0.6, base), (0, base))
    trunk = spline(*left_right(*side), closed=True)
    legs = tuple(line((s * 0.06, base - 0.02), (s * 0.05, base - height * 0.45)) for s in (-1, 1))
    parts.append(Part("body", trunk, "fur", details=legs))
    parts += [Part("paw", ellipse(s * 0.1, base - 0.02, 0.09, 0.05), "fur") for s in (-1, 1)]
    cheek = ((0, -0.2), (head * 0.7, -0.16), (head, 0.02), (head * 0.6, 0.18), (0, 0.22))
    skull = spline(*left_right(*cheek), closed=True)
    for s in (-1, 1):
        ear_shape = polygon(
            (s * (head * 0.85 - ear_width), -0.14),
            (s * head * 0.85, -0.15 - ear),
            (s * head * 0.96, -0.02),
            radius=0.02,
        )
        parts.append(Part("ear", ear_shape, "fur"))
    stripes = tuple(line((x, -0.19), (x * 0.7, -0.1)) for x in (-0.07, 0, 0.07))
    parts.append(Part("head", skull, "fur", details=stripes if p.chance("stripes", 0.4) else ()))
    reach = p.real("whiskers", 0.12, 0.24)
    for s in (-1, 1):
        parts += [
            wire("whiskers", line((s * 0.08, 0.1 + d * 0.3), (s * (0.1 + reach), 0.08 + d)), 0.01, "light")
            for d in (-0.03, 0.04)
        ]
    return parts + _face(-0.01, head * 0.42, p.real("eye_size", 0.03, 0.055))


@category("rabbit")
def rabbit(p: Parameters) -> list[Part]:
    """A sitting rabbit seen from the front, with long ears."""
    head = p.real("head_width", 0.18, 0.26)
    ear = p.real("ear_length", 0.35, 0.62)
    ear_width = p.real("ear_width", 0.06, 0.1)
    spread = p.real("ear_spread", 4, 28)
    body = p.real("body_width", 0.22, 0.34)
    height = p.real("body_height", 0.38, 0.58)
    feet = p.real("foot_size", 0.1, 0.17)
    base = height + 0.12
    parts = [Part("tail", ellipse(body * 0.95, base - 0.14, p.real("tail_size", 0.06, 0.11)), "light")]
    side = ((0, 0.08), (body * 0.75, height * 0.45), (body, base - 0.14), (body * 0.6, base))
    trunk = spline(*left_right(*side), closed=True)
    parts += [
        Part("body", trunk, "fur"),
        Part("belly", ellipse(0, base - height * 0.38, body * 0.5, height * 0.32), "light"),
    ]
    parts += [Part("foot", ellipse(s * body * 0.6, base - 0.01, feet, 0.06), "fur") for s in (-1, 1)]
    parts += [Part("arm", ellipse(s * body * 0.5, height * 0.5, 0.05, 0.13, s * 25), "fur") for s in (-1, 1)]
    droop = p.chance("folded_ear", 0.25)
    for s in (-1, 1):
        angle = s * spread + (60 if droop and s > 0 else 0)
        for name, material, size in (("ear", "fur", 1.0), ("inner ear", "trim", 0.55)):
            shape = ellipse(0, -ear / 2, ear_width * size, ear / 2 * (0.35 + 0.65 * size))
            parts.append(Part(name, moved(turned(shape, angle), s * head * 0.42, -0.1), material))
    parts.append(Part("head", ellipse(0, 0.0, head, 0.2), "fur"))
    parts += [Part("teeth", polygon((-0.03, 0.13), (0.03, 0.13), (0.03, 0.19), (-0.03, 0.19)), "light")]
    return parts + _face(-0.02, head * 0.42, p.real("eye_size", 0.025, 0.05))


@category("snail")
def snail(p: Parameters) -> list[Part]:
    """A snail creeping to the left under its spiral shell."""
    radius = p.real("shell_radius", 0.26, 0.4)
    oval = p.real("shell_height", 0.8, 1.05)
    turns = p.real("spiral_turns", 1.6, 3.2)
    length = p.real("body_length", 0.5, 0.72)
    neck = p.real("neck_height", 0.12, 0.36)
    stalk = p.real("stalk_length", 0.1, 0.24)
    thick = p.real("body_width", 0.1, 0.17)
    place = p.real("shell_place", -0.02, 0.18)
    path = spline(
        (-length, -neck), (-length * 0.92, -0.05), (-length * 0.5, 0.04), (0.2, 0.05), (length + 0.05, 0.06)
    )
    centre = (place, -radius * oval * 0.85)
    angle = np.linspace(0, turns * 2 * np.pi, int(22 * turns))
    size = radius * (1 - angle / angle[-1] * 0.93)
    spiral = np.stack(
        [centre[0] + size * np.cos(angle + 1.2), centre[1] + oval * size * np.sin(angle + 1.2)], axis=1
    )
    parts = []
    for lean in (-0.35, 0.2):
        end = (-length + stalk * lean, -neck - stalk)
        parts += [
            wire("eye stalk", line((-length, -neck), end), 0.025, "skin"),
            Part("eye", ellipse(*end, 0.028), "dark"),
        ]
    body = Part("body", tube(path, thick * 0.95, thick, thick, thick * 0.9, 0.02), "skin")
    mouth = arc(-length, -neck, 0.05, 0.04, 100, 170)
    head = Part("head", ellipse(-length, -neck, thick * 0.62), "skin", details=(mouth,))
    shell = Part("shell", ellipse(*centre, radius, radius * oval), "paint", details=(spiral,))
    return [*parts, body, head, shell]


@category("turtle")
def turtle(p: Parameters) -> list[Part]:
    """A tortoise seen from the side."""
    width = p.real("shell_width", 0.4, 0.56)
    height = p.real("shell_height", 0.24, 0.48)
    neck = p.real("neck_length", 0.12, 0.32)
    lift = p.real("neck_lift", -0.02, 0.24)
    head = p.real("head_size", 0.08, 0.13)
    leg = p.real("leg_length", 0.12, 0.24)
    leg_width = p.real("leg_width", 0.1, 0.17)
    plates = p.count("plates", 2, 4)
    dome = np.concatenate(
        [arc(0, 0, width, height, 180, 360), line((width, 0), (width, 0.06), (-width, 0.06), (-width, 0))]
    )
    seams = [spline((-width * 0.85, -height * 0.3), (0, -height * 0.42), (width * 0.85, -height * 0.3))]
    for x in np.linspace(-0.55, 0.55, plates):
        seams += [
            line((x * width, -height * 0.38), (x * width * 0.75, -height * 0.84)),
            line((x * width, -height * 0.38), (x * width * 1.2, 0)),
        ]
    tail = polygon(
        (width * 0.9, -0.02), (width + p.real("tail_length", 0.06, 0.2), 0.1), (width * 0.85, 0.08)
    )
    legs = []
    for name, x in (("front leg", -width * 0.6), ("hind leg", width * 0.6)):
        path = spline((0, 0), (-0.03, leg * 0.6), (-0.03, leg + 0.06), at=(x, 0))
        legs.append(Part(name, tube(path, leg_width, leg_width * 0.8, leg_width), "skin"))
    x, y = -width - neck, -lift
    path = spline((-width * 0.8, 0.02), (-width - neck * 0.5, -lift * 0.4), (x, y))
    throat = tube(path, head * 1.4, head * 1.1, head)
    face = ellipse(x - head * 0.3, y, head * 1.25, head)
    mouth = line((x - head * 1.45, y + head * 0.25), (x - head * 0.6, y + head * 0.4))
    return [
        Part("tail", tail, "skin"),
        *legs,
        Part("neck", throat, "skin"),
        Part("head", face, "skin", details=(mouth,)),
        Part("eye", ellipse(x - head * 0.55, y - head * 0.3, 0.02), "dark"),
        Part("shell", dome, "paint", details=tuple(seams)),
    ]


@category("giraffe")
def giraffe(p: Parameters) -> list[Part]:
    """A giraffe standing sideways."""
    neck = p.real("neck_length", 0.55, 0.9)
    lean = p.real("neck_lean", 0.08, 0.36)
    leg = p.real("leg_length", 0.4, 0.62)
    body = p.real("body_length", 0.24, 0.36)
    depth = p.real("body_depth", 0.15, 0.22)
    head = p.real("head_length", 0.16, 0.26)
    stride = p.real("stride", 0.0, 0.14)
    slope = p.real("back_slope", 0.0, 0.1)
    shoulder = (-body * 0.85, -depth * 0.4)
    top = (shoulder[0] - lean, shoulder[1] - neck)
    trunk = spline(
        (-body, -depth * 0.8 - slope),
        (0, -depth * 0.8),
        (body, -depth * 0.6 + slope),
        (body * 1.05, depth * 0.3),
        (0, depth * 0.7),
        (-body, depth * 0.6),
        closed=True,
    )
    parts = [
        wire("tail", spline((body, -depth * 0.3), (body + 0.08, 0), (body + 0.06, depth + 0.08)), 0.03, "fur")
    ]
    legs = ((-0.85, -1), (-0.55, 0.7), (0.6, -0.6), (0.92, 1))
    for name, (place, pace) in zip(("front leg", "front leg", "hind leg", "hind leg"), legs):
        x, step = body * place, stride * pace
        path = spline((x, depth * 0.2), (x + step * 0.3, leg * 0.5), (x + step, leg + depth * 0.5))
        parts.append(Part(name, tube(path, 0.1, 0.06, 0.055), "fur"))
    for d in (-0.02, 0.04):
        parts += [wire("horn", line((top[0] + d, top[1]), (top[0] + d + 0.02, top[1] - 0.12)), 0.025, "dark")]
    path = spline((shoulder[0] + 0.03, 0.02), (shoulder[0] - lean * 0.35, shoulder[1] - neck * 0.45), top)
    throat = tube(path, 0.22, 0.12, 0.09)
    x, y = top
    muzzle = spline(
        (x + 0.06, y - 0.06),
        (x + 0.07, y + 0.05),
        (x - head, y + 0.13),
        (x - head - 0.03, y + 0.06),
        closed=True,
    )
    ear = ellipse(x + 0.1, y - 0.04, 0.06, 0.025, -25)
    parts += [
        Part("body", trunk, "fur"),
        Part("neck", throat, "fur"),
        Part("ear", ear, "fur"),
        Part("head", muzzle, "fur"),
        Part("eye", ellipse(top[0] - 0.02, top[1], 0.02), "dark"),
    ]
    size = p.real("spot_size", 0.035, 0.06)
    for t in (0.2, 0.42, 0.64):
        spot = ellipse(shoulder[0] - lean * t * 0.8, shoulder[1] - neck * t, size * (1 - t * 0.4))
        parts.append(Part("spots", spot, "wood"))
    for x, y in ((-0.6, -0.2), (-0.1, -0.35), (0.1, 0.2), (0.55, -0.1), (-0.4, 0.25)):
        parts.append(Part("spots", ellipse(x * body, y * depth, size, size * 0.8), "wood"))
    return parts
