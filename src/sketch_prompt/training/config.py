"""The training configuration: one dataclass a section of the recipe."""

import dataclasses
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
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
from sketch_prompt.vocabulary import Level

Number = int | float
OLD_EVALUATION_KEYS = {"category": "condition"}
"""{old key of the section `evaluation`: its name today}"""


@strict
@dataclass
class ModelConfig:
    """What is trained.

    Attributes:
        method: `"clip-at"`, ...
        base_model: Hub id, folder or bundled name of the frozen CLIP.
        revision: Its commit on the Hub.
        attn_implementation: `"sdpa"` or `"eager"`; None for transformers' choice.
        fields: The method's own configuration; in the recipe these keys stand beside the ones above.
    """

    method: str
    base_model: str
    revision: str | None = None
    attn_implementation: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@strict
@dataclass
class DataConfig:
    """What it is trained on.

    Attributes:
        benchmark: Name for `load_benchmark`.
        data_dir: Folder of the data; None for what needs none.
        options: Further arguments of `load_benchmark` (`split`, `setting`, `seed`, ...).
        level: `"category"` (a sketch's positives are the photos of its class) or `"instance"` (its own photo is,
            and negatives are other photos of its class); None for what the benchmark is for.
        batches: What meets in a batch: `"triplets"` (any sketches), `"one-category"` (sketches of one class), or
            `"pk"` (several classes with `sketches_per_class` sketches each).
        sketches_per_class: K of `"pk"`.
        validation_classes: How many of the seen classes are held out for choosing the best checkpoint: a
            share below 1, or a number of classes; 0 trains on all and keeps the last checkpoint. Of instances
            instead, where a benchmark trains and tests on the same classes (`shoe-v2`).
        refit: Hold classes out to choose the number of steps only, and then train on all seen classes for that many,
            as the papers do; takes twice as long. The run that chose is in `selection/`.
        num_workers: Processes that read and decode images, for each training process.
        min_image_size: JPEGs may be decoded at a reduced scale, sides at least this long; None decodes fully.
        augmentation: Fields of `data.transforms.PairAugmentation`; empty for none.
    """

    benchmark: str
    data_dir: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    level: Level | None = None
    batches: Literal["triplets", "one-category", "pk"] = "triplets"
    sketches_per_class: int = 4
    validation_classes: Number = 0.1
    refit: bool = False
    num_workers: int = 2
    min_image_size: int | None = None
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
        require(self.num_workers >= 0, "num_workers", self.num_workers, "0 or more")


@strict
@dataclass
class OptimisationConfig:
    """How it is trained.

    Attributes:
        epochs: Passes over the training sketches.
        max_steps: Stop after so many optimiser steps, whatever `epochs` says.
        batch_size: Triplets an optimiser step, over all processes and accumulation steps together. The number
            of GPUs changes the speed, not the training: losses that compare triplets compare those of all processes.
        gradient_accumulation_steps: Parts that a process cuts its share of a batch into, to save memory. A loss that
            compares triplets (CLIP-AT's f-divergence, DP-CLIP's hardest negatives) or looks at the batch's mean
            (SpLIP's B_t) then has the triplets of one part only, which the log warns of; `gradient_checkpointing`
            saves memory without that.
        optimizer: `"adamw"` or `"adam"` (they differ in how `weight_decay` acts).
        learning_rate: Of every parameter group that `learning_rates` does not name.
        learning_rates: Learning rate by parameter group: `prompts`, `layer_norms`, `backbone`.
        weight_decay, betas: Of the optimiser.
        schedule: `"constant"`, `"cosine"` or `"linear"` (to 0), after the warm-up.
        schedule_steps: Steps that the schedule is for; None for those of the training.
        warmup_steps: Steps in which the rate rises from 0.
        max_gradient_norm: Gradients are clipped to it; None does not clip.
        mixed_precision: `"bf16"` or `"fp16"`; None for what `accelerate launch` was told, else float32.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, a third slower.
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
    """How it is measured. The attributes of `TaskOptions` are keys of this section too.

    Attributes:
        every_epochs: Epochs between evaluations on the validation classes.
        metric: The metric that chooses the best checkpoint: `"mAP@all"`, `"P@100"`, ... or, at instance level,
            `"Acc@1"`, ...; None for the first of these at the level.
        batch_size: Images in one forward pass, for each process.
        test: Evaluate the final model on the unseen classes.
        baseline: Evaluate the frozen CLIP there too, for the model card.
    """

    every_epochs: int = 1
    metric: str | None = None
    batch_size: int = 64
    test: bool = True
    baseline: bool = True

    def __post_init__(self):
        super().__post_init__()
        for name in ("every_epochs", "batch_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(all(k >= 1 for k in self.ks or ()), "ks", self.ks, "numbers from 1 on")

    def task(self, benchmark: str, level: Level) -> Task:
        """The task that this section describes on a benchmark."""
        options = {option.name: getattr(self, option.name) for option in dataclasses.fields(TaskOptions)}
        return Task(benchmark, level, **options)

    def for_level(self, level: Level) -> "EvaluationConfig":
        """The same with `gallery`, `ks` and `metric` filled in for a level.

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
    """Where and how the run goes.

    Attributes:
        output_dir: Folder of the checkpoint, the log and the results; None for `runs/<method>-<benchmark>`.
        seed: Of initialisation, triplets and everything else that is drawn.
        resume: Go on from `checkpoints/last`: `"auto"` if there is one, `"must"`, or `"never"`.
        log_every: Optimiser steps between log lines.
        save_every: Optimiser steps between saves of `checkpoints/last`, besides those at every epoch's end.
        trackers: accelerate's trackers, such as `["tensorboard"]` (the `train` extra).
        progress: Show progress bars.
        hub_model_id: Repository on the Hub that the checkpoint is pushed to, `owner/name`; None pushes nothing.
        hub_strategy: When: at the `"end"`, or at `"every_save"` too.
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

    Attributes:
        model, data, optimisation, evaluation, run: The sections above.
        processor: Fields of `SketchPromptImageProcessor` that differ from what the base model's own gives.
        origins: Whose the values are, by `section.key`: from the comments of the recipe's file.
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
            RecipeError: The file cannot be read, or something in it cannot be meant; the message says where.
        """
        overrides = list(overrides)
        config = cls.from_dict(read_recipe(path, overrides))
        config.origins = read_origins(path, overrides)
        return config

    @classmethod
    def from_dict(cls, recipe: dict[str, Any]) -> "TrainingConfig":
        """From the sections of a recipe.

        Raises:
            RecipeError: An unknown section or key, a wrong type, or an impossible value, in the method's and
                the image processor's configuration too.
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

    def to_dict(self) -> dict[str, Any]:
        """The sections as a recipe has them, every default spelt out."""
        sections = dataclasses.asdict(self)
        del sections["origins"]
        sections["model"] |= sections["model"].pop("fields")
        return sections

    def to_yaml(self) -> str:
        """The recipe as text; `load` reads it back."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    def method_config(self) -> SketchPromptPreTrainedConfig:
        """The method's configuration, as `config.json` will hold it but for what the backbone adds."""
        return _method_config(self.model)

    def save_configs(self, folder: str | os.PathLike) -> None:
        """Write what a model trained by this recipe starts from: its `config.json` and `preprocessor_config.json`.

        The base model's own preprocessing is needed for the latter.
        """
        self.method_config().save_pretrained(folder)
        processor = SketchPromptImageProcessor.from_base_model(self.model.base_model, **self.processor)
        processor.save_pretrained(folder)

    @property
    def output_dir(self) -> Path:
        """Where the run writes."""
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
    refuse_unknown(model.fields, sorted(known - inherited | own | {"class_prompt", "lens"}), "model")
    try:
        _method_config(model)
    except Exception as error:  # strict dataclasses wrap a method's own checks in several classes of errors
        raise RecipeError(f"model: {str(error).strip().splitlines()[-1].strip()}") from error
    return model


def _method_config(model: ModelConfig) -> SketchPromptPreTrainedConfig:
    config_class = model_class(model.method).config_class
    return config_class(base_model=model.base_model, base_model_revision=model.revision, **model.fields)


def _checked_processor(values: Any) -> dict[str, Any]:
    if not isinstance(values or {}, dict):
        raise RecipeError(f"processor must be a section of keys, not {shortened(values)}")
    try:
        SketchPromptImageProcessor(**(values or {}))
    except (ValueError, TypeError) as error:
        raise RecipeError(f"processor: {error}") from error
    return dict(values or {})
