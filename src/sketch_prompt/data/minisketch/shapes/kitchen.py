"""Things on the table: cup, teapot, bottle, wine glass, frying pan, fork, spoon."""

import numpy as np

from ..geometry import Part, arc, box, ellipse, line, mirrored, moved, polygon, spline, trapezium, tube, wire
from ..parameters import Parameters
from .registry import category


@category("cup")
def cup(p: Parameters) -> list[Part]:
    """A mug or tea cup, with a handle and perhaps a saucer."""
    height = p.real("height", 0.45, 1.0)
    top = p.real("top_width", 0.32, 0.44)
    bottom = top * p.real("taper", 0.55, 1.0)
    bulge = p.real("bulge", 0.0, 0.1)
    depth = p.real("rim_depth", 0.05, 0.12)
    handle_size = height * p.real("handle_size", 0.22, 0.36)
    handle_reach = p.real("handle_reach", 0.12, 0.3)
    handle_width = p.real("handle_width", 0.04, 0.08)
    side = (top + bottom) / 2
    right = spline((top, 0), (side + bulge, height * 0.55), (bottom, height))
    body = np.concatenate([right, arc(0, height, bottom, depth * 0.8, 0, 180), right[::-1] * (-1, 1)])
    grip = spline(
        (0, -handle_size),
        (handle_reach, -handle_size * 0.7),
        (handle_reach, handle_size * 0.4),
        (0, handle_size),
    )
    handle = moved(grip, side, height * 0.48)
    parts = []
    if p.chance("saucer", 0.35):
        width = top + p.real("saucer_width", 0.15, 0.35)
        parts.append(Part("saucer", ellipse(0, height + depth * 0.3, width, depth * 1.5), "light"))
    stripe = ()
    if p.chance("stripe", 0.4):
        y = height * p.real("stripe_height", 0.35, 0.75)
        stripe = (arc(0, y, side + bulge * 0.8, depth * 0.9, 170, 10),)
    return [
        *parts,
        Part("handle", tube(handle, handle_width), "paint"),
        Part("body", body, "paint", details=stripe),
        Part("rim", ellipse(0, 0, top, depth), "light"),
        Part("drink", ellipse(0, depth * 0.2, top * 0.86, depth * 0.7), "dark", drawn=False),
    ]


@category("teapot")
def teapot(p: Parameters) -> list[Part]:
    """A bellied pot with a spout on one side, a handle on the other and a lid."""
    width = p.real("width", 0.36, 0.5)
    height = p.real("height", 0.5, 0.85)
    belly = p.real("belly_height", 0.4, 0.68)
    mouth = width * p.real("mouth", 0.4, 0.7)
    base = width * p.real("base", 0.45, 0.8)
    reach = p.real("spout_reach", 0.25, 0.45)
    rise = p.real("spout_rise", 0.0, 0.3)
    spout_width = p.real("spout_width", 0.12, 0.2)
    loop = p.real("handle_reach", 0.18, 0.36)
    lid = p.real("lid_height", 0.06, 0.2)
    body = mirrored((mouth, 0), (width * 0.92, height * belly * 0.5), (width, height * belly), (base, height))
    spout = spline(
        (-width * 0.75, height * 0.7),
        (-width - reach * 0.45, height * 0.5),
        (-width - reach * 0.7, height * (0.25 - rise)),
        (-width - reach, height * (0.05 - rise)),
    )
    handle = spline(
        (width * 0.75, height * 0.12),
        (width + loop * 0.8, height * 0.08),
        (width + loop, height * 0.45),
        (width * 0.85, height * 0.8),
    )
    band = spline((-0.9, belly), (0, belly + 0.1), (0.9, belly), scale=(width, height))
    cover = mirrored((0, -lid), (mouth * 0.6, -lid * 0.75), (mouth * 0.95, 0.01), (0, 0.05))
    knob = p.real("knob", 0.035, 0.075)
    return [
        Part("handle", tube(handle, 0.06), "trim"),
        Part("spout", tube(spout, spout_width, spout_width * 0.7, spout_width * 0.35), "paint"),
        Part("knob", ellipse(0, -lid - knob * 0.7, knob), "trim"),
        Part("lid", cover, "paint"),
        Part("body", body, "paint", details=(band,) if p.chance("band", 0.4) else ()),
        Part("base", box(0, height + 0.02, base * 1.9, 0.06, 0.02), "trim"),
    ]


@category("bottle", turn=("tilt", -15, 15))
def bottle(p: Parameters) -> list[Part]:
    """A bottle with a neck, a cap and often a label."""
    height = p.real("height", 0.9, 1.5)
    width = p.real("width", 0.16, 0.32)
    neck = width * p.real("neck_width", 0.28, 0.5)
    neck_length = height * p.real("neck_length", 0.18, 0.38)
    shoulder = p.real("shoulder", 0.06, 0.28)
    waist = p.real("waist", 0.78, 1.0)
    profile = [(neck, 0), (neck, neck_length * 0.9), (width * 0.96, neck_length + shoulder)]
    profile += [(width * waist, height * 0.72), (width, height * 0.94), (width * 0.8, height)]
    parts = [Part("body", mirrored(*profile), "glass")]
    cap = p.real("cap_height", 0.05, 0.12)
    parts.append(Part("cap", box(0, -cap / 2 + 0.02, neck * 2.3, cap, 0.015), "trim"))
    if p.chance("label", 0.7):
        low = neck_length + shoulder + 0.06
        size = (height * 0.94 - low) * p.real("label_height", 0.35, 0.8)
        middle = low + size / 2 + 0.03
        lines = tuple(
            line((-0.5, 0), (0.5, 0), scale=width, at=(0, middle + d)) for d in (-size * 0.15, size * 0.15)
        )
        parts.append(Part("label", box(0, middle, width * 1.84 * waist, size, 0.01), "light", details=lines))
    return parts


@category("wine glass")
def wine_glass(p: Parameters) -> list[Part]:
    """A stemmed glass seen a little from above, with wine in it."""
    bowl = p.real("bowl_height", 0.4, 0.75)
    width = p.real("bowl_width", 0.22, 0.36)
    rim = width * p.real("rim_width", 0.65, 1.05)
    stem = p.real("stem_length", 0.3, 0.65)
    foot = p.real("foot_width", 0.2, 0.34)
    depth = p.real("rim_depth", 0.03, 0.08)
    level = bowl * p.real("level", 0.25, 0.65)
    base = bowl + stem
    profile = spline((rim, 0), (width, bowl * 0.5), (width * 0.6, bowl * 0.86), (0.02, bowl))
    outline = np.concatenate([profile, profile[::-1] * (-1, 1)])
    wet = np.concatenate(
        [[(np.interp(level, profile[:, 1], profile[:, 0]), level)], profile[profile[:, 1] > level]]
    )
    wet = wet * (0.93, 0.98)
    thickness = p.real("stem_width", 0.025, 0.05)
    stalk = trapezium(thickness / 2, bowl - 0.02, thickness, base)
    return [
        Part("foot", ellipse(0, base, foot, depth * 1.1), "glass"),
        Part("stem", stalk, "glass"),
        Part("bowl", outline, "glass"),
        Part("wine", np.concatenate([wet, wet[::-1] * (-1, 1)]), "paint"),
        Part("rim", ellipse(0, 0, rim, depth), "light"),
    ]


@category("frying pan", turn=("tilt", -50, 30))
def frying_pan(p: Parameters) -> list[Part]:
    """A pan seen from above at a slant, with a long handle, perhaps with an egg in it."""
    flat = p.real("flatness", 0.45, 0.95)
    radius = p.real("radius", 0.32, 0.44)
    length = p.real("handle_length", 0.5, 0.95)
    width = p.real("handle_width", 0.07, 0.14)
    wall = p.real("wall", 0.78, 0.92)
    swell = p.real("handle_swell", 0.8, 1.6)
    end = radius + length
    handle = tube(line((radius * 0.9, 0), (end, -0.04)), width * 0.8, width * swell * 0.9, width * swell)
    parts = [
        Part("handle", handle, "dark", holes=(ellipse(end - 0.07, -0.03, 0.022),)),
        Part("wall", ellipse(0, 0, radius, radius * flat), "metal"),
        Part("bottom", ellipse(0, 0.01, radius * wall, radius * flat * wall), "dark"),
    ]
    if p.chance("egg", 0.4):
        size = radius * p.real("egg_size", 0.3, 0.5)
        white = spline(
            (-size, 0),
            (-size * 0.3, -size * flat),
            (size * 0.7, -size * 0.6 * flat),
            (size, size * 0.3),
            (0, size * flat),
            closed=True,
        )
        parts += [
            Part("egg", white, "light"),
            Part("yolk", ellipse(0, 0, size * 0.4, size * 0.4 * flat), "trim"),
        ]
    return parts


@category("fork", turn=("tilt", -50, 50))
def fork(p: Parameters) -> list[Part]:
    """A fork with three or four tines."""
    tines = p.count("tines", 3, 4)
    width = p.real("head_width", 0.22, 0.34)
    tine = p.real("tine_length", 0.25, 0.45)
    head = p.real("head_length", 0.12, 0.28)
    handle = p.real("handle_length", 0.6, 1.0)
    neck = p.real("neck_width", 0.04, 0.07)
    end = p.real("end_width", 0.08, 0.16)
    pitch = width / (tines - 0.45)
    half = pitch * 0.55 / 2
    tip = p.real("tip_sharpness", 0.2, 0.9)
    outline = []
    for i in range(tines):
        x = -width / 2 + half + i * pitch
        point = half * (1 - tip)
        outline += [(x - half, 0), (x - point, -tine), (x + point, -tine), (x + half, 0)]
    outline += [(width / 2, head * 0.4), (neck, head), (-neck, head), (-width / 2, head * 0.4)]
    grip = tube(line((0, head * 0.9), (0, head + handle)), neck * 1.3, neck * 1.4, end, end * 0.8)
    parts = [Part("handle", grip, "metal"), Part("head", polygon(*outline, radius=0.015), "metal")]
    return parts


@category("spoon", turn=("tilt", -50, 50))
def spoon(p: Parameters) -> list[Part]:
    """A spoon with an oval bowl."""
    length = p.real("bowl_length", 0.34, 0.56)
    width = length * p.real("bowl_roundness", 0.28, 0.46)
    egg = p.real("bowl_taper", 0.7, 1.0)
    handle = p.real("handle_length", 0.6, 1.05)
    neck = p.real("neck_width", 0.035, 0.07)
    end = p.real("end_width", 0.06, 0.17)
    bend = p.real("bend", -0.1, 0.1)
    bowl = mirrored(
        (0, -length),
        (width * egg * 0.75, -length * 0.8),
        (width, -length * 0.45),
        (width * 0.62, -length * 0.1),
        (neck * 0.5, 0.02),
    )
    hollow = moved(bowl * 0.76, 0, -length * 0.14)
    path = spline((0, -0.02), (bend, handle * 0.5), (0, handle))
    parts = [
        Part("handle", tube(path, neck, neck * 1.2, end, end * 0.7), "metal"),
        Part("bowl", bowl, "metal"),
        Part("hollow", hollow, "metal"),
    ]
    if p.chance("engraving", 0.4):
        parts.append(wire("engraving", line((0, handle * 0.72), (0, handle * 0.9)), 0.015, "dark"))
    return parts
