"""Peak memory of evaluating ZSE-SBIR by re-ranking, at ViT-B/16's size, on random tokens.

    python scripts/rerank_memory.py --images 2000            # as many sketches as photos
    python scripts/rerank_memory.py --images 20000 --pairs 200 --scratch /data/scratch

Everything but the vision transformer runs as in an evaluation. 197 x 768 tokens of every image go to the store, which
leaves memory for a folder (deleted at the end) when it exceeds `pairwise.MEMORY_BYTES`. All photos are ranked for
every sketch, and the first of them are scored again. A pair takes 50 ms on a CPU's core, so `--pairs` limits how many
of them are: the others get the score 0.5, and what is kept of them in memory is the same.
"""

import argparse
import io
import time
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image
from transformers import CLIPVisionConfig

from sketch_prompt import ZseSbirConfig, ZseSbirModel
from sketch_prompt.evaluation import Task, evaluate_model
from sketch_prompt.evaluation.pairwise import Piece
from sketch_prompt.evaluation.ranking import Reranker
from sketch_prompt.machine import peak_memory_bytes

TOKENS, WIDTH, CLASSES = 197, 768, 25


class RandomTokens(ZseSbirModel):
    """ZSE-SBIR with the matcher of ViT-B/16's size; its transformer has one layer and is not asked."""

    def __init__(self):
        tower = CLIPVisionConfig(patch_size=16, num_hidden_layers=1, hidden_act="gelu")
        super().__init__(
            ZseSbirConfig(base_model=None, backbone="vit", vision_config=tower, tokenizer_domains="none")
        )
        self.pool = torch.randn(4 * TOKENS * WIDTH)

    def encode_tokens(self, pixel_values, domain):
        """Stretches of a random row that start anywhere: (B, 197, 768)."""
        size = TOKENS * WIDTH
        starts = torch.randint(len(self.pool) - size, (len(pixel_values),)).tolist()
        return torch.stack([self.pool[start : start + size].view(TOKENS, WIDTH) for start in starts])


class NoPixels:
    """A processor whose pictures are a single pixel."""

    image_processor = None

    def preprocess(self, image, domain):
        """(3, 1, 1)"""
        return torch.zeros(3, 1, 1)


def table(count: int) -> datasets.Dataset:
    """`count` images of 25 classes."""
    picture = io.BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "PNG")
    names = [f"class {number}" for number in range(CLASSES)]
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=names),
        "instance_id": datasets.Value("string"),
    }
    columns = {
        "image": [{"bytes": picture.getvalue(), "path": None}] * count,
        "label": (np.arange(count) % CLASSES).tolist(),
        "instance_id": [str(row) for row in range(count)],
    }
    return datasets.Dataset.from_dict(columns, datasets.Features(features))


def score_some(share: float) -> None:
    """Let the re-ranker compute a share of the pairs only: of some sketches all, of the others none."""
    score, owed = Reranker._score, [0.0]

    def limited(self, piece):
        scores = np.full(piece.photos.shape, 0.5, np.float32)
        owed[0] += share * len(piece.sketches)
        count = min(int(owed[0]), len(piece.sketches))
        owed[0] -= count
        if count:
            scores[:count] = score(self, Piece(piece.sketches[:count], piece.photos[:count]))
        return scores

    Reranker._score = limited


def peak() -> float:
    """The process's greatest resident memory so far, GB."""
    return peak_memory_bytes() / 1e9


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000, help="sketches, and photos (default 2,000)")
    parser.add_argument("--shortlist", type=int, default=100)
    parser.add_argument("--pairs", type=int, help="compute about so many pairs only (default: all)")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float16")
    parser.add_argument("--scratch", type=Path, help="folder on a disk with 0.6 MB an image (0.3 in half)")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    listed = arguments.images * min(arguments.shortlist, arguments.images)
    score_some(1.0 if arguments.pairs is None else arguments.pairs / listed)
    model, before = RandomTokens().eval(), peak()
    benchmark = datasets.DatasetDict(test_sketch=table(arguments.images), test_photo=table(arguments.images))
    start = time.perf_counter()
    report = evaluate_model(
        model,
        NoPixels(),
        benchmark,
        Task("random", "category", ranking="rerank", shortlist=arguments.shortlist),
        pair_dtype=getattr(torch, arguments.dtype),
        scratch_dir=arguments.scratch,
        progress=False,
    ).report
    stored = (
        2
        * arguments.images
        * TOKENS
        * WIDTH
        * torch.tensor([], dtype=getattr(torch, arguments.dtype)).itemsize
    )
    print(
        f"{report.queries:,} x {report.photos:,} images, {report.pairs:,} pairs listed, {stored / 1e9:.2f} GB of "
        f"tokens: peak {peak():.2f} GB ({before:.2f} GB before), {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
