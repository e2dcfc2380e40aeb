"""Vehicles without wheels: sailboat, airplane, helicopter, hot air balloon."""

import numpy as np

from ..geometry import (
    Part,
    arc,
    box,
    ellipse,
    line,
    mirrored,
    moved,
    panel,
    polygon,
    spline,
    trapezium,
    tube,
    turned,
    wire,
)
from ..parameters import Parameters
from .registry import category


@category("sailboat")
def sailboat(p: Parameters) -> list[Part]:
    """A boat under sail."""
    length = p.real("hull_length", 0.38, 0.56)
    depth = p.real("hull_depth", 0.12, 0.24)
    bow = p.real("bow_rake", 0.04, 0.2)
    mast = p.real("mast_height", 0.75, 1.1)
    main = p.real("mainsail_width", 0.26, 0.46)
    belly = p.real("sail_belly", 0.0, 0.1)
    jib = p.real("jib_width", 0.2, 0.42)
    place = p.real("mast_place", -0.12, 0.08)
    hull = polygon(
        (-length, 0), (length * 0.9, 0), (length * 0.9 - 0.06, depth), (-length + bow, depth), radius=0.04
    )
    stripe = ()
    if p.chance("stripe", 0.5):
        stripe = (line((-length + bow * 0.4, depth * 0.4), (length * 0.86, depth * 0.4)),)
    luff, clew, foot = place + 0.03, place + main, -0.08
    mainsail = np.concatenate(
        [
            line((luff, foot), (luff, -mast * 0.96)),
            spline((luff, -mast * 0.96), (place + main * 0.6 + belly, -mast * 0.42), (clew, foot)),
            line((clew, foot), (luff, foot)),
        ]
    )
    battens = tuple(
        line((place + 0.04, -mast * t), (place + main * (0.95 - t), -mast * t)) for t in (0.3, 0.55)
    )
    parts = [wire("mast", line((place, 0.02), (place, -mast)), 0.03, "wood")]
    if p.chance("jib", 0.7):
        tack = place - jib
        edge = spline(
            (place - 0.03, -mast * 0.88), (place - jib * 0.45 + belly * 0.5, -mast * 0.4), (tack, foot)
        )
        lower = spline((tack, foot), (place - jib * 0.4, foot - 0.04), (place - 0.03, foot - 0.02))
        parts.append(Part("jib", np.concatenate([edge, lower]), "light"))
    parts.append(Part("mainsail", mainsail, "cloth", details=battens))
    if p.chance("flag", 0.4):
        flag = polygon((0, 0), (0.16, 0.05), (0, 0.1), at=(place, -mast))
        parts.append(Part("flag", flag, "trim"))
    crest, trough = depth + 0.02, depth - 0.03
    bow, stern = (-length - 0.05, crest), (length, crest)
    waves = spline(bow, (-length * 0.5, trough), (0, crest), (length * 0.5, trough), stern)
    return [*parts, Part("hull", hull, "paint", details=stripe), wire("water", waves, 0.03, "glass")]


@category("airplane", turn=("climb", -8, 28))
def airplane(p: Parameters) -> list[Part]:
    """An airliner seen from the side."""
    length = p.real("length", 0.58, 0.72)
    thick = p.real("fuselage", 0.12, 0.2)
    fin = p.real("fin_height", 0.2, 0.36)
    sweep = p.real("wing_sweep", 0.08, 0.36)
    wing = p.real("wing_length", 0.24, 0.42)
    chord = p.real("wing_chord", 0.18, 0.3)
    windows = p.count("windows", 4, 9)
    half = thick / 2
    body = spline(
        (-length, 0.03),
        (-length * 0.88, -half * 0.8),
        (-length * 0.6, -half),
        (length * 0.5, -half),
        (length, -half * 0.9),
        (length * 0.96, -half * 0.3),
        (length * 0.5, half * 0.8),
        (-length * 0.6, half),
        (-length * 0.9, half * 0.75),
        closed=True,
    )
    tail = panel(
        (-half * 0.8, length * 0.62, length * 0.96), (-half - fin, length * 0.85, length * 1.02), radius=0.02
    )
    x = p.real("wing_place", -0.2, 0.02)
    near = panel((half * 0.2, x, x + chord), (wing, x + sweep, x + sweep + chord * 0.45), radius=0.03)
    tip = (-half - wing * 0.45, x + sweep, x + sweep + chord * 0.4)
    far = panel((-half * 0.8, x + 0.05, x + chord), tip, radius=0.02)
    tip = (half + 0.08, length * 0.86, length * 0.98)
    plane = panel((-half * 0.1, length * 0.68, length * 0.9), tip, radius=0.02)
    parts = [Part("far wing", far, "trim"), Part("tail fin", tail, "trim")]
    if p.chance("engine", 0.6):
        parts.append(Part("engine", box(x + sweep * 0.4 - 0.02, wing * 0.62, 0.17, 0.085, 0.04), "metal"))
    parts.append(Part("fuselage", body, "paint"))
    parts += [
        Part("window", ellipse(wx, -half * 0.3, 0.018), "glass")
        for wx in np.linspace(-length * 0.55, length * 0.5, windows)
    ]
    cockpit = polygon((-0.9, -0.5), (-0.83, -0.75), (-0.74, -0.75), (-0.76, -0.4), scale=(length, half))
    parts += [
        Part("cockpit", cockpit, "glass"),
        Part("near wing", near, "trim"),
        Part("tailplane", plane, "trim"),
    ]
    return parts


@category("helicopter", turn=("pitch", -12, 12))
def helicopter(p: Parameters) -> list[Part]:
    """A helicopter with a glass nose, a tail boom and skids."""
    cabin = p.real("cabin_length", 0.26, 0.38)
    height = p.real("cabin_height", 0.17, 0.26)
    boom = p.real("boom_length", 0.4, 0.65)
    boom_width = p.real("boom_width", 0.06, 0.12)
    rotor = p.real("rotor_length", 0.42, 0.66)
    mast = p.real("mast_height", 0.06, 0.15)
    fin = p.real("fin_height", 0.12, 0.26)
    skid = p.real("skid_drop", 0.08, 0.18)
    tail_rotor = p.real("tail_rotor", 0.06, 0.13)
    end = (cabin + boom, -height * 0.4)
    fin_outline = polygon((-0.12, 0), (0, -fin), (0.08, -fin), (0.03, 0.03), radius=0.015, at=end)
    beam = tube(line((cabin * 0.5, -height * 0.2), end), boom_width * 1.8, boom_width * 0.7)
    parts = [Part("boom", beam, "paint"), Part("tail fin", fin_outline, "trim")]
    for angle in (25, 115):
        blade = turned(line((-tail_rotor, 0), (tail_rotor, 0)), angle)
        blade = moved(blade, end[0] + 0.02, end[1] - fin * 0.5)
        parts.append(wire("tail rotor", blade, 0.025, "metal"))
    feet = height + skid
    parts += [
        wire("skid", line((s * cabin * 0.5, height * 0.8), (s * cabin * 0.55, feet)), 0.025, "metal")
        for s in (-1, 1)
    ]
    runner = spline((-cabin * 1.15, feet - 0.06), (-cabin * 0.95, feet), (0, feet), (cabin, feet))
    parts.append(wire("skid", runner, 0.03, "metal"))
    shell = spline(
        (-cabin, 0.05),
        (-cabin * 0.75, -height * 0.7),
        (-cabin * 0.1, -height),
        (cabin * 0.75, -height * 0.75),
        (cabin, 0.0),
        (cabin * 0.6, height * 0.8),
        (-cabin * 0.5, height * 0.9),
        closed=True,
    )
    pane = spline(
        (-cabin * 0.93, 0.02),
        (-cabin * 0.68, -height * 0.6),
        (-cabin * 0.15, -height * 0.82),
        (-cabin * 0.15, 0.05),
        closed=True,
    )
    parts += [
        wire("mast", line((0, -height * 0.9), (0, -height - mast)), 0.05, "metal"),
        Part("cabin", shell, "paint"),
        Part("windscreen", pane, "glass"),
    ]
    if p.chance("door", 0.6):
        parts.append(Part("door", box(cabin * 0.25, 0.0, cabin * 0.5, height * 0.9, 0.03), "glass"))
    droop = p.real("rotor_droop", -0.03, 0.06)
    blade = spline((-rotor, -height - mast + droop), (0, -height - mast), (rotor, -height - mast + droop))
    return [*parts, Part("rotor", tube(blade, 0.03, 0.045, 0.03), "dark")]


@category("hot air balloon")
def hot_air_balloon(p: Parameters) -> list[Part]:
    """A striped envelope above a basket."""
    width = p.real("width", 0.36, 0.5)
    height = p.real("height", 0.75, 1.05)
    belly = p.real("belly_height", 0.32, 0.48)
    mouth = p.real("mouth", 0.07, 0.15)
    rope = p.real("rope_length", 0.12, 0.3)
    basket = p.real("basket_width", 0.14, 0.24)
    basket_height = p.real("basket_height", 0.1, 0.19)
    gores = p.count("gores", 2, 5)
    profile = [
        (0, 0),
        (width * 0.75, height * 0.1),
        (width, height * belly),
        (width * 0.7, height * 0.72),
        (mouth, height),
    ]
    seams = tuple(spline(*profile, scale=(t, 1)) for t in np.linspace(-1, 1, gores + 2)[1:-1])
    parts = [
        wire("rope", line((s * mouth * 0.9, height), (s * basket * 0.45, height + rope)), 0.014)
        for s in (-1, 1)
    ]
    if p.chance("middle_rope", 0.4):
        parts.append(wire("rope", line((0, height), (0, height + rope)), 0.014))
    top, foot = height + rope, basket * 0.42
    weave = tuple(
        line((-foot, top + basket_height * t), (foot, top + basket_height * t)) for t in (0.35, 0.65)
    )
    body = trapezium(basket / 2, top, foot, top + basket_height, radius=0.02)
    parts += [
        Part("basket", body, "wood", details=weave),
        Part("envelope", mirrored(*profile), "cloth", details=seams),
    ]
    if p.chance("band", 0.45):
        y = height * p.real("band_height", 0.3, 0.55)
        right = spline(*profile)
        edge = [np.interp(v, right[:, 1], right[:, 0]) * 0.985 for v in (y, y + 0.14)]
        sag = 0.05
        outline = np.concatenate([arc(0, y, edge[0], sag, 180, 0), arc(0, y + 0.14, edge[1], sag, 0, 180)])
        parts.append(Part("band", outline, "trim"))
    return parts
