"""Animals with wings or many legs: duck, penguin, butterfly, spider."""

import numpy as np

from ..geometry import Part, ellipse, flipped, line, mirrored, moved, polygon, spline, tube, turned, wire
from ..parameters import Parameters
from .animals import eye
from .registry import category


@category("duck")
def duck(p: Parameters) -> list[Part]:
    """A duck seen from the side, swimming or standing."""
    height = p.real("body_height", 0.22, 0.34)
    tail = p.real("tail_lift", 0.08, 0.3)
    neck = p.real("neck_length", 0.18, 0.42)
    head = p.real("head_size", 0.12, 0.18)
    beak = p.real("beak_length", 0.1, 0.22)
    beak_height = p.real("beak_height", 0.05, 0.1)
    wing = p.real("wing_length", 0.24, 0.4)
    body = spline(
        (-0.5, -0.02),
        (-0.3, -height * 0.55),
        (0.2, -height * 0.6),
        (0.45, -height * 0.5),
        (0.62, -height * 0.5 - tail),
        (0.56, 0.02),
        (0.3, height * 0.8),
        (-0.25, height * 0.85),
        closed=True,
    )
    hx, hy = -0.42, -height * 0.5 - neck
    throat = tube(spline((-0.3, 0), (-0.42, -height * 0.6), (hx + 0.02, hy)), 0.3, 0.17, head * 1.3)
    bill = spline(
        (hx - head * 0.8, hy - beak_height * 0.6),
        (hx - head - beak, hy + beak_height * 0.3),
        (hx - head - beak * 0.9, hy + beak_height),
        (hx - head * 0.8, hy + beak_height),
        closed=True,
    )
    feathers = spline(
        (-0.15, -height * 0.25),
        (wing * 0.5, -height * 0.4),
        (0.05 + wing, -height * 0.3),
        (wing * 0.6, height * 0.4),
        (0, height * 0.35),
        closed=True,
    )
    barbs = tuple(spline((wing * t, height * 0.3), (wing * (t + 0.25), height * 0.15)) for t in (0.25, 0.55))
    parts = []
    if p.chance("standing", 0.45):
        leg = p.real("leg_length", 0.1, 0.22)
        for x in (-0.05, 0.15):
            foot = polygon((x - 0.14, height + leg), (x + 0.02, height + leg), (x, height + leg - 0.06))
            parts += [
                wire("leg", line((x, height * 0.6), (x, height + leg)), 0.035, "trim"),
                Part("foot", foot, "trim"),
            ]
    smile = line((hx - head, hy + 0.03), (hx - head - beak * 0.8, hy + 0.05))
    parts += [
        Part("beak", bill, "trim", details=(smile,)),
        Part("neck", throat, "fur"),
        Part("body", body, "fur"),
        Part("head", ellipse(hx, hy, head), "fur"),
        Part("wing", feathers, "fur", details=barbs),
    ]
    return parts + eye(hx - head * 0.3, hy - head * 0.25, p.real("eye_size", 0.025, 0.04))


@category("penguin")
def penguin(p: Parameters) -> list[Part]:
    """An upright penguin seen from the front."""
    width = p.real("body_width", 0.26, 0.42)
    height = p.real("body_height", 0.65, 0.95)
    head = p.real("head_width", 0.15, 0.23)
    wing = p.real("wing_length", 0.3, 0.5)
    raised = p.real("wing_angle", 4, 55)
    belly = p.real("belly_width", 0.55, 0.82)
    beak = p.real("beak_length", 0.05, 0.12)
    feet = p.real("foot_size", 0.09, 0.15)
    flipper = spline((0, 0), (0.07, wing * 0.5), (0.02, wing), (-0.05, wing * 0.5), closed=True)
    parts = [Part("foot", ellipse(s * width * 0.45, height + 0.02, feet, 0.045), "trim") for s in (-1, 1)]
    body = mirrored(
        (0, -0.2),
        (head * 0.8, -0.13),
        (head * 1.05, 0.05),
        (width * 0.9, height * 0.38),
        (width, height * 0.72),
        (width * 0.6, height),
        (0, height),
    )
    parts += [
        Part("wing", moved(turned(flipper, -raised), width * 0.72, height * 0.22), "dark"),
        Part("wing", moved(turned(flipped(flipper), raised * 0.9), -width * 0.72, height * 0.22), "dark"),
        Part("body", body, "dark"),
    ]
    front = mirrored(
        (0, 0.16),
        (head * 0.7, 0.2),
        (width * belly, height * 0.62),
        (width * belly * 0.7, height * 0.93),
        (0, height * 0.96),
    )
    parts.append(Part("belly", front, "light"))
    if p.chance("face_patch", 0.6):
        parts += [Part("face", ellipse(s * head * 0.42, 0.0, head * 0.42, 0.1), "light") for s in (-1, 1)]
    gap = head * 0.42
    parts += [Part("eye", ellipse(s * gap, -0.03, p.real("eye_size", 0.02, 0.035)), "dark") for s in (-1, 1)]
    bill = polygon((-0.06, 0.03), (0.06, 0.03), (0, 0.04 + beak), radius=0.015)
    return [*parts, Part("beak", bill, "trim")]


@category("butterfly")
def butterfly(p: Parameters) -> list[Part]:
    """A butterfly with spread wings, seen from above."""
    reach = p.real("upper_reach", 0.38, 0.58)
    lift = p.real("upper_lift", 0.2, 0.5)
    lower = p.real("lower_reach", 0.26, 0.44)
    drop = p.real("lower_drop", 0.25, 0.52)
    waist = p.real("waist", 0.0, 0.12)
    body = p.real("body_length", 0.4, 0.66)
    feeler = p.real("antenna_length", 0.14, 0.34)
    spots = p.count("spots", 0, 2)
    size = p.real("spot_size", 0.045, 0.08)
    upper = spline(
        (0, -0.06),
        (reach * 0.45, -lift),
        (reach, -lift * 1.05),
        (reach * 0.95, -0.08),
        (0.1 + waist, 0.03),
        closed=True,
    )
    under = spline(
        (0.01, 0.02),
        (lower * 0.7, 0.0 + waist * 0.4),
        (lower, drop * 0.5),
        (lower * 0.6, drop),
        (0.08, drop * 0.4),
        closed=True,
    )
    veins = (
        line((0.05, -0.05), (reach * 0.7, -lift * 0.75)),
        line((0.06, -0.02), (reach * 0.75, -lift * 0.3)),
    )
    wings = [Part("lower wing", under, "trim"), Part("upper wing", upper, "paint", details=veins)]
    wings += [
        Part("spots", ellipse(x * reach, y * lift, size), "light")
        for x, y in ((0.7, -0.65), (0.45, -0.3))[:spots]
    ]
    if p.chance("lower_spots", 0.4):
        wings.append(Part("spots", ellipse(lower * 0.55, drop * 0.5, size), "light"))
    parts = [side for part in wings for side in (part, part.mapped(flipped))]
    for s in (-1, 1):
        tip = (s * 0.17, -body * 0.5 - feeler)
        path = spline((s * 0.01, -body * 0.45), (s * 0.07, -body * 0.5 - feeler * 0.6), tip)
        parts.append(wire("antenna", path, 0.015))
    rings = tuple(line((-0.03, body * t), (0.03, body * t)) for t in (0.05, 0.18, 0.31))
    return [
        *parts,
        Part("body", ellipse(0, 0.02, 0.045, body / 2), "dark", details=rings),
        Part("head", ellipse(0, -body * 0.45, 0.05), "dark"),
    ]


@category("spider")
def spider(p: Parameters) -> list[Part]:
    """A spider seen from above, on eight bent legs, perhaps on a thread."""
    abdomen = p.real("abdomen_size", 0.16, 0.28)
    oval = p.real("abdomen_length", 0.9, 1.4)
    head = p.real("head_size", 0.09, 0.15)
    upper = p.real("upper_leg", 0.2, 0.34)
    lower = p.real("lower_leg", 0.2, 0.4)
    fan = p.real("leg_fan", 42, 68)
    knee = p.real("knee_bend", 20, 60)
    thick = p.real("leg_width", 0.02, 0.04)
    parts = []
    for s in (-1, 1):
        for t in np.linspace(-1, 1, 4):
            angle = np.radians(t * fan)
            joint = np.array([s * np.cos(angle), np.sin(angle)]) * (head + upper)
            bent = angle + np.radians(knee) * (1 if t > 0 else -1)
            foot = joint + np.array([s * np.cos(bent), np.sin(bent)]) * lower
            parts.append(wire("leg", line((0, 0), joint, foot), thick))
    centre = head * 0.7 + abdomen * oval
    mark = ()
    if p.chance("cross", 0.5):
        mark = (
            line((0, centre - abdomen * 0.6), (0, centre + abdomen * 0.5)),
            line((-abdomen * 0.4, centre - 0.03), (abdomen * 0.4, centre - 0.03)),
        )
    if p.chance("thread", 0.35):
        thread = line((0, -head), (0, -head - p.real("thread_length", 0.3, 0.6)))
        parts.append(wire("thread", thread, 0.012, "light"))
    parts += [
        Part("abdomen", ellipse(0, centre, abdomen, abdomen * oval), "paint", details=mark),
        Part("head", ellipse(0, 0, head), "paint"),
    ]
    return parts + [part for s in (-1, 1) for part in eye(s * head * 0.4, -head * 0.45, 0.028)]
