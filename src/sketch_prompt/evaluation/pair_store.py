"""What pairwise scoring needs of every image of a table, computed once an image and kept in memory or in a folder."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sketch_prompt.atomic import atomic_write

_PAIR = "pair."
_IDENTITY = "job.json"


def claim_folder(folder: Path, identity: dict) -> None:
    """Make `folder` the place of one job, or check that it is this one's already.

    Args:
        folder: made where it lacks.
        identity: all that the job's results depend on, as JSON knows it.

    Raises:
        ValueError: the folder holds the results of something else; what differs is named.
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


class EncodedBatch(NamedTuple):
    """A batch of encoded images.

    Attributes:
        rows: their rows in the table.
        features: (B, D) float32, for the first ranking.
        prepared: from `model.prepare_pairs`, on the CPU.
        left_out: {row: (path, reason)} of images that cannot be read.
    """

    rows: list[int]
    features: np.ndarray
    prepared: dict[str, Tensor]
    left_out: dict[int, tuple[str, str]]


class PairStore:
    """The encoded images of one table, batch by batch.

    Args:
        folder: where to keep them, so that a run that was cut off goes on and memory stays free; None keeps them in
            memory.
        dtype: type to keep them in; None keeps the model's own. bfloat16 takes half the room.
    """

    def __init__(self, folder: Path | None = None, dtype: torch.dtype | None = None):
        self.folder, self.dtype = folder, dtype
        self._batches: dict[int, EncodedBatch] = {}
        self._files: dict[Path, safe_open] = {}
        self._places: dict[int, tuple[int, int]] = {}

    def __contains__(self, start: int) -> bool:
        return start in self._batches or (self.folder is not None and self._path(start).is_file())

    def add(self, start: int, batch: EncodedBatch) -> None:
        """Keep the batch whose first row in the table is `start`."""
        prepared = {
            name: value.to(self.dtype) if self.dtype is not None and value.is_floating_point() else value
            for name, value in batch.prepared.items()
        }
        batch = batch._replace(prepared={name: value.contiguous() for name, value in prepared.items()})
        if self.folder is None:
            self._batches[start] = batch
            return
        tensors = {_PAIR + name: value for name, value in batch.prepared.items()}
        tensors |= {"rows": torch.tensor(batch.rows), "features": torch.from_numpy(batch.features)}
        with atomic_write(self._path(start)) as temporary:
            save_file(tensors, temporary, metadata={"left_out": json.dumps(batch.left_out)})

    def read(self, start: int) -> EncodedBatch:
        """A batch that was added, without its `prepared`."""
        if start in self._batches:
            return self._batches[start]._replace(prepared={})
        file = self._open(self._path(start))
        left_out = {int(row): tuple(why) for row, why in json.loads(file.metadata()["left_out"]).items()}
        return EncodedBatch(
            file.get_tensor("rows").tolist(), file.get_tensor("features").numpy(), {}, left_out
        )

    def take(self, rows: np.ndarray, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """`prepared` of some images, by their rows in the table, in this order.

        Raises:
            KeyError: one of them was never added.
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
        if path not in self._files:
            self._files[path] = safe_open(path, "pt")
        return self._files[path]
