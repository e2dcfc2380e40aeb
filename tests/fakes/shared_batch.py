"""One training step of every method on a batch that several processes share; run by `test_whole_batch`.

    torchrun --nproc_per_node 2 tests/fakes/shared_batch.py OUT

writes losses, averaged gradients and buffers of every case to the file OUT, as one process computes them in
`whole_step`.
"""

import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from sketch_prompt.models import tiles
from sketch_prompt.models.auto import model_class
from sketch_prompt.models.whole_batch import n_processes, own_rows
from sketch_prompt.testing.tiny_clip import WordProcessor, images, tiny_clip

CLASSES = ["cup", "cat", "cow"]
ROWS = 8
LABELS = torch.tensor([0, 0, 1, 2, 2, 1, 1, 0])
ONE_CLASS = torch.ones(ROWS, dtype=torch.long)
CASES = {
    "clip-at": ("clip-at", {"temperature": 0.1}, LABELS),
    "clip-at, shared": ("clip-at", {"layer_norms": "shared", "temperature": 0.1}, LABELS),
    "clip-at, fine-grained": (
        "clip-at",
        {
            "common_prompts": True,
            "f_divergence_weight": 1.0,
            "patch_shuffling_weight": 1.0,
            "temperature": 0.1,
        },
        LABELS,
    ),
    "splip": ("splip", {"temperature": 0.1}, LABELS),
    "splip, prompted margin": ("splip", {"temperature": 0.1, "margin_text": "prompted"}, LABELS),
    "dp-clip": ("dp-clip", {"prompt_dropout": 0.0}, ONE_CLASS),
    "dp-clip, several categories": ("dp-clip", {"prompt_dropout": 0.0}, LABELS),
    "zse-sbir": ("zse-sbir", {}, LABELS),
    "zse-sbir, all pairs": ("zse-sbir", {"relation_pairs": "batch"}, LABELS),
}
"""{name: (method, fields, labels of the whole batch)}"""


def fix_random_rows() -> None:
    """Draw by row of the whole batch, so that a row meets the same numbers whoever has it."""
    rand, randint = torch.rand, torch.randint

    def rows_of(draw, rows):
        return own_rows(draw(rows * n_processes()))

    torch.rand = lambda rows, *sizes: rows_of(lambda n: rand(n, *sizes), rows)
    torch.randint = lambda high, size: rows_of(lambda n: randint(high, (n,)), *size)
    # Drawn until they differ, which takes the processes unequally long.
    tiles.other_orders = lambda rows, places: torch.arange(places).roll(1).expand(rows, -1)


def step(case: str) -> dict[str, torch.Tensor]:
    """This process's part of one step: its losses, and gradients and buffers after all processes had their say."""
    method, fields, labels = CASES[case]
    cls = model_class(method)
    backbone = tiny_clip()
    torch.manual_seed(0)
    model = cls(cls.config_class(base_model=None, **fields), backbone=backbone)
    model.set_classes(CLASSES, WordProcessor())
    if method == "dp-clip":
        model.begin_epoch(20, 60)
    model.train()
    forward = model
    if n_processes() > 1:
        forward = DistributedDataParallel(model, find_unused_parameters=True)
    batch = {
        "sketch_pixel_values": images(ROWS, 1),
        "photo_pixel_values": images(ROWS, 2),
        "negative_pixel_values": images(ROWS, 3),
        "labels": labels,
        "instance_ids": torch.tensor([0, 1, 2, 3, 4, 5, 5, 6]),
        # Within a category, photos of other instances are the negatives.
        "negative_labels": labels if labels is ONE_CLASS else (labels + 1) % len(CLASSES),
    }
    torch.manual_seed(1)
    output = forward(**{name: own_rows(rows) for name, rows in batch.items()})
    output.loss.backward()
    made = {f"loss {name}": value.detach() for name, value in output.loss_terms.items()}
    made |= {
        f"gradient {name}": value.grad
        for name, value in model.trainable_parameters().items()
        if value.grad is not None
    }
    return made | {f"buffer {name}": value.clone() for name, value in model.adapter.named_buffers()}


if __name__ == "__main__":
    dist.init_process_group("gloo")
    fix_random_rows()
    results = {}
    for case in CASES:
        results[case] = step(case)
        for name, value in results[case].items():
            if name.startswith("loss "):
                dist.all_reduce(value)
                value /= n_processes()
    if dist.get_rank() == 0:
        torch.save(results, sys.argv[1])
    dist.destroy_process_group()
