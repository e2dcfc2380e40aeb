"""Flip bits in every kind of file that sketch-prompt writes, and see that none is taken for whole.

    python scripts/fuzz.py --flips 2000 --seed 0 --json fuzz.json

Every flip is of one bit of one file, which is then used as a user would. It must be

- harmless: the result is the same to the last bit;
- named: an error or a warning says which file it is; or
- mended: that, and indexing the photos once more gives the gallery of before.

Anything else is a failure: another result without a word, an error of another kind than users get as a message, a
crash, or no answer within a minute. Each flip is tried in a process of its own.
"""

import argparse
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from rich.console import Console
from rich.table import Table

from sketch_prompt import Gallery, SketchPromptModel
from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.evaluation import Report, Task, evaluate_model
from sketch_prompt.evaluation.pairwise import EncodedBatch, PairStore
from sketch_prompt.training.checkpoints import load_state
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.loop import Trainer, train

MODEL = "mini-clip-at"
SECONDS = 60  # without an answer
_LOG_EVERY = 50
OUTCOMES = ("harmless", "named", "mended")


@dataclass
class Kind:
    """Files of one kind, and how they are used.

    Attributes:
        name: of the kind.
        folder: everything that they are used with; it is copied for each flip.
        pattern: the files.
        use: what comes of the folder, as something that `digest` takes.
        mend: makes the folder whole again if that is promised, and says whether it is.
    """

    name: str
    folder: Path
    pattern: str
    use: Callable[[Path], object]
    mend: Callable[[Path], bool] | None = None


def digest(value: object) -> str:
    """A fingerprint of plain values, tensors and arrays."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if isinstance(value, np.ndarray):
        value = (value.dtype.str, value.shape, value.tobytes())
    elif isinstance(value, dict):
        value = sorted((str(name), digest(part)) for name, part in value.items())
    elif isinstance(value, list | tuple):
        value = [digest(part) for part in value]
    return hashlib.blake2b(repr(value).encode(), digest_size=16).hexdigest()


class Warnings(logging.Handler):
    """Counts what is logged as a warning, which the command line prints."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += 1


def attempt(kind: Kind, folder: Path, expected: str) -> str:
    """What becomes of a damaged folder: one of `OUTCOMES`, or what went wrong."""
    warned = Warnings()
    logging.getLogger("sketch_prompt").addHandler(warned)
    try:
        same, named = digest(kind.use(folder)) == expected, warned.count > 0
    except (ValueError, OSError) as error:
        same, named = False, bool(str(error))
    if not same and not named:
        return "another result, unnamed"
    if named and kind.mend is not None:
        return "mended" if kind.mend(folder) else "not mended by indexing again"
    return "named" if named else "harmless"


def apart(kind: Kind, folder: Path, expected: str) -> str:
    """`attempt` in a process of its own, which may crash or hang."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1), os.dup2(silence, 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        try:
            outcome = attempt(kind, folder, expected)
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        os.write(write, outcome.encode(errors="replace")[:500])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        outcome = answer.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "no answer" if number == signal.SIGALRM else f"crash by signal {number}"
    return outcome or "no outcome"


# What is written, and how it is used


def draw_photos(folder: Path, count: int) -> Path:
    """Small pictures of coarse noise in two categories, and a file that is none."""
    for number in range(count):
        _noise(number, folder / ("cat" if number % 2 else "dog") / f"{number}.png")
    (folder / "cat" / "notes.png").write_text("no picture")
    return folder


def _noise(seed: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    Image.fromarray(noise).resize((32, 32)).save(path)


def make_kinds(home: Path) -> list[Kind]:
    """Write one of everything below `home`."""
    model = SketchPromptModel.from_pretrained(MODEL)
    size = model.processor.image_processor.size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    picture = Image.fromarray((np.random.default_rng(9).random((70, 50, 3)) * 255).astype(np.uint8))
    return [
        *_checkpoint_kinds(home / "checkpoint", model, pixels, picture),
        *_gallery_kinds(home / "gallery", model, picture),
        *_training_kinds(home / "training"),
        _report_kind(home / "report", model),
        _pair_kind(home / "pairs"),
    ]


def _checkpoint_kinds(folder: Path, model, pixels: torch.Tensor, picture: Image.Image) -> list[Kind]:
    model.save_pretrained(folder, include_backbone=True)

    def features(folder: Path):
        loaded = SketchPromptModel.from_pretrained(folder)
        with torch.no_grad():
            both = [loaded.get_sketch_features(pixels), loaded.get_photo_features(pixels)]
        return both, loaded.config.class_names, loaded.config.class_prompt

    def inputs(folder: Path):
        # As a user has it: the model first, which vouches for the files beside its weights.
        processor = SketchPromptModel.from_pretrained(folder).processor
        given = processor(sketches=picture, photos=picture, text=["a photo of a red chair", "zebra"])
        return dict(given), processor.image_processor.to_dict()

    return [
        Kind("adapter", folder, "adapter_model.safetensors", features),
        Kind("CLIP of a checkpoint", folder, "model.safetensors", features),
        Kind("config.json", folder, "config.json", features),
        Kind("preprocessor_config.json", folder, "preprocessor_config.json", inputs),
        Kind("tokenizer", folder, "tokenizer*.json", inputs),
    ]


def _gallery_kinds(home: Path, model, picture: Image.Image) -> list[Kind]:
    photos = draw_photos(home / "photos", 300)
    Gallery.build(model, photos, home / "saved", index="hnsw", progress=False)

    def search(folder: Path):
        gallery = Gallery.load(folder, model)
        hits = gallery.search(picture, 20)
        found = [(hit.path, hit.category, np.float32(hit.score).tobytes()) for hit in hits]
        by_name = {path: gallery.features[row] for path, row in gallery.photos.rows.items()}
        return found, by_name, [tuple(skip) for skip in gallery.skipped], str(gallery.root)

    whole = Gallery.load(home / "saved", model)
    expected = {path: whole.features[row] for path, row in whole.photos.rows.items()}

    def index_again(folder: Path) -> bool:
        Gallery.build(model, photos, folder, index="hnsw", progress=False)
        gallery = Gallery.load(folder, model)
        if gallery.photos.rows.keys() != expected.keys() or gallery.skipped != whole.skipped:
            return False
        # What is embedded again is in another batch, where the last bits are others, and from other last bits faiss
        # builds another graph, which may miss another of the nearest photos.
        features = gallery.features
        close = [
            np.allclose(features[row], expected[path], atol=1e-5) for path, row in gallery.photos.rows.items()
        ]
        return all(close) and len(gallery.search(picture, 20)) == 20

    patterns = {
        "gallery.json": "gallery.json",
        "gallery's table": "photos-*.parquet",
        "gallery's list of skipped files": "skipped-*.jsonl",
        "gallery's features": "features/*.safetensors",
        "gallery's index": "index-*.faiss",
    }
    return [Kind(name, home / "saved", pattern, search, index_again) for name, pattern in patterns.items()]


def _training_kinds(home: Path) -> list[Kind]:
    for domain in ("photo", "sketch"):
        for number in range(24):
            _noise(number, home / "data" / domain / f"class {number % 6}" / f"{number}-1.png")
    recipe = {
        "model": {"method": "clip-at", "base_model": "mini-clip", "n_prompts": 2},
        "data": {
            "benchmark": "sketch-folder",
            "data_dir": str(home / "data"),
            "options": {"cache_dir": str(home / "cache")},
            "validation_classes": 0,
            "num_workers": 0,
        },
        "optimisation": {"max_steps": 2, "batch_size": 4},
        "evaluation": {"test": False},
        "run": {"output_dir": str(home / "run"), "progress": False},
    }
    train(TrainingConfig.from_dict(recipe))
    longer = TrainingConfig.from_dict(recipe | {"optimisation": {"max_steps": 3, "batch_size": 4}})
    trainer = Trainer(longer, Accelerator())

    def resume(folder: Path):
        last = folder / "checkpoints" / "last"
        progress = load_state(last, trainer.model, trainer.optimizer, trainer.scheduler)
        states = trainer.optimizer.state_dict()["state"]
        values = {
            f"{number}.{name}": value for number, state in states.items() for name, value in state.items()
        }
        return progress.__dict__, trainer.model.adapter_tensors(), values, torch.get_rng_state()

    def read(folder: Path):
        return TrainingConfig.load(folder).to_dict()

    return [
        Kind("training state", home / "run", "checkpoints/last/training_state.pt", resume),
        Kind("adapter in training", home / "run", "checkpoints/last/adapter_model.safetensors", resume),
        Kind("resolved recipe", home / "run", "training.yaml", read),
    ]


def _report_kind(home: Path, model) -> Kind:
    benchmark = load_benchmark(
        "sketch-folder", home.parent / "training" / "data", cache_dir=home.parent / "training" / "cache"
    )
    evaluate_model(
        model, model.processor, benchmark, Task("sketch-folder", ks=[1]), progress=False
    ).report.save(home)
    return Kind("report", home, "report.json", lambda folder: Report.load(folder / "report.json").to_json())


def _pair_kind(home: Path) -> Kind:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(4, 8, generator=generator).numpy()
    tokens = {"tokens": torch.randn(4, 3, 8, generator=generator)}
    PairStore(home).add(0, EncodedBatch([0, 1, 2, 3], features, tokens, {7: ("a.png", "not an image")}))

    def read(folder: Path):
        store = PairStore(folder)
        batch = store.read(0)
        return batch.rows, batch.features, batch.left_out, store.take(np.arange(4))

    return Kind("encoded pairs", home, "*.safetensors", read)


def fuzz(
    kinds: list[Kind], flips: int, seed: int, work: Path, log: Callable[[dict[str, Counter]], None]
) -> dict[str, Counter]:
    """Flip bits, as many of every kind; {kind: outcomes}, which are also given to `log` now and then."""
    rng = np.random.default_rng(seed)
    outcomes: dict[str, Counter] = {kind.name: Counter() for kind in kinds}
    expected = {kind.name: digest(kind.use(kind.folder)) for kind in kinds}
    for number in range(flips):
        kind = kinds[number % len(kinds)]
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(kind.folder, work)
        path = rng.choice(sorted(map(str, work.glob(kind.pattern))))
        content = bytearray(Path(path).read_bytes())
        # Half of the flips hit the first kilobytes, where headers are.
        end = len(content) if rng.random() < 0.5 else min(len(content), 4096)
        place, bit = int(rng.integers(end)), int(rng.integers(8))
        content[place] ^= 1 << bit
        Path(path).write_bytes(content)
        outcome = apart(kind, work, expected[kind.name])
        outcomes[kind.name][outcome if outcome in OUTCOMES else "failed"] += 1
        if outcome not in OUTCOMES:
            print(f"{kind.name}, {Path(path).name}, byte {place}, bit {bit}: {outcome}", file=sys.stderr)
        if (number + 1) % _LOG_EVERY == 0:
            log(outcomes)
    return outcomes


def main() -> int:
    """Parse the command line, fuzz, print the counts; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the counts there")
    arguments = parser.parse_args()

    def save(outcomes: dict[str, Counter]) -> None:
        if arguments.json is not None:
            content = json.dumps({"seed": arguments.seed, **outcomes}, indent=2) + "\n"
            arguments.json.write_text(content, encoding="utf-8")

    with tempfile.TemporaryDirectory() as home:
        kinds = make_kinds(Path(home))
        outcomes = fuzz(kinds, arguments.flips, arguments.seed, Path(home) / "flipped", save)
    save(outcomes)
    columns = [*OUTCOMES, "failed"]
    table = Table("file", "flips", *columns)
    for name, counts in [*outcomes.items(), ("all", sum(outcomes.values(), Counter()))]:
        table.add_row(
            name, *(f"{count:,}" for count in (counts.total(), *(counts[column] for column in columns)))
        )
    Console().print(table)
    return int(any(counts["failed"] for counts in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
