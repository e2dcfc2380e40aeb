"""Batches of triplets for any number of processes, from any step of an epoch on."""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice

import datasets
from torch.utils.data import BatchSampler, Sampler

from sketch_prompt.data.batch_samplers import OneCategoryBatchSampler, PKBatchSampler, TripletBatchSampler
from sketch_prompt.data.loading import TripletDataset, require_readable
from sketch_prompt.data.samplers import Triplet, TripletSampler
from sketch_prompt.data.transforms import PairAugmentation
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.training.config import DataConfig
from sketch_prompt.training.recipe import RecipeError

logger = logging.getLogger(__name__)


def build_sampler(data: DataConfig, sketches, photos, batch_size: int, seed: int):
    """The sampler of a recipe, either of triplets or of whole batches.

    Args:
        data: The section of the recipe.
        sketches: Table of the training sketches.
        photos: Table of the training photos.
        batch_size: Number of triplets in an optimiser step.
        seed: Seed for all random choices.

    Raises:
        RecipeError: The data have no triplets of this level, or not enough for these batches.
    """
    options = {"level": data.level, "seed": seed}
    try:
        if data.batches == "one-category":
            return OneCategoryBatchSampler(sketches, photos, batch_size, drop_last=True, **options)
        if data.batches == "pk":
            classes, rest = divmod(batch_size, data.sketches_per_class)
            if rest:
                raise RecipeError(
                    f"optimisation.batch_size {batch_size} is not a multiple of data.sketches_per_class "
                    f"{data.sketches_per_class}"
                )
            return PKBatchSampler(sketches, photos, classes, data.sketches_per_class, **options)
        return TripletSampler(sketches, photos, **options)
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"data.level={data.level}, data.batches={data.batches}: {error}") from error


def build_triplets(
    data: DataConfig,
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    sketches: datasets.Dataset,
    photos: datasets.Dataset,
    sampler: TripletSampler | TripletBatchSampler,
    class_names: Sequence[str],
) -> TripletDataset:
    """The training triplets of a recipe, with the images that the model needs.

    Args:
        data: The recipe's section.
        model: The model to train.
        processor: Turns images into tensors.
        sketches: Table of the training sketches.
        photos: Table of the training photos.
        sampler: From `build_sampler`.
        class_names: Names of the tables' labels.

    Raises:
        RecipeError: A class has no readable image, or photos that are embedded only once would be augmented.
    """
    augment = PairAugmentation(**data.augmentation) if data.augmentation else None
    try:
        triplets = TripletDataset(
            sketches,
            photos,
            processor,
            sampler,
            augment=augment,
            min_size=data.min_image_size,
            sketch_only=model.trains_on_seen_features,
            second_sketch=model.needs_second_sketch,
        )
        require_readable(triplets, class_names)
    except ValueError as error:
        raise RecipeError(f"data: {error}") from error
    return triplets


class EpochBatches(Sampler[list[Triplet]]):
    """The batches of one process in an epoch, split into micro-batches for its forward passes.

    An optimiser step has the same triplets for any number of processes: with eight processes, each one takes every
    eighth triplet. Triplets that do not fill a last step are left out. They differ between epochs.

    Args:
        sampler: Samples all triplets or all batches of an epoch. It is the same in every process.
        batch_size: Number of triplets in an optimiser step, over all processes.
        accumulation_steps: Number of micro-batches in a step, for each process.
        num_replicas: Number of processes.
        rank: Number of this process.

    Raises:
        RecipeError: The batch cannot be divided evenly, or an epoch is shorter than a batch.
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
                f"optimisation.batch_size {batch_size} cannot be divided among {num_replicas} processes "
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
                f"{len(sampler)} triplets (one for each training sketch): use a smaller one"
            )
        self._start = 0

    def warn_of_split_batches(self, needs: list[str]) -> None:
        """Warn if accumulation splits a batch that the model needs as a whole (`whole_batch_needs`)."""
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
        """Choose the next epoch, and the optimiser step in it to start from."""
        self.sampler.set_epoch(epoch)
        self._start = start

    def __len__(self) -> int:
        return (self.steps - self._start) * self.accumulation_steps

    def __iter__(self) -> Iterator[list[Triplet]]:
        for batch in islice(self._batches, self._start, None):
            share = batch[self.rank :: self.num_replicas]
            for first in range(0, len(share), self.micro_batch):
                yield share[first : first + self.micro_batch]
