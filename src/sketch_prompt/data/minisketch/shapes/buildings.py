"""Buildings: house, windmill, lighthouse."""

import numpy as np

from ..geometry import Part, arc, box, ellipse, line, mirrored, moved, polygon, spline, trapezium, turned
from ..parameters import Parameters
from .registry import category


def _window(x: float, y: float, width: float, height: float) -> Part:
    bars = (line((x - width / 2, y), (x + width / 2, y)), line((x, y - height / 2), (x, y + height / 2)))
    return Part("window", box(x, y, width, height), "glass", details=bars)


@category("house")
def house(p: Parameters) -> list[Part]:
    """A house with a pitched roof, a door, windows and perhaps a chimney."""
    width = p.real("width", 0.32, 0.54)
    wall = p.real("wall_height", 0.34, 0.62)
    roof = p.real("roof_height", 0.18, 0.46)
    ridge = p.real("ridge_length", 0.0, 0.75)
    eaves = p.real("eaves", 0.02, 0.1)
    door = p.real("door_width", 0.11, 0.18)
    place = p.real("door_place", -0.6, 0.6)
    pane = p.real("window_size", 0.1, 0.17)
    parts = []
    if p.chance("chimney", 0.6):
        x = width * p.real("chimney_place", 0.35, 0.7)
        parts.append(Part("chimney", box(x, -roof * 0.6, 0.11, roof * 0.95), "clay"))
    parts.append(Part("wall", box(0, wall / 2, width * 2, wall), "paint"))
    tiles = []
    if ridge > 0.3:
        halves = ((width * (0.75 - 0.3 * t), -roof * t) for t in (0.33, 0.66))
        tiles = [line((-x - 0.02, y), (x, y)) for x, y in halves]
    slopes = polygon(
        (-width - eaves, 0.02), (-width * ridge, -roof), (width * ridge + 0.001, -roof), (width + eaves, 0.02)
    )
    parts.append(Part("roof", slopes, "clay", details=tuple(tiles)))
    x = place * (width - door)
    parts.append(Part("door", box(x, wall - door * 0.85, door, door * 1.7), "wood"))
    parts.append(Part("knob", ellipse(x + door * 0.3, wall - door * 0.8, 0.012), "light"))
    spots = [s for s in (-0.62, 0.0, 0.62) if abs(s * width - x) > (door + pane) / 2 + 0.02]
    parts += [
        _window(s * width, wall * 0.42, pane, pane * p.real("window_height", 0.8, 1.4))
        for s in spots[: p.count("windows", 1, 3)]
    ]
    if p.chance("attic", 0.35) and ridge < 0.5:
        parts.append(Part("attic window", ellipse(0, -roof * 0.35, min(0.07, roof * 0.22)), "glass"))
    return parts


@category("windmill")
def windmill(p: Parameters) -> list[Part]:
    """A tower mill with four sails."""
    low = p.real("base_width", 0.22, 0.34)
    top = low * p.real("taper", 0.45, 0.75)
    height = p.real("tower_height", 0.65, 0.95)
    cap = p.real("cap_height", 0.1, 0.24)
    sail = p.real("sail_length", 0.42, 0.62)
    cloth = p.real("sail_width", 0.1, 0.18)
    turn = p.real("sail_angle", 0, 90)
    root = p.real("sail_root", 0.12, 0.35)
    tower = trapezium(top, 0, low, height)
    bands = ()
    if p.chance("bands", 0.4):
        bands = tuple(
            line((-x, y), (x, y)) for x, y in ((top + (low - top) * t, height * t) for t in (0.45, 0.75))
        )
    dome = mirrored((0, -cap), (top * 0.75, -cap * 0.7), (top * 1.15, 0.03), (0, 0.04))
    parts = [Part("tower", tower, "paint", details=bands), Part("cap", dome, "clay")]
    door = p.real("door_width", 0.1, 0.15)
    left, right, arch = -door / 2, door / 2, height - door * 1.2
    frame = [line((right, height), (left, height), (left, arch)), arc(0, arch, right, right, 180, 360)]
    parts.append(Part("door", np.concatenate(frame), "wood"))
    parts += [_window(0, height * y, 0.08, 0.1) for y in (0.5, 0.3)[: p.count("windows", 0, 2)]]
    hub = (0, -0.02)
    for i in range(4):
        angle = turn + 90 * i
        arm = moved(turned(box(sail * 0.5, 0, sail, 0.025), angle), *hub)
        start = sail * root
        middle = (start + sail) / 2
        bars = [line((start, cloth * 0.55), (sail, cloth * 0.55))]
        bars += [line((x, 0.02), (x, cloth)) for x in np.linspace(start, sail, 6)[1:-1]]
        panel = moved(turned(box(middle, cloth / 2 + 0.01, sail - start, cloth), angle), *hub)
        parts += [
            Part("sail", panel, "light", details=tuple(moved(turned(b, angle), *hub) for b in bars)),
            Part("sail arm", arm, "wood"),
        ]
    return [*parts, Part("hub", ellipse(*hub, 0.035), "dark")]


@category("lighthouse")
def lighthouse(p: Parameters) -> list[Part]:
    """A striped tower with a lantern room on top, often on a rock."""
    low = p.real("base_width", 0.15, 0.24)
    top = low * p.real("taper", 0.5, 0.8)
    height = p.real("tower_height", 0.75, 1.1)
    bands = p.count("bands", 0, 4)
    lamp = p.real("lantern_height", 0.11, 0.2)
    roof = p.real("roof_height", 0.07, 0.18)
    gallery = p.real("gallery_width", 1.2, 1.7) * top
    tower = trapezium(top, 0, low, height)
    parts = []
    if p.chance("rock", 0.6):
        size = p.real("rock_width", 0.34, 0.55)
        knots = ((-1, 0.1), (-0.7, -0.03), (-0.1, -0.06), (0.6, -0.02), (1, 0.1))
        rock = spline(*knots, closed=True, scale=(size, 1), at=(0, height))
        parts.append(Part("rock", rock, "sand"))
    parts.append(Part("tower", tower, "paint"))
    for i in range(bands):
        t0 = (i + 0.5) / (bands + 0.2)
        t1 = t0 + 0.45 / (bands + 0.2)
        w0, w1 = (top + (low - top) * t for t in (t0, t1))
        parts.append(Part("band", trapezium(w0, height * t0, w1, height * t1), "light"))
    room = top * p.real("lantern_width", 0.55, 0.8)
    panes = tuple(line((x, -lamp), (x, 0)) for x in (-room * 0.35, room * 0.35))
    parts += [
        Part("lantern room", box(0, -lamp / 2, room * 2, lamp + 0.02), "glass", details=panes),
        Part("gallery", box(0, 0.01, gallery * 2, 0.05, 0.01), "dark"),
    ]
    if p.chance("domed", 0.5):
        eaves = -lamp + 0.01
        cover = mirrored((0, -lamp - roof), (room * 0.8, -lamp - roof * 0.7), (room * 1.2, eaves), (0, eaves))
    else:
        cover = polygon((0, -lamp - roof * 1.3), (room * 1.3, -lamp), (-room * 1.3, -lamp))
    parts.append(Part("roof", cover, "clay"))
    door = low * 0.5
    parts.append(Part("door", box(0, height - door * 0.8, door, door * 1.6, 0.03), "wood"))
    if p.chance("beam", 0.3):
        light = polygon((0, -0.02), (0.6, -0.14), (0.6, 0.1), (0, 0.02), at=(0, -lamp * 0.5))
        parts.insert(0, Part("beam", light, "light"))
    return parts
