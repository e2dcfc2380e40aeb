"""The training configuration, with a dataclass for each section of a recipe."""

import dataclasses
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from huggingface_hub.dataclasses import strict

from sketch_prompt.data.benchmarks import OLD_OPTIONS, default_level
from sketch_prompt.data.transforms import PairAugmentation
from sketch_prompt.evaluation.task import Task, TaskOptions
from sketch_prompt.hints import shortened, with_new_names
from sketch_prompt.models.auto import model_class
from sketch_prompt.models.configuration_base import SketchPromptPreTrainedConfig, require
from sketch_prompt.processing import SketchPromptImageProcessor
from sketch_prompt.training.origins import read_origins
from sketch_prompt.training.recipe import RecipeError, build, read_recipe, refuse_unknown
from sketch_prompt.vocabulary import Level, PairType

Number = int | float
OLD_EVALUATION_KEYS = {"category": "condition"}
"""{old key of the section `evaluation`: its name today}"""


@strict
@dataclass
class ModelConfig:
    """The model to train.

    Attributes:
        method: Name of the method, such as `"clip-at"`.
        base_model: Hub id, folder or bundled name of the frozen CLIP.
        revision: Its commit on the Hub.
        attn_implementation: `"sdpa"` or `"eager"`; None for the default of transformers.
        fields: Fields of the method's configuration. In a recipe they are keys of this section.
    """

    method: str
    base_model: str
    revision: str | None = None
    attn_implementation: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def config(self) -> SketchPromptPreTrainedConfig:
        """The method's configuration: `config.json` before the backbone adds to it."""
        config_class = model_class(self.method).config_class
        return config_class(base_model=self.base_model, base_model_revision=self.revision, **self.fields)


@strict
@dataclass
class DataConfig:
    """The data to train on.

    Attributes:
        benchmark: Name for `load_benchmark`.
        data_dir: Folder of the data; None if the benchmark needs none.
        options: More arguments for `load_benchmark` (`split`, `setting`, `seed`, ...).
        level: `"category"` (a sketch's positives are the photos of its class) or `"instance"` (the positive is its own
            photo, and negatives are other photos of its class); None for the benchmark's default.
        batches: The triplets in a batch: `"triplets"` (any sketches), `"one-category"` (sketches of one class), or
            `"pk"` (several classes with `sketches_per_class` sketches each).
        sketches_per_class: K of `"pk"`.
        validation_classes: Seen classes to hold out for choosing the best checkpoint: a share below 1, or a number of
            classes. With 0, the model is trained on all classes, and the last checkpoint is kept. If a benchmark
            trains and tests on the same classes (`shoe-v2`), instances are held out instead.
        refit: Use the held-out classes only to choose the number of steps, and then train on all seen classes for that
            many steps, as the papers do. This takes twice as long. The first run is in `selection/`.
        training_share: Share of the sketches and photos of each class to train on, drawn with `run.seed`. At instance
            level, a share of the photos with their sketches.
        training_classes: Number of classes to train on, drawn with `run.seed`; None for all.
        num_workers: Number of processes that read images, for each training process.
        min_image_size: Decode JPEGs at a reduced scale with sides of at least so many pixels; None decodes at full
            size.
        feature_cache: Folder of features that do not change in training, for methods that embed photos only once
            (`sketch-lens` with `train_tower`); None for one in the cache of `datasets`, which all runs share.
        augmentation: Fields of `data.transforms.PairAugmentation`; empty for no augmentation.
    """

    benchmark: str
    data_dir: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    level: Level | None = None
    batches: Literal["triplets", "one-category", "pk"] = "triplets"
    sketches_per_class: int = 4
    validation_classes: Number = 0.1
    refit: bool = False
    training_share: Number = 1.0
    training_classes: int | None = None
    num_workers: int = 2
    min_image_size: int | None = None
    feature_cache: str | None = None
    augmentation: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self.level = self.level or default_level(self.benchmark)
        self.options = with_new_names(self.options, OLD_OPTIONS, "data.options")
        require(self.sketches_per_class >= 1, "sketches_per_class", self.sketches_per_class, "at least 1")
        held_out = self.validation_classes
        share_or_count = 0 <= held_out < 1 or (held_out >= 1 and float(held_out).is_integer())
        require(share_or_count, "validation_classes", held_out, "a share below 1 or a whole number")
        require(
            held_out > 0 or not self.refit, "validation_classes", held_out, "above 0 to choose with for refit"
        )
        require(0 < self.training_share <= 1, "training_share", self.training_share, "above 0 and at most 1")
        fewest = self.training_classes is None or self.training_classes >= 2
        require(fewest, "training_classes", self.training_classes, "at least 2 or null")
        require(self.num_workers >= 0, "num_workers", self.num_workers, "0 or more")


@strict
@dataclass
class OptimisationConfig:
    """The optimisation.

    Attributes:
        epochs: Number of passes over the training sketches.
        max_steps: Stop after so many optimiser steps, even before the last epoch.
        batch_size: Number of triplets in an optimiser step, over all processes and accumulation steps. The number of
            GPUs does not change the training: losses that compare triplets use the triplets of all processes.
        gradient_accumulation_steps: Split each process's share of a batch into so many parts, to save memory. A loss
            that compares triplets (CLIP-AT's f-divergence, DP-CLIP's hardest negatives) or uses the mean of a batch
            (SpLIP's B_t) then sees the triplets of one part only; the log warns of that. `gradient_checkpointing`
            saves memory without this effect.
        optimizer: `"adamw"` or `"adam"`. They differ in `weight_decay`.
        learning_rate: Learning rate of all parameter groups that are not in `learning_rates`.
        learning_rates: Learning rates of single parameter groups: `prompts`, `layer_norms`, `backbone`.
        weight_decay, betas: Arguments of the optimiser.
        schedule: `"constant"`, `"cosine"` or `"linear"` (to 0), after the warm-up.
        schedule_steps: Length of the schedule in steps; None for the length of the training.
        warmup_steps: Number of steps in which the learning rate rises from 0.
        max_gradient_norm: Clip gradients to this norm; None does not clip.
        ema_decay: Decay of a running average of the weights, such as 0.999. The average is evaluated and saved in
            place of the weights. None averages nothing.
        wise_ft_alpha: Share of the trained weights in those that are evaluated and saved (WiSE-FT). The rest is the
            initial weights. 1 keeps the trained weights.
        mixed_precision: `"bf16"` or `"fp16"`; None for the setting of `accelerate launch`, or else float32.
        gradient_checkpointing: Compute activations again in the backward pass. It saves memory and is a third slower.
    """

    epochs: int = 60
    max_steps: int | None = None
    batch_size: int = 64
    gradient_accumulation_steps: int = 1
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: Number = 1e-3
    learning_rates: dict[str, Number] = field(default_factory=dict)
    weight_decay: Number = 0.0
    betas: list[Number] = field(default_factory=lambda: [0.9, 0.999])
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    schedule_steps: int | None = None
    warmup_steps: int = 0
    max_gradient_norm: Number | None = None
    ema_decay: Number | None = None
    wise_ft_alpha: Number = 1.0
    mixed_precision: Literal["bf16", "fp16"] | None = None
    gradient_checkpointing: bool = False

    def __post_init__(self):
        for name in ("epochs", "batch_size", "gradient_accumulation_steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("max_steps", "schedule_steps"):
            steps = getattr(self, name)
            require(steps is None or steps >= 1, name, steps, "at least 1 or null")
        for name in ("learning_rate", "weight_decay", "warmup_steps"):
            require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "0 or more")
        for group, rate in self.learning_rates.items():
            require(0 <= rate < math.inf, f"learning_rates.{group}", rate, "0 or more")
        decay, share = self.ema_decay, self.wise_ft_alpha
        require(decay is None or 0 < decay < 1, "ema_decay", decay, "between 0 and 1, or null")
        require(0 <= share <= 1, "wise_ft_alpha", share, "from 0 to 1")
        norm = self.max_gradient_norm
        require(norm is None or norm > 0, "max_gradient_norm", norm, "above 0 or null")
        require(
            len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
            "betas",
            self.betas,
            "two of 0 <= b < 1",
        )


@strict
@dataclass
class EvaluationConfig(TaskOptions):
    """The evaluation. The attributes of `TaskOptions` are also keys of this section.

    Attributes:
        every_epochs: Evaluate on the validation classes after every so many epochs.
        metric: The metric that chooses the best checkpoint: `"mAP@all"`, `"P@100"`, ... or, at instance level,
            `"Acc@1"`, ...; None for the first of these.
        batch_size: Number of images in a forward pass, for each process.
        sample: Maximum number of held-out sketches, and of photos, to evaluate on during training; None for all.
        pair_dtype: Type of the features that a ranking by pairs stores for each image. float16 and bfloat16 take half
            the space.
        work_dir: Folder for these features while an evaluation runs, if they exceed the memory (see
            `pairwise.MEMORY_BYTES`); None for `run.output_dir`.
        test: Evaluate the final model on the unseen classes.
        baseline: Also evaluate the frozen CLIP on the unseen classes, for the model card.
    """

    every_epochs: int = 1
    metric: str | None = None
    batch_size: int = 64
    sample: int | None = None
    pair_dtype: PairType | None = None
    work_dir: str | None = None
    test: bool = True
    baseline: bool = True

    def __post_init__(self):
        super().__post_init__()
        for name in ("every_epochs", "batch_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(all(k >= 1 for k in self.ks or ()), "ks", self.ks, "numbers from 1 on")
        require(self.sample is None or self.sample >= 2, "sample", self.sample, "at least 2 or null")

    def task(self, benchmark: str, level: Level) -> Task:
        """The evaluation task on a benchmark."""
        options = {option.name: getattr(self, option.name) for option in dataclasses.fields(TaskOptions)}
        return Task(benchmark, level, **options)

    def for_level(self, level: Level) -> "EvaluationConfig":
        """A copy with `gallery`, `ks` and `metric` filled in for a level.

        Raises:
            ValueError: `metric` is not measured at this level.
        """
        task = self.task("", level)
        if level == "instance":
            names = [f"Acc@{k}" for k in task.ks]
        else:
            names = ["mAP@all", *(f"{name}@{k}" for k in task.ks for name in ("mAP", "P"))]
        metric = self.metric or names[0]
        require(metric in names, "metric", metric, f"one of {', '.join(names)} at {level} level (see ks)")
        return dataclasses.replace(self, metric=metric, ks=task.ks, gallery=task.gallery)


@strict
@dataclass
class RunConfig:
    """The run.

    Attributes:
        output_dir: Folder for the checkpoint, the log and the results; None for `runs/<method>-<benchmark>`.
        seed: Seed for initialisation, triplets and all other random choices.
        resume: Resume from `checkpoints/last`: `"auto"` (if there is one), `"must"` or `"never"`.
        log_every: Write a log line after every so many optimiser steps.
        save_every: Save `checkpoints/last` after every so many optimiser steps, and not only after each epoch.
        trackers: Trackers of accelerate, such as `["tensorboard"]` (the `train` extra).
        progress: Show progress bars.
        hub_model_id: Repository `owner/name` on the Hub to push the checkpoint to; None does not push.
        hub_strategy: Push at the `"end"`, or at `"every_save"` as well.
        hub_private: Make a new repository private.
    """

    output_dir: str | None = None
    seed: int = 0
    resume: Literal["auto", "never", "must"] = "auto"
    log_every: int = 10
    save_every: int | None = None
    trackers: list[str] = field(default_factory=list)
    progress: bool = True
    hub_model_id: str | None = None
    hub_strategy: Literal["end", "every_save"] = "end"
    hub_private: bool | None = None

    def __post_init__(self):
        require(0 <= self.seed < 1 << 32, "seed", self.seed, "from 0 to 4294967295")
        require(self.log_every >= 1, "log_every", self.log_every, "at least 1")
        require(
            self.save_every is None or self.save_every >= 1,
            "save_every",
            self.save_every,
            "at least 1 or null",
        )


@dataclass
class TrainingConfig:
    """A whole recipe.

    Example:
        ```python
        config = TrainingConfig.load("clip-at-mini", ["optimisation.epochs=2", "run.output_dir=runs/short"])
        config.optimisation.learning_rate
        ```

    Attributes:
        model, data, optimisation, evaluation, run: The sections above.
        processor: Fields of `SketchPromptImageProcessor` that differ from the base model's own preprocessing.
        origins: {section.key: where the value is from}, as the comments in the recipe say.
    """

    model: ModelConfig
    data: DataConfig
    processor: dict[str, Any] = field(default_factory=dict)
    optimisation: OptimisationConfig = field(default_factory=OptimisationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    run: RunConfig = field(default_factory=RunConfig)
    origins: dict[str, str] = field(default_factory=dict, init=False, compare=False)

    @classmethod
    def load(cls, path: str | os.PathLike, overrides: Iterable[str] = ()) -> "TrainingConfig":
        """Read a recipe by its name, folder or file, with `section.key=value` overrides; see `find_recipe`.

        Raises:
            RecipeError: The file cannot be read or is not valid. The message says where.
        """
        overrides = list(overrides)
        config = cls.from_dict(read_recipe(path, overrides))
        config.origins = read_origins(path, overrides)
        return config

    @classmethod
    def from_dict(cls, recipe: dict[str, Any]) -> "TrainingConfig":
        """Build the configuration from the sections of a recipe.

        Raises:
            RecipeError: A section or a key is unknown, or a value has the wrong type or is out of range.
        """
        refuse_unknown(recipe, [section.name for section in dataclasses.fields(cls) if section.init])
        data = build(DataConfig, "data", recipe.get("data"))
        build(PairAugmentation, "data.augmentation", data.augmentation)
        evaluation = build(EvaluationConfig, "evaluation", _with_new_keys(recipe.get("evaluation")))
        try:
            evaluation = evaluation.for_level(data.level)
        except ValueError as error:
            raise RecipeError(f"evaluation.{error}") from error
        return cls(
            model=_build_model(recipe.get("model")),
            data=data,
            processor=_checked_processor(recipe.get("processor")),
            optimisation=build(OptimisationConfig, "optimisation", recipe.get("optimisation")),
            evaluation=evaluation,
            run=build(RunConfig, "run", recipe.get("run")),
        )

    def with_sections(self, **sections: Any) -> "TrainingConfig":
        """A copy of the recipe with other sections. The origins of its values are kept."""
        changed = dataclasses.replace(self, **sections)
        changed.origins = self.origins
        return changed

    def to_dict(self) -> dict[str, Any]:
        """The sections of the recipe, including all defaults."""
        sections = dataclasses.asdict(self)
        del sections["origins"]
        sections["model"] |= sections["model"].pop("fields")
        return sections

    def to_yaml(self) -> str:
        """The recipe as YAML, for `load`."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    def save_configs(self, folder: str | os.PathLike) -> None:
        """Write the `config.json` and `preprocessor_config.json` of a model that this recipe trains.

        The second one needs the preprocessing of the base model.
        """
        self.model.config.save_pretrained(folder)
        processor = SketchPromptImageProcessor.from_base_model(self.model.base_model, **self.processor)
        processor.save_pretrained(folder)

    @property
    def output_dir(self) -> Path:
        """The folder that the run writes to."""
        name = f"{self.model.method}-{self.data.benchmark}".replace("/", "-")  # one on the Hub is owner/name
        return Path(self.run.output_dir or f"runs/{name}")


def _with_new_keys(evaluation: Any) -> Any:
    if not isinstance(evaluation, dict):
        return evaluation
    if "category" in evaluation and evaluation["category"] is None:
        evaluation = evaluation | {"category": "none"}
    return with_new_names(evaluation, OLD_EVALUATION_KEYS, "evaluation")


def _build_model(values: Any) -> ModelConfig:
    own = {f.name for f in dataclasses.fields(ModelConfig)} - {"fields"}
    if isinstance(values, dict):
        values = {key: value for key, value in values.items() if key in own} | {
            "fields": {key: value for key, value in values.items() if key not in own}
        }
    model = build(ModelConfig, "model", values)
    try:
        method = model_class(model.method)
    except ValueError as error:
        raise RecipeError(f"model.method: {error}") from error
    known = {f.name for f in dataclasses.fields(method.config_class)}
    inherited = {f.name for f in dataclasses.fields(SketchPromptPreTrainedConfig)}
    refuse_unknown(
        model.fields, sorted(known - inherited | own | {"class_prompt", "lens", "lens_ambiguity"}), "model"
    )
    try:
        _ = model.config  # checks the values
    except Exception as error:  # strict dataclasses wrap a method's own checks in several classes of errors
        raise RecipeError(f"model: {str(error).strip().splitlines()[-1].strip()}") from error
    return model


def _checked_processor(values: Any) -> dict[str, Any]:
    if not isinstance(values or {}, dict):
        raise RecipeError(f"processor must be a section of keys, not {shortened(values)}")
    try:
        SketchPromptImageProcessor(**(values or {}))
    except (ValueError, TypeError) as error:
        raise RecipeError(f"processor: {error}") from error
    return dict(values or {})
