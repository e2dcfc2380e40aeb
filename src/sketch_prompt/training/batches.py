"""Batches of triplets: the same whatever the number of processes, and from any step of an epoch on."""

from collections.abc import Iterator
from itertools import islice

from torch.utils.data import Sampler

from sketch_prompt.data.samplers import Triplet, TripletSampler
from sketch_prompt.training.recipe import RecipeError


class EpochBatches(Sampler[list[Triplet]]):
    """One process's share of an epoch, cut into the micro-batches of its forward passes.

    The triplets of an optimiser step are the same for one process as for eight: each takes every eighth. What
    does not fill a last step waits for another epoch, which draws another order.

    Args:
        sampler: This process's share of the triplets.
        batch_size: Triplets an optimiser step, over all processes.
        accumulation_steps: Micro-batches a step and process.

    Raises:
        RecipeError: The batch cannot be shared out evenly, or an epoch is shorter than a batch.
    """

    def __init__(self, sampler: TripletSampler, batch_size: int, accumulation_steps: int = 1):
        shares = sampler.num_replicas * accumulation_steps
        if batch_size % shares:
            raise RecipeError(
                f"optimisation.batch_size {batch_size} cannot be shared by {sampler.num_replicas} processes "
                f"with {accumulation_steps} accumulation steps: make it a multiple of {shares}"
            )
        self.sampler = sampler
        self.micro_batch = batch_size // shares
        self.accumulation_steps = accumulation_steps
        self.steps = len(sampler) // (self.micro_batch * accumulation_steps)
        if self.steps == 0:
            raise RecipeError(
                f"optimisation.batch_size is {batch_size}, but an epoch has only "
                f"{len(sampler) * sampler.num_replicas} triplets (one a training sketch): lower it"
            )
        self._start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that comes next, from its optimiser step `start` on."""
        self.sampler.set_epoch(epoch)
        self._start = start

    def __len__(self) -> int:
        return (self.steps - self._start) * self.accumulation_steps

    def __iter__(self) -> Iterator[list[Triplet]]:
        first = self._start * self.accumulation_steps
        triplets = islice(self.sampler, first * self.micro_batch, None)
        for _ in range(len(self)):
            yield list(islice(triplets, self.micro_batch))
