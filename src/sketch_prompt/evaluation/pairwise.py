"""Scoring pairs of images: a store for encoded images, a resumable job over all pairs, and the folder for both."""

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from sketch_prompt.atomic import atomic_write
from sketch_prompt.embedding.tables import EncodedBatch
from sketch_prompt.models.backbone import fingerprint as backbone_fingerprint
from sketch_prompt.models.integrity import check_tensors, checksum_metadata
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.vocabulary import TEST_SPLITS

logger = logging.getLogger(__name__)

MEMORY_BYTES = 2**30
"""What a table's encoded images may take in memory; at ViT-B/16's size 1,770 images in float32."""
_OPEN_FILES = 8
_PAIR = "pair."
_IDENTITY = "job.json"


class PairStore:
    """The encoded images of one table, batch by batch.

    Args:
        folder: Where to save them, so that a run that was stopped can continue. Without one they are kept in memory up
            to `MEMORY_BYTES`, and beyond that in a temporary folder.
        dtype: Type to save them in; None for the model's own. float16 and bfloat16 take half the space.
        scratch: Where to make that temporary folder; None for the system's place.
    """

    def __init__(
        self,
        folder: Path | None = None,
        dtype: torch.dtype | None = None,
        scratch: str | os.PathLike | None = None,
    ):
        self.folder, self.dtype, self.scratch = folder, dtype, scratch
        self._batches: dict[int, EncodedBatch] = {}
        self._bytes = 0
        self._temporary: tempfile.TemporaryDirectory | None = None
        self._files: OrderedDict[Path, safe_open] = OrderedDict()
        self._checked: set[Path] = set()
        self._places: dict[int, tuple[int, int]] = {}

    def __contains__(self, start: int) -> bool:
        return start in self._batches or (self.folder is not None and self._path(start).is_file())

    def add(self, start: int, batch: EncodedBatch) -> None:
        """Save the batch whose first row in the table is `start`."""
        prepared = {
            name: value.to(self.dtype) if self.dtype is not None and value.is_floating_point() else value
            for name, value in batch.prepared.items()
        }
        batch = batch._replace(prepared={name: value.contiguous() for name, value in prepared.items()})
        if self.folder is None:
            self._batches[start] = batch
            self._bytes += sum(value.nbytes for value in batch.prepared.values())
            if self._bytes > MEMORY_BYTES:
                self._move_to_disk()
            return
        self._write(start, batch)

    def _move_to_disk(self) -> None:
        """Move what is in memory to a temporary folder, which goes when the store does."""
        if self.scratch is not None:
            Path(self.scratch).mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(prefix="sketch-prompt-pairs-", dir=self.scratch)
        self.folder = Path(self._temporary.name)
        logger.info("encoded images exceed %.1f GB: they go to %s", MEMORY_BYTES / 1e9, self.folder)
        while self._batches:
            self._write(*self._batches.popitem())

    def _write(self, start: int, batch: EncodedBatch) -> None:
        tensors = {_PAIR + name: value for name, value in batch.prepared.items()}
        left_out = torch.tensor(list(json.dumps(batch.left_out).encode()), dtype=torch.uint8)
        tensors |= {"rows": torch.tensor(batch.rows), "features": torch.from_numpy(batch.features)}
        tensors["left_out"] = left_out
        try:
            with atomic_write(self._path(start)) as temporary:
                save_file(tensors, temporary, metadata=checksum_metadata(tensors))
        except OSError as error:
            if error.errno != errno.ENOSPC or self._temporary is None:
                raise
            raise OSError(
                errno.ENOSPC,
                f"no room for encoded images in {self.folder.parent}: name a work folder on a larger disk "
                f"(work_dir, --work-dir), or keep them in float16 (pair_dtype). {start:,} of a table are done",
            ) from error

    def read(self, start: int) -> EncodedBatch:
        """The batch that starts at a row, without its `prepared`."""
        if start in self._batches:
            return self._batches[start]._replace(prepared={})
        file = self._open(self._path(start))
        left_out = json.loads(bytes(file.get_tensor("left_out").tolist()))
        left_out = {int(row): tuple(why) for row, why in left_out.items()}
        return EncodedBatch(
            file.get_tensor("rows").tolist(), file.get_tensor("features").numpy(), {}, left_out
        )

    def take(self, rows: np.ndarray, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """`prepared` of the images in these rows of the table, in this order.

        Raises:
            KeyError: One of them was never added.
        """
        if not self._places:
            self._find_places()
        parts: dict[str, list[Tensor]] = {}
        for row in np.asarray(rows).tolist():
            start, position = self._places[row]
            for name, value in self._image(start, position).items():
                parts.setdefault(name, []).append(value)
        return {name: torch.stack(values).to(device) for name, values in parts.items()}

    def _image(self, start: int, position: int) -> dict[str, Tensor]:
        if start in self._batches:
            return {name: value[position] for name, value in self._batches[start].prepared.items()}
        file = self._open(self._path(start))
        names = [name for name in file.keys() if name.startswith(_PAIR)]  # noqa: SIM118 - not a mapping
        return {name.removeprefix(_PAIR): file.get_slice(name)[position] for name in names}

    def _find_places(self) -> None:
        starts = list(self._batches)
        if self.folder is not None:
            starts += [int(path.stem) for path in self.folder.glob("*.safetensors")]
        for start in starts:
            self._places |= {row: (start, position) for position, row in enumerate(self.read(start).rows)}

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:09d}.safetensors"

    def _open(self, path: Path):
        """A file, which is checked the first time. Few stay open: what is read of an open file counts as memory."""
        if path not in self._files:
            try:
                file = safe_open(path, "pt")
                if path not in self._checked:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                    check_tensors(path, tensors, file.metadata())
                    if not {"rows", "features", "left_out"} <= tensors.keys():
                        raise ValueError("it has no encoded images")
                    self._checked.add(path)
            except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path} is damaged ({error}): delete it, and its images are encoded again"
                ) from error
            self._files[path] = file
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)
        self._files.move_to_end(path)
        return self._files[path]


Stores = dict[str, PairStore]
"""{domain: its encoded images}"""


@contextmanager
def working_folder(
    work_dir: str | os.PathLike | None,
    accelerator: Accelerator | None,
    scratch: str | os.PathLike | None = None,
) -> Iterator[Path | None]:
    """The folder in which a ranking by pairs saves encoded images and scores.

    Args:
        work_dir: The folder that the user gave. Without it, a single process works in memory (None), and several
            processes share a temporary folder. Processes on several machines need one, on a disk that they share.
        accelerator: The accelerator, if there are several processes.
        scratch: Where to make a temporary folder; None for the system's place.
    """
    if work_dir is not None or accelerator is None or accelerator.num_processes == 1:
        yield None if work_dir is None else Path(work_dir)
        return
    made = None
    if accelerator.is_main_process:
        if scratch is not None:
            Path(scratch).mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix="sketch-prompt-pairs-", dir=scratch)
    folder = Path(broadcast_object_list([made])[0])
    yield folder
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(folder)


def open_stores(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    benchmark: datasets.DatasetDict,
    folder: Path | None,
    dtype: torch.dtype | None,
    accelerator: Accelerator | None = None,
    batch_size: int = 64,
    scratch: str | os.PathLike | None = None,
) -> Stores:
    """A store for the test sketches and one for the test photos, in a folder, or in memory while they fit.

    Raises:
        ValueError: The folder belongs to another model, processor or benchmark.
    """
    if folder is None:
        return {domain: PairStore(None, dtype, scratch) for domain in TEST_SPLITS}
    images = {}
    for split in TEST_SPLITS.values():
        columns = benchmark[split].select_columns(["label", "instance_id"])[:]
        images[split] = _digest(json.dumps([columns["label"], columns["instance_id"]]).encode())
    tensors = sorted(model.adapter_tensors().items())
    identity = {
        "model": model.method,
        "weights": _digest(*(value.detach().float().cpu().numpy().tobytes() for _, value in tensors)),
        "backbone": backbone_fingerprint(model.clip),
        "processor": processor.image_processor.to_dict(),
        "images": images,
        "batch_size": batch_size,
        "dtype": str(dtype or model.dtype),
        "holds": "tokens",
        "pair_score": getattr(model.config, "pair_score", None),
    }
    with nullcontext() if accelerator is None else accelerator.main_process_first():
        claim_folder(folder, identity)
    return {domain: PairStore(folder / split, dtype) for domain, split in TEST_SPLITS.items()}


def claim_folder(folder: Path, identity: dict) -> None:
    """Reserve a folder for a job, or check that it is reserved for this one.

    Args:
        folder: Is created if needed.
        identity: Everything that the results of the job depend on, as JSON values.

    Raises:
        ValueError: The folder holds the results of another job; the message names the differences.
    """
    path = folder / _IDENTITY
    if not path.is_file():
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    identity = json.loads(json.dumps(identity))
    different = [name for name in sorted({*stored, *identity}) if stored.get(name) != identity.get(name)]
    if different:
        raise ValueError(
            f"{folder} holds the pairs of another evaluation (its {', '.join(different)} differ): "
            "choose another work folder, or delete it"
        )


class Piece(NamedTuple):
    """Some of the pairs to score.

    Attributes:
        sketches: (S,) rows of sketches.
        photos: (P,) rows of photos, each paired with every sketch; or (S, k) photos for each sketch.
    """

    sketches: np.ndarray
    photos: np.ndarray

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return self.photos.size * (len(self.sketches) if self.photos.ndim == 1 else 1)


class ScoringJob:
    """Scores all pieces, each once. With a folder, a job that was killed continues with the missing ones.

    Args:
        pieces: The pairs to score.
        score: Computes the scores of a piece, (S, P) or (S, k).
        folder: Where the scores of each piece are saved; None keeps them in memory.
        accelerator: Shares the pieces among processes.
        progress: Show a progress bar on stderr (of the first process).
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        score: Callable[[Piece], np.ndarray],
        folder: Path | None = None,
        accelerator: Accelerator | None = None,
        progress: bool = True,
    ):
        self.pieces, self.score, self.accelerator, self.progress = pieces, score, accelerator, progress
        self.folder = None if folder is None else folder / f"scores-{_digest_of(pieces)}"
        self._scores: dict[int, np.ndarray] = {}

    @property
    def pairs(self) -> int:
        """Number of pairs in all pieces."""
        return sum(piece.pairs for piece in self.pieces)

    def run(self) -> Iterator[tuple[Piece, np.ndarray]]:
        """Score the pieces that have no scores yet; return all pieces with their scores, in order."""
        process, processes = 0, 1
        if self.accelerator is not None:
            process, processes = self.accelerator.process_index, self.accelerator.num_processes
        missing = [number for number in range(len(self.pieces)) if not self._is_done(number)]
        done = self.pairs - sum(self.pieces[number].pairs for number in missing)
        hidden = not self.progress or process > 0
        with tqdm(
            desc="Scoring pairs", total=self.pairs, initial=done, unit="pair", unit_scale=True, disable=hidden
        ) as bar:
            for number in missing[process::processes]:
                self._store(number, self.score(self.pieces[number]))
                # the processes work at the same pace, so the first one's bar speaks for all
                bar.update(min(processes * self.pieces[number].pairs, self.pairs - bar.n))
        if processes > 1:
            self.accelerator.wait_for_everyone()
            for scores in gather_object([self._scores]):
                self._scores |= scores
        return ((piece, self._read(number)) for number, piece in enumerate(self.pieces))

    def _is_done(self, number: int) -> bool:
        return self.folder is not None and self._path(number).is_file()

    def _store(self, number: int, scores: np.ndarray) -> None:
        if self.folder is None:
            self._scores[number] = scores
            return
        with atomic_write(self._path(number)) as temporary:
            np.save(temporary, scores)

    def _read(self, number: int) -> np.ndarray:
        return self._scores[number] if self.folder is None else np.load(self._path(number))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.npy"


def _digest_of(pieces: Sequence[Piece]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for piece in pieces:
        for numbers in piece:
            digest.update(repr(numbers.shape).encode() + np.ascontiguousarray(numbers, np.int64).tobytes())
    return digest.hexdigest()


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
