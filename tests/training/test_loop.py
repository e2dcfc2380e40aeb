import gc
import json
import multiprocessing
import os
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from sketch_prompt.data.benchmarks import load_benchmark
from sketch_prompt.evaluation import Task, evaluate_model
from sketch_prompt.models.auto import SketchPromptModel
from sketch_prompt.models.clip_at import ClipAtModel
from sketch_prompt.processing import SketchPromptProcessor
from sketch_prompt.training import loop
from sketch_prompt.training.log import LossMeter, TrainingLog
from sketch_prompt.training.loop import DivergedError, train
from sketch_prompt.training.recipe import RecipeError


def adapter(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def assert_same_adapter(folder, other) -> None:
    ours, theirs = adapter(folder), adapter(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def step_lines(folder) -> list[dict]:
    """The lines of the log without what a clock says."""
    clocks = ("seconds", "triplets_per_second")
    lines = TrainingLog.lines(folder / "log.jsonl")
    return [{key: value for key, value in line.items() if key not in clocks} for line in lines]


def crash_at(monkeypatch, forward_passes: int) -> None:
    """Let the loop die in the middle of a later forward pass."""
    add, calls = LossMeter.add, []

    def failing(self, *losses):
        calls.append(1)
        if len(calls) == forward_passes:
            raise RuntimeError("power cut")
        return add(self, *losses)

    monkeypatch.setattr(LossMeter, "add", failing)


def test_a_run_leaves_a_checkpoint_a_log_and_results(recipe):
    config = recipe()
    result = train(config)
    folder = config.output_dir
    assert (result.steps, result.epochs, result.classes) == (9, 3, 2)
    results = json.loads((folder / "results.json").read_text())
    assert results["test"]["metrics"] == result.test.metrics and results["test"]["zero_shot"]
    assert results["validation"] == result.validation
    lines = TrainingLog.lines(folder / "log.jsonl")
    steps = [line for line in lines if line["event"] == "step"]
    assert [line["step"] for line in steps] == [2, 4, 6, 8, 9]
    assert steps[0]["terms"].keys() == {"triplet", "classification_sketch", "classification_photo"}
    assert steps[0]["learning_rate"] == {"prompts": 1e-3, "layer_norms": 1e-4}
    assert [line["epoch"] for line in lines if line["event"] == "validation"] == [1, 2, 3]
    model = SketchPromptModel.from_pretrained(folder)
    assert sorted(model.config.class_names) == model.config.class_names and len(model.config.class_names) == 2
    processor = SketchPromptProcessor.from_pretrained(folder)
    assert processor.image_processor.sketch_crop_margin
    data = config.data
    benchmark = load_benchmark(data.benchmark, data.data_dir, **data.options)
    task = Task("again", ks=[5])
    report = evaluate_model(model, processor, benchmark, task, batch_size=16, progress=False).report
    assert report.metrics == result.test.metrics


@pytest.mark.parametrize("batches", ["triplets", "one-category"])
def test_instance_level_trains_and_is_measured_by_accuracy(recipe, batches):
    result = train(recipe(data={"level": "instance", "batches": batches}, evaluation={"ks": [1, 3]}))
    assert result.metric == "Acc@1" and 0 <= result.validation <= 1
    assert result.test.level == "instance" and list(result.test.metrics) == ["Acc@1", "Acc@3"]


def test_the_model_is_told_of_every_epoch(recipe, monkeypatch):
    told = []
    monkeypatch.setattr(ClipAtModel, "begin_epoch", lambda self, *epoch: told.append(epoch))
    train(recipe(optimisation={"max_steps": 7}))
    assert told == [(0, 3), (1, 3), (2, 3)]


def test_the_same_seed_trains_the_same_and_another_seed_does_not(recipe, tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder, seed in zip(folders, (4, 4, 5)):
        train(recipe(run={"output_dir": str(folder), "seed": seed}, data={"validation_classes": 0}))
    assert_same_adapter(folders[0], folders[1])
    prompts = [adapter(folder)["adapter.sketch_prompts"] for folder in folders]
    assert not torch.equal(prompts[0], prompts[2])


def test_training_lowers_the_loss_and_changes_only_the_adapter(recipe, tiny_clip):
    before = {path.name: path.read_bytes() for path in tiny_clip.iterdir()}
    config = recipe(
        optimisation={"epochs": 30, "learning_rate": 0.02, "learning_rates": {}},
        data={"validation_classes": 0},
    )
    train(config)
    losses = [line["loss"] for line in TrainingLog.lines(config.output_dir / "log.jsonl") if "loss" in line]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert {path.name: path.read_bytes() for path in tiny_clip.iterdir()} == before
    assert not (config.output_dir / "model.safetensors").exists()


def test_the_checkpoint_is_the_best_on_the_held_out_classes_not_the_last(recipe, monkeypatch):
    scores = iter([0.2, 0.9, 0.5])
    evaluate = loop.evaluate_model

    def scored(model, processor, benchmark, task, **options):
        evaluation = evaluate(model, processor, benchmark, task, **options)
        if "held-out" in task.benchmark:
            evaluation.report.metrics["mAP@all"] = next(scores)
        return evaluation

    monkeypatch.setattr(loop, "evaluate_model", scored)
    config = recipe()
    result = train(config)
    assert (result.best_step, result.validation) == (6, 0.9)
    assert_same_adapter(config.output_dir, config.output_dir / "checkpoints/best")
    last = adapter(config.output_dir / "checkpoints/last")["adapter.sketch_prompts"]
    assert not torch.equal(adapter(config.output_dir)["adapter.sketch_prompts"], last)


def test_validation_never_sees_an_unseen_class(recipe, monkeypatch):
    seen = []
    evaluate = loop.evaluate_model

    def watched(model, processor, benchmark, task, **options):
        names = benchmark["test_photo"].features["label"].names
        seen.append((task.benchmark, {names[label] for label in benchmark["test_photo"]["label"]}))
        return evaluate(model, processor, benchmark, task, **options)

    monkeypatch.setattr(loop, "evaluate_model", watched)
    train(recipe(evaluation={"baseline": False}))  # which is tested on the unseen classes, too
    *validations, (_, test_classes) = seen
    assert test_classes == {"lens", "pin"} and len(validations) == 3
    assert all(not classes & test_classes for _, classes in validations)


@pytest.mark.parametrize("crash", [1, 4, 8])
def test_a_crashed_run_goes_on_to_the_same_end(recipe, tmp_path, monkeypatch, crash):
    options = {"optimisation": {"schedule": "cosine", "warmup_steps": 2}}
    whole = recipe(run={"output_dir": str(tmp_path / "whole")}, **options)
    train(whole)
    cut = recipe(run={"output_dir": str(tmp_path / "cut"), "save_every": 2}, **options)
    with monkeypatch.context() as context:
        crash_at(context, crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train(cut)
    result = train(cut)
    assert result.steps == 9
    assert_same_adapter(whole.output_dir, cut.output_dir)
    last = "checkpoints/last"
    assert_same_adapter(whole.output_dir / last, cut.output_dir / last)


def test_a_resumed_log_reads_as_if_nothing_had_happened(recipe, tmp_path, monkeypatch):
    whole, cut = (recipe(run={"output_dir": str(tmp_path / name)}) for name in ("whole", "cut"))
    train(whole)
    with monkeypatch.context() as context:
        crash_at(context, 6)
        with pytest.raises(RuntimeError, match="power cut"):
            train(cut)
    train(cut)
    means = [line.get("loss") for line in step_lines(whole.output_dir)]
    # Step 4's line averages steps 3 and 4, and step 3 was in the sitting before.
    resumed = [line.get("loss") for line in step_lines(cut.output_dir)]
    assert resumed[0] == means[0] and resumed[3:] == means[3:]
    steps = [(line["event"], line["step"]) for line in step_lines(whole.output_dir)]
    assert [(line["event"], line["step"]) for line in step_lines(cut.output_dir)] == steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_saved_after_its_step_and_goes_on(recipe, tmp_path, monkeypatch, number):
    whole, cut = (recipe(run={"output_dir": str(tmp_path / name)}) for name in ("whole", "cut"))
    train(whole)
    with monkeypatch.context() as context:
        add, calls = LossMeter.add, []

        def interrupting(self, *losses):
            calls.append(1)
            if len(calls) == 5:
                os.kill(os.getpid(), number)
            return add(self, *losses)

        context.setattr(LossMeter, "add", interrupting)
        with pytest.raises(
            KeyboardInterrupt, match="stopped after step 5 of 9; the same command continues the run"
        ):
            train(cut)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert handlers == (signal.default_int_handler, signal.SIG_DFL)
    train(cut)
    assert_same_adapter(whole.output_dir, cut.output_dir)


@pytest.mark.parametrize("crash", [False, True])
def test_no_process_of_the_loader_outlasts_the_training(recipe, monkeypatch, crash):
    # They ignore SIGTERM, so the interpreter would wait for them for ever when it ends.
    gc.disable()
    try:
        if crash:
            crash_at(monkeypatch, 3)
            with pytest.raises(RuntimeError, match="power cut"):
                train(recipe(data={"num_workers": 1}))
        else:
            train(recipe(data={"num_workers": 1}, optimisation={"max_steps": 2}))
        assert multiprocessing.active_children() == []
    finally:
        gc.enable()
        for process in multiprocessing.active_children():
            process.kill()


def test_a_finished_run_is_not_trained_again(recipe):
    config = recipe()
    first = train(config)
    before = adapter(config.output_dir)["adapter.photo_prompts"]
    again = train(config)
    assert again.steps == first.steps and again.test.metrics == first.test.metrics
    assert torch.equal(adapter(config.output_dir)["adapter.photo_prompts"], before)


def test_more_epochs_lengthen_a_finished_run(recipe, tmp_path):
    train(recipe(optimisation={"epochs": 1}))
    assert train(recipe()).steps == 9
    train(recipe(run={"output_dir": str(tmp_path / "at once")}))
    assert_same_adapter(recipe().output_dir / "checkpoints/last", tmp_path / "at once" / "checkpoints/last")


def test_resuming_with_another_recipe_is_refused_and_starting_afresh_is_not(recipe):
    train(recipe(optimisation={"epochs": 1}))
    changed = {"optimisation": {"epochs": 1, "learning_rate": 0.5}}
    with pytest.raises(RecipeError, match=r"optimisation.learning_rate=0.001, not 0.5.*run.resume=never"):
        train(recipe(**changed))
    with pytest.raises(RecipeError, match=r"data.validation_classes=0.5, not 0"):
        train(recipe(data={"validation_classes": 0}))
    assert train(recipe(**changed, run={"resume": "never"})).steps == 3


def test_must_resume_needs_something_to_resume(recipe):
    with pytest.raises(FileNotFoundError, match=r"run.resume is 'must', but"):
        train(recipe(run={"resume": "must"}))


def test_accumulated_gradients_train_as_one_batch(recipe, tmp_path):
    folders = [tmp_path / "one", tmp_path / "four"]
    for folder, parts in zip(folders, (1, 4)):
        optimisation = {"gradient_accumulation_steps": parts, "max_gradient_norm": 0.5}
        result = train(recipe(run={"output_dir": str(folder)}, optimisation=optimisation))
        assert result.steps == 9
    for one, four in zip(adapter(folders[0]).values(), adapter(folders[1]).values()):
        torch.testing.assert_close(one, four, atol=1e-5, rtol=1e-4)


def test_accumulation_warns_where_a_loss_looks_at_the_whole_batch(recipe, caplog):
    fields = {"method": "splip", "sketch_prompt": "a {}", "photo_prompt": "b {}"}
    parts = {"max_steps": 1, "gradient_accumulation_steps": 2, "learning_rates": {}}
    with caplog.at_level("WARNING", logger="sketch_prompt.training.batches"):
        train(recipe(optimisation=parts))
        assert not caplog.records
        train(recipe(model=fields, optimisation=parts, run={"resume": "never"}))
    (record,) = caplog.records
    assert "B_t takes a mean among 2 triplets at a time instead of 4" in record.getMessage()
    assert "gradient_checkpointing" in record.getMessage()


@pytest.mark.parametrize(
    "options",
    [
        {"optimisation": {"gradient_checkpointing": True}},
        {"data": {"num_workers": 2}},
        {"data": {"augmentation": {"flip": 0.5, "rotation": 10}, "num_workers": 1}},
    ],
    ids=["checkpointing", "workers", "augmentation"],
)
def test_what_makes_a_run_cheaper_does_not_change_it(recipe, tmp_path, options):
    plain = {"data": {"augmentation": options.get("data", {}).get("augmentation", {})}}
    train(recipe(run={"output_dir": str(tmp_path / "plain")}, **plain))
    train(recipe(run={"output_dir": str(tmp_path / "other")}, **options))
    plain, other = adapter(tmp_path / "plain"), adapter(tmp_path / "other")
    for name, tensor in plain.items():
        torch.testing.assert_close(tensor, other[name], atol=1e-6, rtol=1e-5)


def test_the_references_trainable_set_trains_in_the_loop(recipe):
    config = recipe(model={"trainable": "reference"}, optimisation={"epochs": 1, "learning_rates": {}})
    train(config)
    assert any("q_proj" in name for name in adapter(config.output_dir))


def test_max_steps_ends_a_run_within_an_epoch(recipe):
    config = recipe(optimisation={"max_steps": 4})
    result = train(config)
    assert (result.steps, result.epochs) == (4, 1)
    assert [line["step"] for line in step_lines(config.output_dir) if line["event"] == "validation"] == [3, 4]


def test_unreadable_training_images_are_replaced_and_listed(recipe, sketch_folder, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(sketch_folder, copy)
    for name in ("disc", "square", "roof", "slice"):
        (copy / "sketch" / name / "2-1.png").write_bytes(b"no image")
    result = train(recipe(data={"data_dir": str(copy)}))
    assert len(result.unreadable) >= 2 and all("2-1.png" in record for record in result.unreadable)
    listed = json.loads((result.output_dir / "results.json").read_text())["unreadable"]
    assert listed == result.unreadable


def test_a_loss_that_is_no_number_stops_the_run_and_says_what_to_do(recipe):
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at step \d+: lower"):
        train(recipe(optimisation={"learning_rate": 1e30, "learning_rates": {}}))


def test_the_baseline_has_nothing_to_train(recipe):
    with pytest.raises(ValueError, match="frozen-clip has nothing to train"):
        train(recipe(model={"method": "frozen-clip"}, optimisation={"learning_rates": {}}))


def test_a_tracker_that_is_not_installed_is_named(recipe):
    with pytest.raises(RecipeError, match=r"run.trackers: wandb is not installed"):
        train(recipe(run={"trackers": ["wandb"]}))


def test_tensorboard_gets_the_numbers(recipe):
    pytest.importorskip("tensorboard", reason="the `train` extra is not installed")
    config = recipe(run={"trackers": ["tensorboard"]}, optimisation={"epochs": 1})
    train(config)
    assert list(config.output_dir.rglob("events.out.tfevents.*"))


def test_a_method_that_embeds_under_categories_trains_evaluates_and_keeps_its_classes(recipe, tmp_path):
    model = {"method": "dp-clip", "rank": 2, "scale_hidden": 8, "text_templates": "class_prompt"}
    config = recipe(
        model=model,
        data={"level": "instance", "batches": "one-category"},
        optimisation={"epochs": 2, "learning_rates": {}},
        evaluation={"ks": [1]},
    )
    result = train(config)
    assert result.metric == "Acc@1" and result.test.condition == "given"
    again = SketchPromptModel.from_pretrained(result.output_dir)
    assert again.categories == again.config.class_names and len(again.categories) == 2


@pytest.mark.parametrize("held_out", [0, 0.5])
def test_a_method_that_learns_nothing_but_its_lens_is_fitted(recipe, held_out):
    config = recipe(
        model={"method": "sketch-lens", "lens": "none"},
        data={"validation_classes": held_out},
        optimisation={"learning_rates": {}},
    )
    result = train(config)
    assert (result.steps, result.epochs, result.method) == (0, 0, "sketch-lens")
    model = SketchPromptModel.from_pretrained(result.output_dir)
    log = [json.loads(line) for line in (result.output_dir / "log.jsonl").read_text().splitlines()]
    (fitted,) = [line for line in log if line["event"] == "lens"]
    assert fitted["drawings"] == 6 * (4 if not held_out else 2)
    if held_out:
        scores = fitted["held_out"]
        assert result.validation == max(scores["plain"], scores["lens"])
        assert fitted["kept"] == (scores["lens"] > scores["plain"])
    assert (model.adapter.lens_mean is not None) == fitted["kept"]
    assert result.test.lens == ("none" if fitted["kept"] else None)


def test_a_trained_method_keeps_its_lens_where_it_helps_on_held_out_classes(recipe):
    result = train(recipe(model={"lens": "none"}, optimisation={"epochs": 1}))
    log = [json.loads(line) for line in (result.output_dir / "log.jsonl").read_text().splitlines()]
    (fitted,) = [line for line in log if line["event"] == "lens"]
    (validated,) = [line for line in log if line["event"] == "validation"]
    assert fitted["held_out"]["plain"] == validated["metrics"][result.metric]
    model = SketchPromptModel.from_pretrained(result.output_dir)
    assert (model.adapter.lens_mean is not None) == fitted["kept"] == (model.config.lens == "none")
    if fitted["kept"]:
        assert "A lens is applied to sketch features" in (result.output_dir / "README.md").read_text()
