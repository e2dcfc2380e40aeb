"""The categories that a DP-CLIP adapter was shown: their names, and what was made of their support sets."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...hints import suggestion
from ...imaging import ImageLike
from ...processing import Domain, SketchPromptProcessor
from ..whole_batch import take_rows

BUFFERS = ("category_prompts", "category_scales", "category_texts")
"""Where the adapter keeps the parts of a `DpClipCondition`, one row for each category."""


@dataclass
class DpClipCondition:
    """What a category changes, or for a batch the category of each row.

    Attributes:
        prompts: (L, n, d) or (B, L, n, d), the visual prompts of every layer; None without.
        scales: (L, 2, r) or (B, L, 2, r), the channel scales of every layer's two branches; None for no scaling.
        text: (D_t,) or (B, D_t), the text features they were made of; None without.
    """

    prompts: Tensor | None = None
    scales: Tensor | None = None
    text: Tensor | None = None

    def rows(self, index) -> "DpClipCondition":
        """Those of a batch of conditions that `index` selects; an integer selects the one."""
        parts = (self.prompts, self.scales, self.text)
        return DpClipCondition(*(None if part is None else part[index] for part in parts))


def draw_support(sketches: Tensor, photos: Tensor, row_class: Tensor, size: tuple[int, int]) -> Tensor:
    """A support set of every class of a batch, drawn from the batch; with several processes all get the same.

    Args:
        sketches, photos: (B, 3, H, W), this process's share of the batch.
        row_class: (N B,) class of every row of the whole batch, from 0 to C - 1.
        size: sketches and photos of a support set; a class with fewer gives some several times.

    Returns:
        (C, n, 3, H, W), sketches first.
    """
    support = []
    for number in range(int(row_class.max()) + 1):
        rows = (row_class == number).nonzero().flatten()
        for images, count in zip((sketches, photos), size):
            order = torch.randperm(len(rows)).to(rows.device)
            support.append(take_rows(images, rows[order[torch.arange(count) % len(rows)]]))
    return torch.cat(support).unflatten(0, (number + 1, -1))


class CategoryRegister:
    """Categories by name. The names are in the configuration, the conditions in buffers of the adapter.

    Both are saved with the checkpoint. Categories that training has made out of date are dropped; only their names
    are remembered, for the error message.

    Args:
        adapter: the module that has the `BUFFERS`.
        config: the `DpClipConfig` that has the names.
    """

    def __init__(self, adapter: nn.Module, config):
        self._adapter, self._config = adapter, config
        self._outdated: set[str] = set()
        for name in BUFFERS:
            adapter.register_buffer(name, None)

    @property
    def names(self) -> list[str]:
        """Of all categories, in the order of the rows."""
        return list(self._config.categories or ())

    @property
    def conditions(self) -> DpClipCondition:
        """Of all categories, row by row."""
        return DpClipCondition(*(getattr(self._adapter, buffer) for buffer in BUFFERS))

    def rows(self, names: Sequence[str]) -> list[int]:
        """The row of each of these categories.

        Raises:
            ValueError: for a name that the model was not shown, or not since it was trained.
        """
        known = {name: row for row, name in enumerate(self.names)}
        for name in names:
            if name in known:
                continue
            if name in self._outdated:
                raise ValueError(
                    f"the category {name!r} was shown before the model was trained further, and is out of date. "
                    "Show it again: model.add_category(name, sketches, photos)"
                )
            raise ValueError(
                f"the model was shown no category {name!r}; {suggestion(name, known) if known else 'none yet'}. "
                "Show it a few pictures first: model.add_category(name, sketches, photos)"
            )
        return [known[name] for name in names]

    def add(self, name: str, condition: DpClipCondition) -> None:
        """Add a category, in place of one of the same name."""
        self.remove(name)
        self._outdated.discard(name)
        for buffer, part in zip(BUFFERS, (condition.prompts, condition.scales, condition.text)):
            if part is not None:
                before, row = getattr(self._adapter, buffer), part.detach()[None]
                setattr(self._adapter, buffer, row if before is None else torch.cat([before, row]))
        self._config.categories = [*self.names, name]

    def remove(self, name: str) -> None:
        """Forget a category, if there is one of this name."""
        if name in self.names:
            self._keep([row for row, other in enumerate(self.names) if other != name])

    def outdate(self) -> None:
        """Drop all categories: training has changed the modules that their conditions were made with."""
        if self.names:
            self._outdated.update(self.names)
            self._keep([])

    def _keep(self, rows: list[int]) -> None:
        names = self.names
        for buffer in BUFFERS:
            value = getattr(self._adapter, buffer)
            setattr(self._adapter, buffer, value[rows] if value is not None and rows else None)
        self._config.categories = [names[row] for row in rows] or None

    def check(self, source, made: Sequence[bool]) -> None:
        """Raise ValueError unless the buffers read from `source` have a row for each name, where they are `made`."""
        for buffer, is_made in zip(BUFFERS, made):
            value = getattr(self._adapter, buffer)
            count, expected = 0 if value is None else len(value), len(self.names) if is_made else 0
            if count != expected:
                raise ValueError(
                    f"{source} holds {buffer} of {count} categories, its configuration names "
                    f"{len(self.names)} categories: they are not of one checkpoint"
                )


def read_support(
    images: Sequence[ImageLike], domain: Domain, name: str, processor: SketchPromptProcessor
) -> Tensor:
    """Pixel values (S, 3, H, W) of the support images of category `name`; ValueError names one that is unusable."""
    prepared = []
    for number, image in enumerate(images):
        try:
            prepared.append(processor.preprocess(image, domain))
        except (ValueError, TypeError, OSError) as error:
            raise ValueError(f"support {domain} {number + 1} of {name!r} cannot be used: {error}") from error
    return torch.stack(prepared)
