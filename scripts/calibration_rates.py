#!/usr/bin/env python
"""How often a drawing is told that nothing looks like it: with its photos in the gallery (a false alarm), and without.

    python scripts/calibration_rates.py mini-clip-at
    python scripts/calibration_rates.py frozen-clip --base-model small-clip --crop --line-width 1.5

All drawings of the ten unseen classes of `quickdraw-caltech` search two galleries: all 1,200 photos of 40 classes, and
the 900 that are left without the ten. The line was chosen on the other 30 classes; see `gallery.calibration`. Beside
both shares it prints the 95 % interval (Wilson) of each.
"""

import argparse
import json
import math

DRAWINGS_PER_CLASS = 20


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted in so many cases."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return round(middle - half, 3), round(middle + half, 3)


def main() -> None:
    """Measure a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="bundled name, folder or Hub id of a checkpoint, or frozen-clip")
    parser.add_argument("--base-model", help="CLIP, if it is not the checkpoint's own")
    parser.add_argument("--crop", action="store_true", help="cut away the white around drawings")
    parser.add_argument("--line-width", type=float, help="least width of a drawn line")
    arguments = parser.parse_args()

    from sketch_prompt import Gallery, load_benchmark
    from sketch_prompt.cli.command import sketch_settings
    from sketch_prompt.data.doodles import read_doodles
    from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES

    sketches = sketch_settings(arguments.crop or None, arguments.line_width)
    gallery = Gallery(arguments.model, base_model=arguments.base_model, sketches=sketches)
    everything = {"seen": [*SEEN_CLASSES], "unseen": [*UNSEEN_CLASSES]}
    data = load_benchmark("quickdraw-caltech", split=everything)
    drawings = read_doodles(UNSEEN_CLASSES, limit=DRAWINGS_PER_CLASS)
    result = {"drawings": len(drawings)}
    gallery.add(data["train_photo"])
    for name, photos in (("detected", None), ("false alarms", data["test_photo"])):
        if photos is not None:
            gallery.add(photos, [f"unseen {row}" for row in range(len(photos))])
        calibration = gallery.calibrate()
        weak = [gallery.search(drawing.strokes, 1).is_weak for drawing in drawings]
        share = sum(weak) / len(weak)
        result[name] = {"photos": len(gallery), "share": share, "interval": wilson(share, len(weak))}
        result[name]["line"] = round(calibration.line, 3)
        result[name]["hub"] = round(calibration.hub_share, 3)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
