"""The training loop, for any method and any benchmark, on one process or on several."""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object, set_seed
from datasets import DatasetDict
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from sketch_prompt.atomic import atomic_write, clear_leftovers
from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.data.loading import NoReadableTripletError, TripletCollator
from sketch_prompt.embedding.conditioning import show_categories
from sketch_prompt.evaluation import Evaluation, Report, evaluate_model
from sketch_prompt.evaluation.environment import describe_environment, peak_memory
from sketch_prompt.evaluation.fusion import choose_rerank_weight
from sketch_prompt.evaluation.report import without_seed
from sketch_prompt.lens.tables import fit_model_lens
from sketch_prompt.locking import only_writer
from sketch_prompt.models.checkpoints import ADAPTER_WEIGHTS
from sketch_prompt.models.frozen_clip import FrozenClipConfig, FrozenClipModel
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.training.averaging import FinalWeights
from sketch_prompt.training.batches import EpochBatches, build_sampler, build_triplets
from sketch_prompt.training.checkpoints import (
    Progress,
    find_resumable,
    load_adapter_tensors,
    load_state,
    random_state,
    recover_folder,
    remove_checkpoints,
    replacing_folder,
    save_state,
)
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.fitting import build_accelerator, build_model, fit_to_machine
from sketch_prompt.training.interruption import Interruption, ending_workers, ignore_signals
from sketch_prompt.training.log import LossMeter, TrainingLog, hyper_parameters
from sketch_prompt.training.optimisation import build_optimizer, build_scheduler
from sketch_prompt.training.publication import Publisher, public_recipe, training_facts
from sketch_prompt.training.recipe import RecipeError, with_checksum
from sketch_prompt.training.refit import lens_on_held_out_classes, refit_recipe, selection_recipe
from sketch_prompt.training.result import TrainingResult
from sketch_prompt.training.seen import seen_features
from sketch_prompt.training.subset import take_share
from sketch_prompt.training.validation import hold_out, take_sample
from sketch_prompt.vocabulary import Ranking

logger = logging.getLogger(__name__)


class DivergedError(RuntimeError):
    """The loss is not finite."""


def train(config: TrainingConfig) -> TrainingResult:
    """Train a model as a recipe says, from the start or from where the run was stopped.

    With `accelerate launch` or `torchrun`, every process calls this function and gets the result.

    Example:
        ```python
        result = train(TrainingConfig.load("clip-at-mini", ["optimisation.epochs=1"]))
        model = SketchPromptModel.from_pretrained(result.output_dir)
        ```

    Raises:
        RecipeError: The recipe does not fit the data, the model, or the run to resume.
        FileNotFoundError: There are no data, no base model, or (with `run.resume="must"`) no checkpoint.
        DivergedError: The loss is not finite.
        LockedError: Another process is training in the same `run.output_dir`.
        KeyboardInterrupt: Ctrl-C or SIGTERM stopped the run. It was saved, and the same command resumes it.
    """
    # The accelerator comes first: it decides on the device and finds the other processes.
    accelerator = build_accelerator(config)
    config = fit_to_machine(config, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    is_writer = accelerator.is_main_process
    with only_writer(config.output_dir, "is training in") if is_writer else nullcontext():
        if config.data.refit:
            chosen = Trainer(selection_recipe(config), accelerator).run()
            accelerator.free_memory()
            result = Trainer(refit_recipe(config, chosen), accelerator, chosen).run()
        else:
            result = Trainer(config, accelerator).run()
    accelerator.end_training()
    return result


class Trainer:
    """A training run: the data, the model and the optimiser of a recipe.

    Args:
        config: The recipe.
        accelerator: Shares the work among processes.
        chosen: For a run on all seen classes: the run on some of them that chose the number of steps.
    """

    def __init__(
        self, config: TrainingConfig, accelerator: Accelerator, chosen: TrainingResult | None = None
    ):
        self.config = config
        self.chosen = chosen
        self.folder = config.output_dir
        self.last, self.best = self.folder / "checkpoints/last", self.folder / "checkpoints/best"
        self.accelerator = accelerator
        if config.run.trackers:
            accelerator.init_trackers("training", config=hyper_parameters(config.to_dict()))
        set_seed(config.run.seed)
        data = config.data
        with self.accelerator.main_process_first():
            self._resumable = find_resumable(config) is not None
            self.benchmark = load_benchmark(data.benchmark, data.data_dir, **data.options)
        split = hold_out(self.benchmark, data.validation_classes, config.run.seed, data.level)
        self.split = take_share(
            split, data.training_share, data.training_classes, config.run.seed, data.level
        )
        if self.split.validation:
            some = take_sample(self.split.validation, config.evaluation.sample, config.run.seed, data.level)
            self.split = self.split._replace(validation=some)
        self.class_index = torch.from_numpy(self.split.class_index)
        self.model, self.processor = build_model(config, self.split.class_names, accelerator.device)
        optimisation = config.optimisation
        self.final = FinalWeights(self.model, optimisation.ema_decay, optimisation.wise_ft_alpha)
        only_a_lens = self.model.config.lens is not None or (chosen is not None and not chosen.steps)
        if only_a_lens and not self.model.trainable_parameters():
            # There is at most a lens to fit, which needs no optimiser.
            self.forward, self.optimizer, self.scheduler, self.total_steps = self.model, None, None, 0
            return
        self._build_loader()
        steps = optimisation.epochs * self.batches.steps
        self.total_steps = min(steps, optimisation.max_steps or steps)
        optimizer = build_optimizer(self.model, optimisation)
        schedule_steps = optimisation.schedule_steps or self.total_steps
        self.scheduler = build_scheduler(optimizer, optimisation, schedule_steps)
        self.forward, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        # From here on, random numbers differ between processes (dropout).
        set_seed(config.run.seed, device_specific=True)

    def _build_loader(self) -> None:
        data, optimisation, accelerator = self.config.data, self.config.optimisation, self.accelerator
        tables = self.split.training["train_sketch"], self.split.training["train_photo"]
        sampler = build_sampler(data, *tables, optimisation.batch_size, self.config.run.seed)
        self.batches = EpochBatches(
            sampler,
            optimisation.batch_size,
            optimisation.gradient_accumulation_steps,
            num_replicas=accelerator.num_processes,
            rank=accelerator.process_index,
        )
        if accelerator.is_main_process:
            self.batches.warn_of_split_batches(self.model.whole_batch_needs())
        names = self.benchmark["train_photo"].features["label"].names
        triplets = build_triplets(data, self.model, self.processor, *tables, sampler, names)
        if self.model.trains_on_seen_features:
            seen = seen_features(
                self.model,
                self.processor,
                *tables,
                self.class_index,
                data.feature_cache,
                batch_size=self.config.evaluation.batch_size,
                num_workers=data.num_workers,
                accelerator=accelerator,
                progress=self.config.run.progress,
            )
            self.model.begin_training(seen)
        self.loader = DataLoader(
            triplets,
            batch_sampler=self.batches,
            collate_fn=TripletCollator(),
            num_workers=data.num_workers,
            persistent_workers=data.num_workers > 0,
            worker_init_fn=ignore_signals,
            pin_memory=accelerator.device.type == "cuda",
            # Starting an epoch draws from this generator, and not from the one that training uses.
            generator=torch.Generator(),
        )

    def run(self) -> TrainingResult:
        """Resume if there is a checkpoint, train, evaluate, and save everything."""
        self.publisher = Publisher(self.config)
        if self.accelerator.is_main_process:
            self.publisher.start()
        self._start()
        started_at, self.unreadable = self.progress.step, {}
        self.training_seconds = 0.0
        if self.total_steps == 0:
            return self._finish(0)
        self.meter = LossMeter(self.accelerator, self.batches.micro_batch * self.accelerator.num_processes)
        alone = self.accelerator.num_processes == 1
        with ending_workers(self.loader), Interruption(enabled=alone) as interruption, self._bar() as bar:
            while self.progress.step < self.total_steps:
                self._train_epoch(bar, interruption)
                self._end_epoch()
        del self.loader
        return self._finish(self.progress.step - started_at)

    def _start(self) -> None:
        self.progress = Progress()
        if self._resumable:
            rank, scaler = self.accelerator.process_index, self.accelerator.scaler
            self.progress = load_state(
                self.last, self.model, self.optimizer, self.scheduler, rank, scaler, self.final
            )
            logger.info("%s: continuing after step %d", self.folder, self.progress.step)
        if self.accelerator.is_main_process:
            clear_leftovers(self.folder)
            if not self._resumable:
                remove_checkpoints(self.config)
            with atomic_write(self.folder / "training.yaml", durable=True) as temporary:
                temporary.write_text(with_checksum(self.config.to_yaml()), encoding="utf-8")
        self.log = TrainingLog(self.folder / "log.jsonl", self.accelerator, self.progress.step)
        self.forward.train()

    def _bar(self) -> tqdm:
        hidden = not (self.config.run.progress and self.accelerator.is_main_process)
        return tqdm(
            desc="Training", unit="step", total=self.total_steps, initial=self.progress.step, disable=hidden
        )

    def _train_epoch(self, bar: tqdm, interruption: Interruption) -> None:
        progress, run = self.progress, self.config.run
        self.batches.set_epoch(progress.epoch, progress.epoch_step)
        self.model.begin_epoch(progress.epoch, math.ceil(self.total_steps / self.batches.steps))
        self.meter.lap()
        for batch in self._batches():
            if not self._train_batch(batch):
                continue
            progress.step += 1
            progress.epoch_step += 1
            bar.update()
            if progress.step % run.log_every == 0 or progress.step == self.total_steps:
                self._log_step(bar)
            if progress.step == self.total_steps:
                return
            if interruption.requested:
                self._save_last()
                raise KeyboardInterrupt(
                    f"stopped after step {progress.step} of {self.total_steps}; the same command continues the run"
                )
            if run.save_every and progress.step % run.save_every == 0:
                self._save_last()
                self._push()

    def _batches(self) -> Iterator[dict]:
        try:
            yield from self.loader
        except NoReadableTripletError as error:
            # The message of an error in a worker starts with the worker's traceback.
            message = str(error).rsplit(f"{NoReadableTripletError.__name__}: ", 1)[-1].strip()
            raise RecipeError(f"data: {message}") from None

    def _train_batch(self, batch: dict) -> bool:
        """A forward and a backward pass; returns whether they completed an optimiser step."""
        self.unreadable |= dict.fromkeys(batch.pop("unreadable"))
        for name in {"labels", "negative_labels"} & batch.keys():
            batch[name] = self.class_index[batch[name]]
        inputs = {
            name: values.to(self.accelerator.device, non_blocking=True) for name, values in batch.items()
        }
        norm = self.config.optimisation.max_gradient_norm
        with self.accelerator.accumulate(self.forward):
            output = self.forward(**inputs)
            self.accelerator.backward(output.loss)
            if norm is not None and self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.trainable_parameters().values(), norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
        seconds = self.meter.add(output.loss, output.loss_terms, output.statistics)
        self.progress.seconds += seconds
        self.training_seconds += seconds
        if self.accelerator.sync_gradients and not self.accelerator.optimizer_step_was_skipped:
            self.scheduler.step()
            self.final.update(self.progress.step + 1)
        return self.accelerator.sync_gradients

    def _log_step(self, bar: tqdm) -> None:
        means, statistics, speed = self.meter.read()
        step, loss = self.progress.step, means.pop("loss")
        self._require_finite(loss)
        bar.set_postfix({name: f"{value:.3f}" for name, value in {"loss": loss, **means}.items()})
        self.log.write(
            "step",
            step,
            epoch=round(step / self.batches.steps, 4),
            loss=loss,
            terms=means,
            **({"statistics": statistics} if statistics else {}),
            learning_rate={group["name"]: group["lr"] for group in self.optimizer.param_groups},
            seconds=round(self.progress.seconds, 3),
            triplets_per_second=round(speed, 1),
        )

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss} at step {self.progress.step}: lower optimisation.learning_rate, clip gradients "
                "with optimisation.max_gradient_norm=1, or train in float32"
            )

    def _end_epoch(self) -> None:
        progress = self.progress
        self._require_finite(self.meter.loss())
        if progress.epoch_step == self.batches.steps:
            progress.epoch, progress.epoch_step = progress.epoch + 1, 0
        finished = progress.step == self.total_steps
        if self.split.validation and (finished or progress.epoch % self.config.evaluation.every_epochs == 0):
            with self.final.applied():
                self._validate()
            progress.seconds += self.meter.lap()
        self._save_last()
        if not finished:
            self._push()

    def _push(self) -> None:
        if self.accelerator.is_main_process:
            with self.final.applied():
                self.publisher.saved(self.model, self.processor, self.progress.step)

    def _evaluate(
        self,
        benchmark: DatasetDict,
        name: str,
        model: SketchPromptPreTrainedModel | None = None,
        ranking: Ranking | None = None,
    ) -> Evaluation:
        evaluation, data = self.config.evaluation, self.config.data
        task = evaluation.task(name, data.level)
        return evaluate_model(
            self.model if model is None else model,
            self.processor,
            benchmark,
            task if ranking is None else replace(task, ranking=ranking),
            source=str(self.folder),
            scratch_dir=evaluation.work_dir or self.folder,
            pair_dtype=evaluation.pair_dtype and getattr(torch, evaluation.pair_dtype),
            batch_size=evaluation.batch_size,
            num_workers=data.num_workers,
            accelerator=self.accelerator,
            progress=self.config.run.progress,
        )

    def _evaluate_held_out(self, ranking: Ranking | None = None) -> Evaluation:
        name = f"{self.config.data.benchmark} (held-out {self.split.held_out})"
        return self._evaluate(self.split.validation, name, ranking=ranking)

    def _evaluate_frozen_clip(self) -> Report | None:
        """The test of the CLIP without the adapter; None if it is switched off or the model has no CLIP."""
        if not self.config.evaluation.baseline or self.model.clip is None:
            return None
        frozen = FrozenClipModel(FrozenClipConfig(base_model=None), backbone=self.model.clip).eval()
        return self._evaluate(self.benchmark, self.config.data.benchmark, frozen, "embedding").report

    def _validate(self) -> None:
        progress = self.progress
        report = self._evaluate_held_out().report
        self.log.write("validation", progress.step, epoch=progress.epoch, metrics=report.metrics)
        score = report.metrics[self.config.evaluation.metric]
        if progress.best is None or score > progress.best:
            progress.best, progress.best_step = score, progress.step
            if self.accelerator.is_main_process:
                with replacing_folder(self.best) as new:
                    self.model.save_pretrained(new, include_backbone=False, processor=self.processor)

    def _save_last(self) -> None:
        states = gather_object([random_state()])
        if self.accelerator.is_main_process:
            kept = states, self.accelerator.scaler, self.final.average
            save_state(self.last, self.model, self.optimizer, self.scheduler, self.progress, *kept)
        self.accelerator.wait_for_everyone()

    def _fit_lens(self) -> None:
        """Fit a lens on the training classes. If classes are held out, keep the lens only if it helps on them."""
        progress, config = self.progress, self.config
        evaluation, training = config.evaluation, self.split.training
        validation = self.split.validation
        if validation and not self.total_steps:
            progress.best = self._evaluate_held_out().report.metrics[evaluation.metric]
        found = fit_model_lens(
            self.model,
            self.processor,
            [training["train_sketch"]],
            [training["train_photo"]],
            self.model.config.lens,
            ambiguity=self.model.config.lens_ambiguity,
            condition=evaluation.task(config.data.benchmark, config.data.level).condition,
            batch_size=evaluation.batch_size,
            num_workers=config.data.num_workers,
            accelerator=self.accelerator,
            progress=config.run.progress,
        )
        self.unreadable |= dict.fromkeys(found.unreadable)
        facts = found.lens.describe()
        if validation:
            score = self._evaluate_held_out().report.metrics[evaluation.metric]
            facts["held_out"] = {"metric": evaluation.metric, "plain": progress.best, "lens": score}
            self.model.config.lens_fit = facts
            if score <= progress.best:
                self.model.set_lens(None)
                self.model.config.lens = None
            progress.best = max(score, progress.best)
        elif self.chosen is not None and (scores := lens_on_held_out_classes(self.chosen)):
            self.model.config.lens_fit = facts = facts | {"held_out": scores}
        self.log.write("lens", progress.step, kept=self.model.config.lens_fit is not None, **facts)

    def _choose_rerank_weight(self) -> None:
        """Choose the weight of pair scores in re-ranking on the held-out classes, if there are any."""
        config, model, chosen = self.config, self.model.config, None
        by_embedding = config.evaluation.expand is not None or config.evaluation.query != "sketch"
        if not self.split.validation or by_embedding:
            return
        evaluation, metric = self._evaluate_held_out("rerank"), config.evaluation.metric
        if self.accelerator.is_main_process:
            task = config.evaluation.task(config.data.benchmark, config.data.level)
            found = choose_rerank_weight(self.model, self.split.validation, task, evaluation, metric)
            scores, chosen = list(found.items()), model.rerank_weight
            self.log.write("rerank", self.progress.step, weight=chosen, metric=metric, scores=scores)
        model.rerank_weight = broadcast_object_list([chosen])[0]

    def _finish(self, steps: int) -> TrainingResult:
        """Complete the model, test it and save it. `steps` is the number of steps since the run was resumed."""
        self._complete_model()
        result = self._result(steps, self._test())
        baseline = self._evaluate_frozen_clip() if result.test is not None else None
        if self.accelerator.is_main_process:
            machine = describe_environment(self.accelerator.device, self.model.dtype)
            self.model.adapter.facts = training_facts(self.config, result, baseline, machine)
            self.model.save_pretrained(self.folder, processor=self.processor)
            result.save(self.folder / "results.json")
            self.publisher.finished(self.folder)
        self.accelerator.wait_for_everyone()
        return result

    def _complete_model(self) -> None:
        """Load the best or final weights, and compute what is not learnt by steps: categories, lens, weights."""
        if self.split.validation and self.total_steps:
            load_adapter_tensors(self.model, load_file(recover_folder(self.best) / ADAPTER_WEIGHTS))
        else:
            self.progress.best_step = self.progress.step
            self.final.apply()
        self.model.eval()
        if self.model.is_conditional:
            # The training classes are saved with the model as a part of what it has learnt.
            tables = self.split.training["train_sketch"], self.split.training["train_photo"]
            show_categories(self.model, self.processor, *tables, progress=self.config.run.progress)
        if self.model.config.lens is not None:
            self._fit_lens()
        if getattr(self.model.config, "rerank_weight", None) is not None:
            self._choose_rerank_weight()

    def _test(self) -> Report | None:
        """The report on the unseen classes; None if it is switched off."""
        config, progress = self.config, self.progress
        if not config.evaluation.test:
            return None
        report = self._evaluate(self.benchmark, config.data.benchmark).report
        self.log.write("test", progress.step, best_step=progress.best_step, metrics=report.metrics)
        return replace(report, seed=config.run.seed, recipe=without_seed(public_recipe(config)))

    def _result(self, steps: int, test: Report | None) -> TrainingResult:
        progress, config = self.progress, self.config
        triplets = steps * config.optimisation.batch_size
        return TrainingResult(
            output_dir=self.folder,
            method=self.model.method,
            benchmark=config.data.benchmark,
            classes=len(self.split.class_names),
            steps=progress.step,
            epochs=progress.epoch,
            best_step=progress.best_step,
            metric=config.evaluation.metric,
            validation=progress.best if self.chosen is None else self.chosen.validation,
            test=test,
            seconds=round(progress.seconds, 1),
            triplets_per_second=round(triplets / max(self.training_seconds, 1e-9), 1),
            peak_memory_mb=peak_memory(self.accelerator.device),
            unreadable=sorted(set(gather_object(list(self.unreadable)))),
        )
