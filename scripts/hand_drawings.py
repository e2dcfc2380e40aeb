"""Eight things as somebody draws them with a mouse: lines of points, in shares of the drawing area.

They were drawn up before any of them was searched, and none was changed afterwards.
"""

import math
import random

Line = list[tuple[float, float]]

_WOBBLE = 0.004


def arc(x: float, y: float, width: float, height: float, start: float = 0, end: float = 360) -> Line:
    """A part of an ellipse around (x, y), in degrees clockwise from the right."""
    steps = max(int(abs(end - start) / 12), 3)
    angles = [math.radians(start + (end - start) * k / steps) for k in range(steps + 1)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


def path(*points: tuple[float, float]) -> Line:
    """Straight lines from point to point."""
    line = [points[0]]
    for (x1, y1), (x2, y2) in zip(points, points[1:]):
        steps = max(int(math.hypot(x2 - x1, y2 - y1) / 0.03), 1)
        line += [(x1 + (x2 - x1) * k / steps, y1 + (y2 - y1) * k / steps) for k in range(1, steps + 1)]
    return line


def _airplane() -> list[Line]:
    body = [
        *arc(0.5, 0.5, 0.36, 0.07, 100, 350),
        *path((0.86, 0.49), (0.9, 0.47), (0.84, 0.55), (0.44, 0.57)),
    ]
    near_wing = path((0.42, 0.53), (0.56, 0.78), (0.64, 0.77), (0.58, 0.52))
    far_wing = path((0.46, 0.43), (0.56, 0.26), (0.63, 0.26), (0.58, 0.44))
    tail = path((0.76, 0.46), (0.87, 0.3), (0.92, 0.3), (0.87, 0.48))
    windows = [arc(x, 0.48, 0.012, 0.012) for x in (0.3, 0.38, 0.46, 0.54, 0.62)]
    return [body, near_wing, far_wing, tail, *windows]


def _butterfly() -> list[Line]:
    def wing(side: int) -> list[Line]:
        def mirrored(line: Line) -> Line:
            return [(0.5 + side * (x - 0.5), y) for x, y in line]

        upper = path(
            (0.51, 0.45), (0.6, 0.28), (0.74, 0.18), (0.85, 0.22), (0.86, 0.38), (0.76, 0.5), (0.52, 0.52)
        )
        lower = path((0.52, 0.54), (0.68, 0.57), (0.78, 0.66), (0.74, 0.79), (0.62, 0.8), (0.51, 0.62))
        feeler = path((0.505, 0.34), (0.54, 0.24), (0.6, 0.2))
        return [mirrored(upper), mirrored(lower), mirrored(feeler), mirrored(arc(0.74, 0.32, 0.04, 0.045))]

    return [arc(0.5, 0.53, 0.022, 0.19), *wing(1), *wing(-1)]


def _chair() -> list[Line]:
    back = path((0.3, 0.5), (0.28, 0.12), (0.56, 0.1), (0.58, 0.48))
    rails = [path((0.29, 0.25), (0.57, 0.23)), path((0.29, 0.37), (0.57, 0.35))]
    seat = path((0.3, 0.5), (0.58, 0.48), (0.72, 0.58), (0.42, 0.61), (0.3, 0.5))
    legs = [
        path((0.3, 0.5), (0.29, 0.83)),
        path((0.42, 0.61), (0.42, 0.93)),
        path((0.72, 0.58), (0.73, 0.88)),
        path((0.58, 0.6), (0.58, 0.78)),
    ]
    return [back, *rails, seat, *legs]


def _cup() -> list[Line]:
    rim = arc(0.44, 0.28, 0.24, 0.06)
    sides = [
        *path((0.2, 0.28), (0.24, 0.74)),
        *arc(0.44, 0.74, 0.2, 0.07, 180, 0),
        *path((0.64, 0.74), (0.68, 0.28)),
    ]
    handle = [*path((0.67, 0.38)), *arc(0.69, 0.5, 0.14, 0.13, -80, 95), *path((0.66, 0.62))]
    return [rim, sides, handle]


def _guitar() -> list[Line]:
    body = path(
        (0.42, 0.5), (0.34, 0.52), (0.31, 0.6), (0.34, 0.67), (0.27, 0.72), (0.24, 0.82), (0.3, 0.92), (0.43, 0.95),
        (0.56, 0.92), (0.62, 0.82), (0.59, 0.72), (0.52, 0.67), (0.55, 0.6), (0.52, 0.52), (0.45, 0.5),
    )  # fmt: skip
    hole = arc(0.43, 0.71, 0.055, 0.055)
    neck = path((0.405, 0.64), (0.405, 0.16), (0.46, 0.16), (0.46, 0.64))
    head = path((0.395, 0.16), (0.385, 0.05), (0.48, 0.05), (0.47, 0.16), (0.395, 0.16))
    pegs = [path((0.385, y), (0.36, y)) for y in (0.08, 0.12)] + [
        path((0.48, y), (0.505, y)) for y in (0.08, 0.12)
    ]
    bridge = path((0.37, 0.84), (0.49, 0.84))
    strings = [path((x, 0.16), (x, 0.84)) for x in (0.422, 0.443)]
    return [body, hole, neck, head, *pegs, bridge, *strings]


def _helicopter() -> list[Line]:
    cabin = arc(0.38, 0.54, 0.2, 0.15)
    window = [*path((0.38, 0.54), (0.2, 0.54)), *arc(0.38, 0.54, 0.18, 0.13, 180, 270), *path((0.38, 0.54))]
    tail = path((0.56, 0.48), (0.86, 0.44), (0.86, 0.48), (0.56, 0.58))
    tail_rotor = [path((0.86, 0.34), (0.9, 0.55)), path((0.8, 0.46), (0.95, 0.43))]
    mast = path((0.38, 0.39), (0.38, 0.3))
    rotor = path((0.08, 0.31), (0.7, 0.29))
    skids = [
        path((0.18, 0.79), (0.6, 0.79)),
        path((0.3, 0.68), (0.28, 0.79)),
        path((0.47, 0.68), (0.49, 0.79)),
    ]
    return [cabin, window, tail, *tail_rotor, mast, rotor, *skids]


def _scissors() -> list[Line]:
    one = path((0.36, 0.64), (0.66, 0.1), (0.62, 0.3), (0.44, 0.66))
    other = path((0.64, 0.64), (0.34, 0.1), (0.38, 0.3), (0.56, 0.66))
    rings = [arc(0.34, 0.77, 0.1, 0.13), arc(0.66, 0.77, 0.1, 0.13)]
    return [one, other, *rings, arc(0.5, 0.46, 0.015, 0.015)]


def _umbrella() -> list[Line]:
    top = arc(0.5, 0.48, 0.38, 0.34, 180, 360)
    edge = [point for k in range(4) for point in arc(0.215 + 0.19 * k, 0.48, 0.095, 0.05, 180, 360)]
    ribs = [path((0.5, 0.14), (0.4, 0.28), (0.31, 0.47)), path((0.5, 0.14), (0.6, 0.28), (0.69, 0.47))]
    stick = [*path((0.5, 0.08), (0.5, 0.84)), *arc(0.56, 0.84, 0.06, 0.07, 180, 10)]
    return [top, edge, *ribs, stick]


_THINGS = {
    "airplane": _airplane,
    "butterfly": _butterfly,
    "chair": _chair,
    "cup": _cup,
    "guitar": _guitar,
    "helicopter": _helicopter,
    "scissors": _scissors,
    "umbrella": _umbrella,
}


def hand_drawings() -> dict[str, list[Line]]:
    """The eight things, with the tremble of a hand."""
    tremble = random.Random(8)
    return {
        name: [
            [(x + tremble.gauss(0, _WOBBLE), y + tremble.gauss(0, _WOBBLE)) for x, y in line]
            for line in make()
        ]
        for name, make in _THINGS.items()
    }
