import pytest
import yaml

from fakes.clip import write_clip
from sketch_prompt.evaluation import Task
from sketch_prompt.models.auto import SketchPromptModel
from sketch_prompt.models.clip_at import ClipAtConfig, ClipAtModel
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.recipe import RecipeError

RECIPE = """
model:
  method: clip-at
  base_model: mini-clip
  triplet_margin: 0.2
data:
  benchmark: mini
processor:
  sketch_crop_margin: true
optimisation:
  learning_rate: 1e-3
  learning_rates: {layer_norms: 1e-4}
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "training.yaml"
    file.write_text(RECIPE)
    return file


def test_a_recipe_is_read_with_its_methods_fields(path):
    config = TrainingConfig.load(path)
    assert config.optimisation.learning_rate == 1e-3  # PyYAML alone reads a string here
    assert config.optimisation.learning_rates == {"layer_norms": 1e-4}
    assert config.model.config.triplet_margin == 0.2
    assert config.processor == {"sketch_crop_margin": True}
    assert config.output_dir.as_posix() == "runs/clip-at-mini"


def test_the_configuration_of_a_method_is_built_once_and_copied_to_the_model(path, tmp_path, monkeypatch):
    base_model, built = str(write_clip(tmp_path / "clip")), []
    check = ClipAtConfig.check_values
    monkeypatch.setattr(ClipAtConfig, "check_values", lambda config: (built.append(config), check(config)))
    recipe = TrainingConfig.load(path, [f"model.base_model={base_model}"]).model
    model = SketchPromptModel.from_base_model(recipe.method, base_model, config=recipe.config)
    assert len(built) == 1 and model.config.triplet_margin == 0.2
    model.config.class_names = ["cat", "dog"]
    assert recipe.config.class_names is None
    with pytest.raises(TypeError, match="not both: n_prompts"):
        ClipAtModel.from_base_model(base_model, config=recipe.config, n_prompts=3)


def test_a_folder_stands_for_its_training_yaml(path):
    assert TrainingConfig.load(path.parent) == TrainingConfig.load(path)


def test_what_is_written_reads_back_the_same(path, tmp_path):
    config = TrainingConfig.load(path, ["run.seed=7", "data.options.split=sketchy-25"])
    (tmp_path / "again.yaml").write_text(config.to_yaml())
    assert TrainingConfig.load(tmp_path / "again.yaml") == config


def test_overrides_are_yaml_and_reach_into_sections(path):
    config = TrainingConfig.load(
        path,
        [
            "optimisation.epochs=2",
            "optimisation.learning_rates.prompts=5e-2",
            "optimisation.max_gradient_norm=null",
            "evaluation.ks=[1, 5]",
            "evaluation.metric=P@5",
            "evaluation.test=false",
            "model.triplet_margin=0.25",
            "run.output_dir=a=b",
        ],
    )
    assert config.optimisation.epochs == 2
    assert config.optimisation.learning_rates == {"layer_norms": 1e-4, "prompts": 5e-2}
    assert (config.evaluation.ks, config.evaluation.metric, config.evaluation.test) == ([1, 5], "P@5", False)
    assert config.model.config.triplet_margin == 0.25
    assert config.run.output_dir == "a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimization.epochs=1", "unknown key optimization; did you mean 'optimisation'"),
        ("optimisation.batchsize=1", "unknown key optimisation.batchsize; did you mean 'batch_size'"),
        ("model.triplet_margn=1", "unknown key model.triplet_margn; did you mean 'triplet_margin'"),
        ("processor.sketch_crop=1", "processor: unknown key 'sketch_crop'.*'sketch_crop_margin'"),
        ("data.augmentation.flipp=1", "unknown key data.augmentation.flipp; did you mean 'flip'"),
        ("data.augmentation.flip=2", "data.augmentation.flip must be a probability"),
        ("model.method=clipat", "model.method: no method 'clipat'; did you mean 'clip-at'"),
        ("model.triplet_margin=-1", "model: triplet_margin must be 0 or more"),
        ("model.base_model=null", "model.base_model: expected str, got NoneType"),
        ("optimisation.epochs=many", "optimisation.epochs: expected int, got str"),
        ("optimisation.epochs=true", "optimisation.epochs: expected int, got bool"),
        ("optimisation.epochs=0", "optimisation.epochs must be at least 1, got 0"),
        ("optimisation.learning_rate=fast", "optimisation.learning_rate: with value 'fast' doesn't match"),
        ("optimisation.learning_rates.prompts=-1", "learning_rates.prompts must be 0 or more"),
        ("optimisation.betas=[0.9]", "optimisation.betas must be two of"),
        ("optimisation.schedule=cosin", "optimisation.schedule: expected one of"),
        ("optimisation=3", "an override has the form section.key=value"),
        ("optimisation.epochs", "an override has the form section.key=value"),
        ("optimisation.epochs.x=3", None),
        ("optimisation.epochs=[1", "is not valid YAML"),
        ("evaluation.metric=mAP@7", "evaluation.metric must be one of mAP@all, mAP@100, P@100"),
        ("evaluation.metric=Acc@1", "evaluation.metric must be one of .* at category level"),
        ("data.level=photo", "data.level: "),
        ("data.batches=pairs", r"data.batches: expected one of \('triplets', 'one-category', 'pk'\)"),
        ("run.resume=maybe", r"run.resume: expected one of \('auto', 'never', 'must'\)"),
        ("data.validation_classes=1.5", "data.validation_classes must be a share below 1 or a whole number"),
        ("processor=", "an override has the form section.key=value"),
    ],
)
def test_a_mistake_is_an_error_that_names_its_place(path, override, message):
    if message is None:
        path.write_text(RECIPE + "  epochs: 3\n")
        message = "epochs is a value, not a section"
    with pytest.raises(RecipeError, match=message):
        TrainingConfig.load(path, [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {method: clip-at}\ndata: {benchmark: mini}", "model.base_model is missing"),
        ("model: {method: clip-at, base_model: x}", "data.benchmark is missing"),
        ("model: clip-at\ndata: {benchmark: mini}", "model must be a section of keys"),
        (RECIPE + "data: {benchmark: sketchy-21}", "the key 'data' occurs twice"),
        ("- model", "must have sections"),
        ("model: [", "is not valid YAML"),
    ],
)
def test_a_broken_recipe_is_an_error_that_names_its_place(path, text, message):
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        TrainingConfig.load(path)


@pytest.mark.parametrize(
    ("overrides", "level", "metric", "ks"),
    [
        ([], "category", "mAP@all", [100, 200]),
        (["data.level=instance"], "instance", "Acc@1", [1, 5, 10]),
        (["data.benchmark=sketchy-fg"], "instance", "Acc@1", [1, 5, 10]),
        (["data.benchmark=shoe-v2", "data.level=category", "evaluation.ks=[9]"], "category", "mAP@all", [9]),
        (["data.level=instance", "evaluation.ks=[3]"], "instance", "Acc@3", [3]),
    ],
)
def test_level_and_metric_are_the_benchmarks_unless_asked_otherwise(path, overrides, level, metric, ks):
    config = TrainingConfig.load(path, overrides)
    assert (config.data.level, config.evaluation.metric, config.evaluation.ks) == (level, metric, ks)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"there is no recipe '.*nowhere.yaml'"):
        TrainingConfig.load(tmp_path / "nowhere.yaml")


def test_the_resolved_recipe_spells_every_default_out(path):
    sections = yaml.safe_load(TrainingConfig.load(path).to_yaml())
    assert sections["optimisation"]["batch_size"] == 64
    assert sections["model"]["triplet_margin"] == 0.2 and "fields" not in sections["model"]


@pytest.mark.parametrize("old", ["given", "predicted", "auto", "null"])
def test_the_condition_may_have_its_old_name(path, old):
    changes = ["data.level=instance", f"evaluation.category={old}"]
    with pytest.warns(FutureWarning, match="evaluation: category is now called condition"):
        config = TrainingConfig.load(path, changes)
    assert config.evaluation.condition == old.replace("null", "none")
    with pytest.raises(ValueError, match="condition is given twice"), pytest.warns(FutureWarning):
        TrainingConfig.load(path, [*changes, "evaluation.condition=given"])


def test_the_benchmark_trained_on_may_have_its_old_name(path):
    with pytest.warns(FutureWarning, match=r"data\.options: train_protocol is now called train_benchmark"):
        config = TrainingConfig.load(path, ["data.options={train_protocol: sketchy-25}"])
    assert config.data.options == {"train_benchmark": "sketchy-25"}


def test_what_is_evaluated_is_the_task_that_the_recipe_describes(path):
    config = TrainingConfig.load(path, ["data.level=instance", "evaluation.gallery=all", "evaluation.ks=[2]"])
    task = config.evaluation.task("mini", config.data.level)
    assert task == Task("mini", "instance", gallery="all", condition="predicted", ks=[2])
    assert TrainingConfig.load(path, ["evaluation.gallery=category"]).evaluation.gallery == "all"
