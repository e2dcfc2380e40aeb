"""The categories of a DP-CLIP adapter: their names, and the conditions from their support sets."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...hints import suggestion
from ...imaging import ImageLike
from ...processing import Domain, SketchPromptProcessor
from ..whole_batch import take_rows
from .configuration_dp_clip import DpClipConfig

BUFFERS = ("category_prompts", "category_scales", "category_texts")
"""The buffers of the adapter for the parts of `DpClipCondition`, with one row for each category."""


@dataclass
class DpClipCondition:
    """The parts of the model that depend on the category, for one category or for each row of a batch.

    Example:
        >>> condition = DpClipCondition(text=torch.zeros(8, 512))
        >>> condition.rows(0).text.shape
        torch.Size([512])

    Attributes:
        prompts: (L, n, d) or (B, L, n, d), visual prompts of all layers. None without prompts.
        scales: (L, 2, r) or (B, L, 2, r), channel scales of the two branches of each layer. None for no scaling.
        text: (D_t,) or (B, D_t), the text features of the scales. None without scales.
    """

    prompts: Tensor | None = None
    scales: Tensor | None = None
    text: Tensor | None = None

    def rows(self, index) -> "DpClipCondition":
        """The rows `index` of a batch of conditions. An integer selects a single one."""
        parts = (self.prompts, self.scales, self.text)
        return DpClipCondition(*(None if part is None else part[index] for part in parts))


def draw_support(sketches: Tensor, photos: Tensor, row_class: Tensor, size: tuple[int, int]) -> Tensor:
    """Draw a support set for each class from the batch. With several processes, all get the same.

    Args:
        sketches, photos: (B, 3, H, W), the share of this process.
        row_class: (N B,) class of each row of the whole batch, from 0 to C - 1.
        size: Numbers of sketches and photos in a support set. Classes with fewer use some several times.

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

    Both are saved with the checkpoint. Training makes categories out of date and removes them. Only their names are
    kept, for an error message.

    Args:
        adapter: The module with the `BUFFERS`.
        config: The `DpClipConfig` with the names.
    """

    def __init__(self, adapter: nn.Module, config: DpClipConfig):
        self._adapter, self._config = adapter, config
        self._outdated: set[str] = set()
        for name in BUFFERS:
            adapter.register_buffer(name, None)

    @property
    def names(self) -> list[str]:
        """The names of all categories, in the order of the rows."""
        return list(self._config.categories or ())

    @property
    def conditions(self) -> DpClipCondition:
        """The conditions of all categories, row by row."""
        return DpClipCondition(*(getattr(self._adapter, buffer) for buffer in BUFFERS))

    def rows(self, names: Sequence[str]) -> list[int]:
        """The rows of these categories.

        Raises:
            ValueError: There is no such category, or it is out of date.
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
        """Add a category, or replace the one with the same name."""
        self.remove(name)
        self._outdated.discard(name)
        for buffer, part in zip(BUFFERS, (condition.prompts, condition.scales, condition.text)):
            if part is not None:
                before, row = getattr(self._adapter, buffer), part.detach()[None]
                setattr(self._adapter, buffer, row if before is None else torch.cat([before, row]))
        self._config.categories = [*self.names, name]

    def remove(self, name: str) -> None:
        """Remove a category, if there is one with this name."""
        if name in self.names:
            self._select_rows([row for row, other in enumerate(self.names) if other != name])

    def outdate(self) -> None:
        """Remove all categories: training has changed the modules that computed their conditions."""
        if self.names:
            self._outdated.update(self.names)
            self._select_rows([])

    def _select_rows(self, rows: list[int]) -> None:
        names = self.names
        for buffer in BUFFERS:
            value = getattr(self._adapter, buffer)
            setattr(self._adapter, buffer, value[rows] if value is not None and rows else None)
        self._config.categories = [names[row] for row in rows] or None

    def check(self, source, made: Sequence[bool]) -> None:
        """Raise a ValueError if the buffers from `source` do not have a row for each name."""
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
    """Pixel values (S, 3, H, W) of the support images of category `name`. A ValueError names an unusable one."""
    prepared = []
    for number, image in enumerate(images):
        try:
            prepared.append(processor.preprocess(image, domain))
        except (ValueError, TypeError, OSError) as error:
            raise ValueError(f"support {domain} {number + 1} of {name!r} cannot be used: {error}") from error
    return torch.stack(prepared)
