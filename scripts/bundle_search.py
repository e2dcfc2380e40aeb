#!/usr/bin/env python
"""Make sketch-search, the bundled model for searching: small-clip with a lens fitted on all that is bundled.

    python scripts/bundle_search.py

It is fitted on all 344 classes of drawings, 40 of them with photos, so it is for use and not for zero-shot tests.
`scripts/search_quality.py sketch-search` measures it.
"""

import argparse
from pathlib import Path

import model_cards

ASSETS = Path(__file__).resolve().parents[1] / "src" / "sketch_prompt" / "assets"
BASE_MODEL = "small-clip"
# Drawings of things with photos count this often, so that these 908 weigh as much as the 7,012 that have texts alone.
REPEATS = 8
# Of 0.01 to 10, what found most on drawings that were left out of the fit (not on classes that were: people draw
# what it knows).
PENALTY = 0.03


def main() -> None:
    """Fit the lens and save the model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=ASSETS / "sketch-search", help="folder to write")
    arguments = parser.parse_args()

    from sketch_prompt import SketchPromptProcessor, load_benchmark
    from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES
    from sketch_prompt.lens.tables import fit_model_lens, lens_tables
    from sketch_prompt.models.loading import load_model
    from sketch_prompt.models.sketch_lens import SketchLensModel

    everything = {"seen": [], "unseen": [*SEEN_CLASSES, *UNSEEN_CLASSES]}
    real = load_benchmark("quickdraw-caltech", split=everything)
    doodles, _ = lens_tables()
    clip = load_model("frozen-clip", BASE_MODEL)[0].clip
    model = SketchLensModel(SketchLensModel.config_class(base_model=BASE_MODEL), backbone=clip)
    processor = SketchPromptProcessor.from_base_model(
        BASE_MODEL, sketch_crop_margin=True, sketch_line_width=1.5
    )
    drawings = [*doodles, *[real["test_sketch"]] * (REPEATS - 1)]
    result = fit_model_lens(model, processor, drawings, [real["test_photo"]], "both", penalty=PENALTY)
    model.save_pretrained(arguments.output, processor=processor)
    model_cards.write()
    print(f"Wrote {arguments.output}: {result.lens.drawings:,} drawings of {len(result.class_names)} classes")


if __name__ == "__main__":
    main()
