"""What a lens costs a search: the same gallery with and without, in turns, in one process.

    python scripts/lens_search_time.py --base-model CLIP --photos 100000

Photos are random vectors, which an exact index searches like any others. Times are of `Gallery.search` for a drawing,
embedding included; the machine may be busy, so the ratio is the number to look at.
"""

import argparse
import time

import numpy as np
import torch
from PIL import Image, ImageDraw

from sketch_prompt import Gallery, SketchLensModel
from sketch_prompt.lens import Lens


def drawing() -> Image.Image:
    """A house."""
    image = Image.new("RGB", (256, 256), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((60, 120, 200, 220), outline="black", width=4)
    pen.line((60, 120, 130, 50, 200, 120), fill="black", width=4)
    return image


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-model", default="small-clip")
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    lens = SketchLensModel.from_base_model(arguments.base_model).eval()
    dim, random = lens.config.clip_config.projection_dim, np.random.default_rng(0)
    vectors = random.normal(size=(arguments.photos, dim)).astype(np.float32)
    names = [f"photo {number}" for number in range(arguments.photos)]
    plain = Gallery.from_embeddings(vectors, names, arguments.base_model, check=0, index="exact")
    turn = np.linalg.qr(random.normal(size=(dim, dim)))[0]
    lens.set_lens(Lens(torch.full((dim,), 0.01, dtype=torch.float64), torch.from_numpy(turn), 1.0), "text")
    through = Gallery(lens, plain.processor, index="exact")
    through.collection = plain.collection
    sketch, galleries = drawing(), {"without": plain, "with": through}
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    taken = {(name, clock): [] for name in galleries for clock in clocks}
    for number in range(arguments.rounds + 5):
        for name in sorted(galleries, reverse=bool(number % 2)):
            starts = {clock: read() for clock, read in clocks.items()}
            galleries[name].search(sketch, 10)
            for clock, read in clocks.items():
                taken[name, clock].append(read() - starts[clock])
    for clock in clocks:
        without, with_lens = (np.array(taken[name, clock][5:]) for name in ("without", "with"))
        ratio = np.median(with_lens) / np.median(without)
        halves = [
            np.median(with_lens[half]) / np.median(without[half])
            for half in (slice(0, None, 2), slice(1, None, 2))
        ]
        print(
            f"{clock}: {1e3 * np.median(without):.1f} ms without, {1e3 * np.median(with_lens):.1f} ms with a lens, "
            f"ratio {ratio:.3f} (halves {halves[0]:.3f}, {halves[1]:.3f})"
        )


if __name__ == "__main__":
    main()
