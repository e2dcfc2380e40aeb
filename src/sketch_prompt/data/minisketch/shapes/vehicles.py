"""Things that carry people: bicycle, car, bus, truck, sailboat, airplane, helicopter, hot air balloon."""

import numpy as np

from ..geometry import (
    Part,
    arc,
    box,
    ellipse,
    line,
    mirrored,
    moved,
    polygon,
    spline,
    tube,
    turned,
    turned_parts,
    wire,
)
from ..parameters import Parameters
from .registry import category


def _wheel(name: str, x: float, y: float, radius: float, hub: float = 0.5) -> list[Part]:
    return [Part(name, ellipse(x, y, radius), "dark"), Part("hub cap", ellipse(x, y, radius * hub), "metal")]


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
    crank, seat, head = (
        np.array([-0.06, 0.04]),
        np.array([-0.06 - tilt, -saddle]),
        np.array([base - 0.12, -bar]),
    )
    parts = []
    for name, centre in (("rear wheel", rear), ("front wheel", front)):
        lines = []
        for angle in np.arange(spokes) * np.pi / max(spokes, 1) + 0.3:
            arm = np.array([np.cos(angle), np.sin(angle)]) * (radius - rim)
            lines.append(line(centre - arm, centre + arm))
        parts.append(Part(name, ellipse(*centre, radius), "dark", holes=(ellipse(*centre, radius - rim),)))
        parts += [wire("spokes", spoke, 0.01, "metal") for spoke in lines]
    neck = seat + (head - seat) * 0.04
    collar = head + (front - head) * 0.3
    frame = [
        (rear, crank),
        (rear, neck + (crank - neck) * 0.15),
        (crank, seat),
        (crank, collar),
        (neck + (crank - neck) * 0.15, collar),
    ]
    parts += [wire("frame", line(a, b), thick, "paint") for a, b in frame]
    parts += [wire("fork", line(front, head), thick, "paint")]
    if p.chance("dropped_bar", 0.5):
        grip = spline(head, head + (0.1, -0.03), head + (0.14, 0.06), head + (0.06, 0.1))
    else:
        grip = spline(head + (0.04, 0.0), head, head + (-0.07, -0.06), head + (-0.16, -0.05))
    parts += [wire("handlebar", grip, 0.04, "dark")]
    width = p.real("saddle_width", 0.1, 0.16)
    top = polygon(
        seat + (-width, -0.03),
        seat + (width * 0.9, -0.02),
        seat + (width * 0.9, 0.01),
        seat + (-width * 0.6, 0.04),
        radius=0.02,
    )
    pedal = line(crank + (-0.05, -0.09), crank + (0.05, 0.09))
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
    hull = polygon((-length, body * 0.2), (-length * 0.97, -body * 0.7), (x0, -body), (x1, -body), (length, -body * 0.75),
                   (length, body * 0.35), (-length, body * 0.35), radius=curve)  # fmt: skip
    cabin = polygon(
        (x0 - 0.02, -body * 0.9),
        (x0 + rake, -body - roof),
        (x1 - rake * 0.7, -body - roof),
        (x1 + 0.02, -body * 0.9),
        radius=curve,
    )
    middle = (x0 + x1) / 2 + p.real("pillar", -0.08, 0.08)
    top, low = -body - roof * 0.85, -body * 0.98
    panes = [polygon((x0 + rake * 0.35 + 0.03, low), (x0 + rake + 0.03, top), (middle - 0.02, top), (middle - 0.02, low), radius=0.02),
             polygon((middle + 0.02, low), (middle + 0.02, top), (x1 - rake * 0.7 - 0.03, top), (x1 - rake * 0.3 - 0.03, low), radius=0.02)]  # fmt: skip
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
    stripe = (
        (line((-length + 0.02, -height * 0.3), (length - 0.02, -height * 0.3)),)
        if p.chance("stripe", 0.6)
        else ()
    )
    parts = [Part("body", hull, "paint", details=stripe)]
    door = p.real("door_width", 0.12, 0.18)
    left = -length + nose + 0.06
    parts.append(Part("door", box(left + door / 2, -height * 0.42, door, height * 0.72, 0.01), "glass",
                      details=(line((left + door / 2, -height * 0.76), (left + door / 2, -height * 0.08)),)))  # fmt: skip
    edges = np.linspace(left + door + 0.05, length - 0.04, panes + 1)
    parts += [
        Part("window", box((a + b) / 2, y, (b - a) * 0.82, pane, 0.02), "glass")
        for a, b in zip(edges[:-1], edges[1:])
    ]
    if p.chance("upper_deck", 0.3):
        deck = height * 0.5
        parts.insert(0, Part("upper deck", polygon((-length + nose + 0.03, -height - deck), (length, -height - deck), (length, -height * 0.9),
                                                   (-length + nose, -height * 0.9), radius=curve), "paint"))  # fmt: skip
        parts += [Part("window", box((a + b) / 2, -height - deck * 0.5, (b - a) * 0.82, deck * 0.5, 0.02), "glass")
                  for a, b in zip(edges[:-1], edges[1:])]  # fmt: skip
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
    front = polygon((-cab - hood, 0), (-cab - hood, -cab_height * 0.45), (-cab, -cab_height * 0.5), (-cab + slope, -cab_height), (0, -cab_height), (0, 0),
                    radius=0.03)  # fmt: skip
    pane = polygon((-cab + 0.04, -cab_height * 0.54), (-cab + slope + 0.04, -cab_height * 0.9), (-0.08, -cab_height * 0.9), (-0.08, -cab_height * 0.54),
                   radius=0.02)  # fmt: skip
    ribs = tuple(
        line((0.04 + cargo * t, -cargo_height + 0.02), (0.04 + cargo * t, -0.06)) for t in (0.25, 0.5, 0.75)
    )
    load = Part("cargo", box(0.04 + cargo / 2, -cargo_height / 2 - 0.02, cargo, cargo_height, 0.01), "trim",
                details=ribs if p.chance("ribs", 0.5) else ())  # fmt: skip
    handle = (line((-0.12, -cab_height * 0.4), (-0.06, -cab_height * 0.4)),)
    parts = [Part("chassis", box((cargo - cab) / 2, 0, cargo + cab, 0.07, 0.01), "dark"), load, Part("cab", front, "paint", details=handle),
             Part("window", pane, "glass"), Part("light", ellipse(-cab - hood + 0.03, -0.1, 0.03), "light")]  # fmt: skip
    parts += _wheel("front wheel", -cab * 0.55, 0.04, radius)
    for i in range(axles):
        parts += _wheel("rear wheel", 0.04 + cargo * 0.8 - i * radius * 2.2, 0.04, radius)
    return parts


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
    stripe = (
        (line((-length + bow * 0.4, depth * 0.4), (length * 0.86, depth * 0.4)),)
        if p.chance("stripe", 0.5)
        else ()
    )
    foot = -0.08
    mainsail = np.concatenate([line((place + 0.03, foot), (place + 0.03, -mast * 0.96)),
                               spline((place + 0.03, -mast * 0.96), (place + main * 0.6 + belly, -mast * 0.42), (place + main, foot)),
                               line((place + main, foot), (place + 0.03, foot))])  # fmt: skip
    battens = tuple(
        line((place + 0.04, -mast * t), (place + main * (0.95 - t), -mast * t)) for t in (0.3, 0.55)
    )
    parts = [wire("mast", line((place, 0.02), (place, -mast)), 0.03, "wood")]
    if p.chance("jib", 0.7):
        foresail = np.concatenate([spline((place - 0.03, -mast * 0.88), (place - jib * 0.45 + belly * 0.5, -mast * 0.4), (place - jib, foot)),
                                   spline((place - jib, foot), (place - jib * 0.4, foot - 0.04), (place - 0.03, foot - 0.02))])  # fmt: skip
        parts.append(Part("jib", foresail, "light"))
    parts.append(Part("mainsail", mainsail, "cloth", details=battens))
    if p.chance("flag", 0.4):
        parts.append(
            Part("flag", polygon((place, -mast), (place + 0.16, -mast + 0.05), (place, -mast + 0.1)), "trim")
        )
    waves = spline(
        (-length - 0.05, depth + 0.02),
        (-length * 0.5, depth - 0.03),
        (0, depth + 0.02),
        (length * 0.5, depth - 0.03),
        (length, depth + 0.02),
    )
    return [*parts, Part("hull", hull, "paint", details=stripe), wire("water", waves, 0.03, "glass")]


@category("airplane")
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
    body = spline((-length, 0.03), (-length * 0.88, -half * 0.8), (-length * 0.6, -half), (length * 0.5, -half), (length, -half * 0.9), (length * 0.96, -half * 0.3),
                  (length * 0.5, half * 0.8), (-length * 0.6, half), (-length * 0.9, half * 0.75), closed=True)  # fmt: skip
    tail = polygon(
        (length * 0.62, -half * 0.8),
        (length * 0.85, -half - fin),
        (length * 1.02, -half - fin),
        (length * 0.96, -half * 0.8),
        radius=0.02,
    )
    x = p.real("wing_place", -0.2, 0.02)
    near = polygon(
        (x, half * 0.2),
        (x + sweep, wing),
        (x + sweep + chord * 0.45, wing),
        (x + chord, half * 0.2),
        radius=0.03,
    )
    far = polygon((x + 0.05, -half * 0.8), (x + sweep, -half - wing * 0.45), (x + sweep + chord * 0.4, -half - wing * 0.45),
                  (x + chord, -half * 0.8), radius=0.02)  # fmt: skip
    plane = polygon(
        (length * 0.68, -half * 0.1),
        (length * 0.86, half + 0.08),
        (length * 0.98, half + 0.08),
        (length * 0.9, -half * 0.1),
        radius=0.02,
    )
    parts = [Part("far wing", far, "trim"), Part("tail fin", tail, "trim")]
    if p.chance("engine", 0.6):
        parts.append(Part("engine", box(x + sweep * 0.4 - 0.02, wing * 0.62, 0.17, 0.085, 0.04), "metal"))
    parts.append(Part("fuselage", body, "paint"))
    parts += [
        Part("window", ellipse(wx, -half * 0.3, 0.018), "glass")
        for wx in np.linspace(-length * 0.55, length * 0.5, windows)
    ]
    cockpit = polygon(
        (-length * 0.9, -half * 0.5),
        (-length * 0.83, -half * 0.75),
        (-length * 0.74, -half * 0.75),
        (-length * 0.76, -half * 0.4),
    )
    parts += [
        Part("cockpit", cockpit, "glass"),
        Part("near wing", near, "trim"),
        Part("tailplane", plane, "trim"),
    ]
    return turned_parts(parts, p.real("climb", -8, 28))


@category("helicopter")
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
    parts = [Part("boom", tube(line((cabin * 0.5, -height * 0.2), end), boom_width * 1.8, boom_width * 0.7), "paint"),
             Part("tail fin", polygon((end[0] - 0.12, end[1]), (end[0], end[1] - fin), (end[0] + 0.08, end[1] - fin), (end[0] + 0.03, end[1] + 0.03), radius=0.015), "trim")]  # fmt: skip
    for angle in (25, 115):
        blade = turned(line((-tail_rotor, 0), (tail_rotor, 0)), angle) + (end[0] + 0.02, end[1] - fin * 0.5)
        parts.append(wire("tail rotor", blade, 0.025, "metal"))
    feet = height + skid
    parts += [
        wire("skid", line((s * cabin * 0.5, height * 0.8), (s * cabin * 0.55, feet)), 0.025, "metal")
        for s in (-1, 1)
    ]
    parts += [
        wire(
            "skid",
            spline((-cabin * 1.15, feet - 0.06), (-cabin * 0.95, feet), (0, feet), (cabin, feet)),
            0.03,
            "metal",
        )
    ]
    shell = spline((-cabin, 0.05), (-cabin * 0.75, -height * 0.7), (-cabin * 0.1, -height), (cabin * 0.75, -height * 0.75), (cabin, 0.0), (cabin * 0.6, height * 0.8),
                   (-cabin * 0.5, height * 0.9), closed=True)  # fmt: skip
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
    return turned_parts(
        [*parts, Part("rotor", tube(blade, 0.03, 0.045, 0.03), "dark")], p.real("pitch", -12, 12)
    )


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
    seams = []
    for t in np.linspace(-1, 1, gores + 2)[1:-1]:
        seams.append(spline(*[(x * t, y) for x, y in profile]))
    parts = [
        wire("rope", line((s * mouth * 0.9, height), (s * basket * 0.45, height + rope)), 0.014)
        for s in (-1, 1)
    ]
    if p.chance("middle_rope", 0.4):
        parts.append(wire("rope", line((0, height), (0, height + rope)), 0.014))
    weave = tuple(
        line(
            (-basket * 0.42, height + rope + basket_height * t),
            (basket * 0.42, height + rope + basket_height * t),
        )
        for t in (0.35, 0.65)
    )
    parts += [Part("basket", polygon((-basket / 2, height + rope), (basket / 2, height + rope), (basket * 0.42, height + rope + basket_height),
                                     (-basket * 0.42, height + rope + basket_height), radius=0.02), "wood", details=weave),
              Part("envelope", mirrored(*profile), "cloth", details=tuple(seams))]  # fmt: skip
    if p.chance("band", 0.45):
        y = height * p.real("band_height", 0.3, 0.55)
        right = spline(*profile)
        edge = [np.interp(v, right[:, 1], right[:, 0]) * 0.985 for v in (y, y + 0.14)]
        sag = 0.05
        outline = np.concatenate([arc(0, y, edge[0], sag, 180, 0), arc(0, y + 0.14, edge[1], sag, 0, 180)])
        parts.append(Part("band", moved(outline, 0, 0), "trim"))
    return parts
