"""A sketch folder of a few dozen pictures, enough to run the whole training loop."""

from pathlib import Path

import yaml
from PIL import Image, ImageDraw

CLASSES = {
    "disc": lambda draw, box, **style: draw.ellipse(box, **style),
    "square": lambda draw, box, **style: draw.rectangle(box, **style),
    "roof": lambda draw, box, **style: draw.polygon([box[:2], (box[2], box[1]), box[2:]], **style),
    "slice": lambda draw, box, **style: draw.pieslice(box, 20, 130, **style),
    "lens": lambda draw, box, **style: draw.chord(box, 200, 330, **style),
    "pin": lambda draw, box, **style: draw.regular_polygon((16, 16, (box[2] - box[0]) // 2), 5, **style),
}
SEEN, UNSEEN = list(CLASSES)[:4], list(CLASSES)[4:]
PICTURES = 6


def write_shapes(root: Path) -> Path:
    """Four seen and two unseen classes of simple shapes, six photos and six sketches each."""
    for name, shape in CLASSES.items():
        for domain in ("photo", "sketch"):
            (root / domain / name).mkdir(parents=True)
        for number in range(PICTURES):
            box = (4 + number % 3, 5, 24 + number, 26)
            photo = Image.new("RGB", (32, 32), (40 * number, 120, 200))
            shape(ImageDraw.Draw(photo), box, fill=(220, 30 * number, 60))
            photo.save(root / "photo" / name / f"{number}.png")
            sketch = Image.new("RGB", (32, 32), "white")
            shape(ImageDraw.Draw(sketch), box, outline="black")
            sketch.save(root / "sketch" / name / f"{number}-1.png")
    (root / "split.yaml").write_text(yaml.safe_dump({"seen": SEEN, "unseen": UNSEEN}))
    return root
