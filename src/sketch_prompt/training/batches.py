"""Batches of triplets: the same whatever the number of processes, and from any step of an epoch on."""

import logging
from collections.abc import Iterator
from itertools import islice

from torch.utils.data import BatchSampler, Sampler

from sketch_prompt.data.batch_samplers import OneCategoryBatchSampler, PKBatchSampler, TripletBatchSampler
from sketch_prompt.data.samplers import Triplet, TripletSampler
from sketch_prompt.training.config import DataConfig
from sketch_prompt.training.recipe import RecipeError

logger = logging.getLogger(__name__)


def build_sampler(data: DataConfig, sketches, photos, batch_size: int, seed: int):
    """The sampler that a recipe asks for: of triplets, or of the triplets of whole optimiser steps.

    Args:
        data: The recipe's section.
        sketches: Table of the training sketches.
        photos: Table of the training photos.
        batch_size: Triplets an optimiser step.
        seed: Of all draws.

    Raises:
        RecipeError: The data has no triplets of that level, or no such batches.
    """
    options = {"level": data.level, "seed": seed}
    try:
        if data.batches == "one-category":
            return OneCategoryBatchSampler(sketches, photos, batch_size, drop_last=True, **options)
        if data.batches == "pk":
            classes, rest = divmod(batch_size, data.sketches_per_class)
            if rest:
                raise RecipeError(
                    f"optimisation.batch_size {batch_size} is no multiple of data.sketches_per_class "
                    f"{data.sketches_per_class}"
                )
            return PKBatchSampler(sketches, photos, classes, data.sketches_per_class, **options)
        return TripletSampler(sketches, photos, **options)
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"data.level={data.level}, data.batches={data.batches}: {error}") from error


class EpochBatches(Sampler[list[Triplet]]):
    """One process's share of an epoch, cut into the micro-batches of its forward passes.

    The triplets of an optimiser step are the same for one process as for eight: each takes every eighth. What
    does not fill a last step waits for another epoch, which draws another order.

    Args:
        sampler: All triplets of an epoch, or all its batches; every process has the same.
        batch_size: Triplets an optimiser step, over all processes.
        accumulation_steps: Micro-batches a step and process.
        num_replicas: Number of processes.
        rank: Number of this one.

    Raises:
        RecipeError: The batch cannot be shared out evenly, or an epoch is shorter than a batch.
    """

    def __init__(
        self,
        sampler: TripletSampler | TripletBatchSampler,
        batch_size: int,
        accumulation_steps: int = 1,
        num_replicas: int = 1,
        rank: int = 0,
    ):
        shares = num_replicas * accumulation_steps
        if batch_size % shares:
            raise RecipeError(
                f"optimisation.batch_size {batch_size} cannot be shared by {num_replicas} processes "
                f"with {accumulation_steps} accumulation steps: make it a multiple of {shares}"
            )
        self.sampler = sampler
        self.micro_batch = batch_size // shares
        self.accumulation_steps = accumulation_steps
        self.num_replicas = num_replicas
        self.rank = rank
        whole = isinstance(sampler, TripletBatchSampler)
        self._batches = sampler if whole else BatchSampler(sampler, batch_size, drop_last=True)
        self.steps = len(self._batches)
        if self.steps == 0:
            raise RecipeError(
                f"optimisation.batch_size is {batch_size}, but an epoch has only "
                f"{len(sampler)} triplets (one a training sketch): lower it"
            )
        self._start = 0

    def warn_of_parts(self, needs: list[str]) -> None:
        """Log what the model does with a whole batch (`whole_batch_needs`) if accumulation cuts batches into parts."""
        if needs and self.accumulation_steps > 1:
            seen = self.micro_batch * self.num_replicas
            logger.warning(
                "optimisation.gradient_accumulation_steps=%d: %s among %d triplets at a time instead of %d. "
                "optimisation.gradient_checkpointing=true saves memory without changing the training",
                self.accumulation_steps,
                " and ".join(needs),
                seen,
                seen * self.accumulation_steps,
            )

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that comes next, from its optimiser step `start` on."""
        self.sampler.set_epoch(epoch)
        self._start = start

    def __len__(self) -> int:
        return (self.steps - self._start) * self.accumulation_steps

    def __iter__(self) -> Iterator[list[Triplet]]:
        for batch in islice(self._batches, self._start, None):
            share = batch[self.rank :: self.num_replicas]
            for first in range(0, len(share), self.micro_batch):
                yield share[first : first + self.micro_batch]
