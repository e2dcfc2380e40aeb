"""`train`, `sweep`, `fit`, `convert`, `explain` and `models`: make models and look into them."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from sketch_prompt.vocabulary import TargetKind

from .command import (
    DEFAULT_MODEL,
    BaseModelOption,
    BatchSizeOption,
    DataDirOption,
    DeviceOption,
    FigureOption,
    JsonOption,
    ModelOption,
    NumWorkersOption,
    print_report,
)

# The options of `train`.
OptionalRecipe = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        help="Name of a recipe, such as clip-at-mini; a YAML file; or a folder with a training.yaml.",
    ),
]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Values that replace those of the recipe."),
]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Number of passes over the sketches.")]
StepSizeOption = Annotated[
    int | None,
    typer.Option(min=1, help="Number of triplets in an optimiser step, in all processes together."),
]
SeedOption = Annotated[int | None, typer.Option(help="Random seed of the run.")]
SeedsOption = Annotated[
    list[int] | None,
    typer.Option(metavar="N...", help="Train once with each of these seeds and compare the runs."),
]
RunOutput = Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the run.")]
ListOption = Annotated[bool, typer.Option("--list", help="Only print the names of all recipes.")]
ShowOption = Annotated[bool, typer.Option("--show", help="Only print the recipe, with all keys and values.")]


def train(
    recipe: OptionalRecipe = None,
    overrides: OverridesArgument = None,
    data_dir: DataDirOption = None,
    base_model: BaseModelOption = None,
    epochs: EpochsOption = None,
    batch_size: StepSizeOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = None,
    output: RunOutput = None,
    list_recipes: ListOption = False,
    show: ShowOption = False,
) -> None:
    """Train a method from a recipe. Run the same command again to resume a run that was stopped.

    The options are short for keys of the recipe: --data-dir for data.data_dir, --base-model for model.base_model,
    --epochs and --batch-size for the keys in optimisation, --seed for run.seed, --output for run.output_dir. With
    --seeds, each run gets a folder of its own in --output: seed-0, seed-1, ... Images are resized to the input size of
    the base model. On several GPUs, run accelerate launch -m sketch_prompt train with the same arguments.

    \b
    Examples:
      sketch-prompt train clip-at-mini -o runs/first
      sketch-prompt train clip-at-sketchy-21 --data-dir /data/Sketchy --seeds 0 1 2
      sketch-prompt train clip-at-mini optimisation.learning_rate=1e-3

    \b
    Keys of every recipe (--show prints those of one, with their values):
      model         method base_model revision attn_implementation, and the
                    method's own
      data          benchmark data_dir options level batches
                    sketches_per_class training_classes training_share
                    validation_classes refit num_workers min_image_size
                    feature_cache augmentation
      processor     size photo_resize sketch_resize photo_pad_color
                    sketch_crop_margin sketch_margin sketch_line_width
                    do_normalize normalization image_mean image_std resample
      optimisation  epochs max_steps batch_size gradient_accumulation_steps
                    optimizer learning_rate learning_rates weight_decay
                    betas schedule schedule_steps warmup_steps
                    max_gradient_norm mixed_precision gradient_checkpointing
                    ema_decay wise_ft_alpha
      evaluation    gallery condition support convention ks ranking
                    shortlist sample work_dir pair_dtype query expand
                    every_epochs metric batch_size test baseline
      run           output_dir seed resume log_every save_every trackers
                    progress hub_model_id hub_strategy hub_private
    """
    if list_recipes:
        from sketch_prompt.training.recipe import recipe_folders

        typer.echo("\n".join(sorted(recipe_folders())))
        return
    if recipe is None:
        raise ValueError("no recipe given; `sketch-prompt train --list` prints the names of all recipes")
    if seed is not None and seeds:
        raise typer.BadParameter("give --seed or --seeds")
    from sketch_prompt.training.config import TrainingConfig

    options = {"data.data_dir": data_dir, "model.base_model": base_model}
    options |= {"optimisation.epochs": epochs, "optimisation.batch_size": batch_size}
    options |= {"run.seed": seed, "run.output_dir": output}
    config = TrainingConfig.load(recipe, [*(overrides or ()), *_as_overrides(options)])
    if show:
        typer.echo(config.to_yaml(), nl=False)
    elif seeds:
        _train_seeds(config, seeds)
    else:
        _train_one(config)


def _as_overrides(options: dict[str, Path | str | int | None]) -> list[str]:
    """Options that were given, as KEY=VALUE."""
    # JSON is YAML too. It quotes strings: a folder may be called "a: b".
    return [
        f"{key}={json.dumps(value if isinstance(value, int) else str(value))}"
        for key, value in options.items()
        if value is not None
    ]


def _train_one(config):
    """Train. The first process prints the result."""
    from accelerate import PartialState

    from sketch_prompt.training.loop import train as run

    result = run(config)
    if PartialState().is_main_process:
        if result.test is not None:
            print_report(result.test)
        typer.echo(
            f"Wrote {result.output_dir}: the checkpoint after step {result.best_step} of {result.steps}",
            err=True,
        )
    return result


def _train_seeds(config, seeds: list[int]) -> None:
    """Train once with each seed, each time in its own folder, and print the mean and deviation."""
    import dataclasses

    from accelerate import PartialState

    from sketch_prompt.evaluation.comparison import compare

    reports = []
    for seed in dict.fromkeys(seeds):
        folder = str(config.output_dir / f"seed-{seed}")
        run = dataclasses.replace(config.run, seed=seed, output_dir=folder)
        reports.append(_train_one(config.with_sections(run=run)).test)
    if PartialState().is_main_process and all(report is not None for report in reports):
        print_report(compare(reports))


def sweep(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Recipe, as for train.")],
    ranges: Annotated[
        list[str],
        typer.Argument(
            metavar="SECTION.KEY=RANGE...",
            help="Values to try: LOW:HIGH, LOW:HIGH:log or [ONE, OTHER]. KEY=VALUE sets the same value in all trials.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the trials and of best.yaml.")
    ],
    trials: Annotated[int, typer.Option(min=1, help="Number of trials.")] = 20,
    data_dir: DataDirOption = None,
    base_model: BaseModelOption = None,
    seed: Annotated[int, typer.Option(help="Random seed of the values to try.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Search for good hyper-parameters of a recipe. Trials are compared on classes held out of the seen ones.

    The unseen classes are never used. Run the same command again to continue a sweep that was stopped. Needs
    sketch-prompt[sweep] (Optuna).

    \b
    Examples:
      sketch-prompt sweep clip-at-mini optimisation.learning_rate=1e-4:1e-1:log model.n_prompts=1:6 -o sweeps/first
    """
    from sketch_prompt.training.sweep import sweep as run

    given = _as_overrides({"data.data_dir": data_dir, "model.base_model": base_model})
    varied = [
        text for text in ranges if ":" in text.partition("=")[2] or text.partition("=")[2].startswith("[")
    ]
    fixed = [text for text in ranges if text not in varied]
    found = run(recipe, varied, output, trials, [*fixed, *given], seed)
    if as_json:
        typer.echo(json.dumps({**vars(found), "recipe": str(found.recipe)}, indent=2))
        return
    for key, value in found.values.items():
        typer.echo(f"{key}={value}")
    typer.echo(f"{found.metric} {found.best:.4f} in {found.trials} trials. Wrote {found.recipe}", err=True)


def list_models(as_json: JsonOption = False) -> None:
    """List the models that can be loaded by name: size, licence, purpose, and a result with its source.

    The checkpoints are part of the package. The CLIPs are downloaded from the Hub on first use. Any other CLIP on the
    Hub in the format of transformers works too.

    \b
    Examples:
      sketch-prompt models
      sketch-prompt models --json
    """
    from sketch_prompt.catalogue import read_catalogue

    print_report(read_catalogue(), as_json=as_json)


def explain(
    sketch: Annotated[Path, typer.Argument(metavar="SKETCH", help="A drawing, dark on light.")],
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo to compare it with.")],
    model: ModelOption = DEFAULT_MODEL,
    output: FigureOption = None,
    kind: Annotated[
        Literal["matches", "heatmap", "synthesis", "all"], typer.Option(help="What to draw.")
    ] = "all",
    as_json: JsonOption = False,
    category: Annotated[
        str | None, typer.Option(help="Category of both images, for a method with conditions (dp-clip).")
    ] = None,
    base_model: BaseModelOption = None,
    device: DeviceOption = None,
) -> None:
    """Show which patches of a photo a model matches with which patches of a sketch.

    \b
    Examples:
      sketch-prompt explain drawing.png photo.jpg -o figure.png
      sketch-prompt explain drawing.png photo.jpg -m mini-zse-sbir --json
    """
    if output is None and not as_json:
        raise ValueError("nothing to write: give -o FIGURE.png, --json or both")
    from sketch_prompt.explain.figures import plot_explanation
    from sketch_prompt.models.loading import load_model
    from sketch_prompt.plotting import save_figure

    loaded, loaded.processor = load_model(model, base_model, device)
    if category is not None and not loaded.is_conditional:
        raise ValueError(f"{loaded.method} does not use categories: leave out --category")
    conditions = {} if category is None else {"category": category}
    correspondence = loaded.explain(sketch, photo, **conditions)
    if output is not None:
        save_figure(plot_explanation(correspondence, kind), output)
        typer.echo(f"Wrote {output}", err=True)
    if as_json:
        typer.echo(correspondence.to_json())


def convert(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method, such as clip-at.")],
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="The .pth, .ckpt or .safetensors file.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the checkpoint.")],
) -> None:
    """Convert a checkpoint that was trained with a paper's own code.

    The result includes the CLIP. No code in the file is executed. Tensors that the paper's code never uses are listed
    and left out.

    \b
    Example:
      sketch-prompt convert clip-at last.ckpt -o clip-at
    """
    from sketch_prompt.models.conversion import from_reference, load_reference_checkpoint

    from_reference(method, load_reference_checkpoint(checkpoint)).save_pretrained(output)
    typer.echo(f"Wrote {output}", err=True)


# The options of `fit`.
ClipOption = Annotated[
    str, typer.Option(help="Folder, Hub id or bundled name of the CLIP to fit a lens for.")
]
SketchesOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|BENCHMARK",
        help="Your drawings (<class>/* or <class>.ndjson), used together with the bundled doodles; or a benchmark, "
        "whose seen classes are used instead of photos and doodles.",
    ),
]
ClassPhotosOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Your photos, in one folder per class.")
]
TargetsOption = Annotated[
    TargetKind | None,
    typer.Option(
        help="What sketches are mapped to: the photos of their class, its text, both, the photo that each sketch "
        "draws, or nothing (only centring). The default is photos for classes that have them, and text for the others."
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A class to leave out, to test on it. May be repeated."),
]
DoodlesOption = Annotated[bool, typer.Option(help="Use the bundled doodles together with --sketches DIR.")]
PenaltyOption = Annotated[
    float | None,
    typer.Option(
        help="Penalty of the ridge regression (lambda). By default it is chosen on held-out classes."
    ),
]
AmbiguityOption = Annotated[
    bool, typer.Option("--ambiguity", help="Give less weight to drawings that look like several classes.")
]
FitLineWidthOption = Annotated[
    float,
    typer.Option(min=0, help="Make thin lines of drawings this wide, in pixels of the CLIP's input."),
]


def fit(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the lens.")],
    base_model: ClipOption = "openai/clip-vit-base-patch32",
    sketches: SketchesOption = None,
    photos: ClassPhotosOption = None,
    targets: TargetsOption = None,
    exclude_class: ExcludeOption = None,
    doodles: DoodlesOption = True,
    penalty: PenaltyOption = None,
    ambiguity: AmbiguityOption = False,
    data_dir: DataDirOption = None,
    line_width: FitLineWidthOption = 1.5,
    batch_size: BatchSizeOption = 64,
    num_workers: NumWorkersOption = 0,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a lens for any CLIP in about a minute. A lens is a linear map of the features of sketches.

    The features of photos do not change, so you can search an existing gallery of this CLIP with the lens. Without
    --sketches and --photos, the lens is fitted to the bundled doodles (Quick, Draw!) and the names of their classes.

    \b
    Examples:
      sketch-prompt fit --base-model openai/clip-vit-base-patch32 -o my-lens
      sketch-prompt fit --base-model mini-clip --photos photos/ --exclude-class cat -o my-lens
      sketch-prompt fit --base-model mini-clip --sketches mini -o mini-lens
      sketch-prompt search gallery drawing.png --model my-lens
    """
    from sketch_prompt.lens.tables import fit_model_lens, lens_tables
    from sketch_prompt.models.loading import load_model
    from sketch_prompt.models.sketch_lens import SketchLensModel
    from sketch_prompt.processing import SketchPromptProcessor

    tables = lens_tables(sketches, photos, data_dir, doodles)
    # load_model puts the CLIP on the device.
    clip = load_model("frozen-clip", base_model, device)[0].clip
    model = SketchLensModel(SketchLensModel.config_class(base_model=base_model), backbone=clip)
    settings = {"sketch_crop_margin": True, "sketch_line_width": line_width}
    processor = SketchPromptProcessor.from_base_model(base_model, **settings)
    options = {"exclude_classes": exclude_class or (), "penalty": penalty, "ambiguity": ambiguity}
    options |= {"batch_size": batch_size, "num_workers": num_workers}
    result = fit_model_lens(model, processor, *tables, targets, **options)
    model.save_pretrained(output, processor=processor)
    _print_fit(result, output, as_json)


def _print_fit(result, output: Path, as_json: bool) -> None:
    if as_json:
        facts = {"targets": result.targets, "classes": len(result.class_names), **result.lens.describe()}
        typer.echo(json.dumps(facts | {"unreadable": result.unreadable}, indent=2))
    for image in result.unreadable:
        typer.echo(f"Skipped {image}", err=True)
    for note in result.lens.notes:
        typer.echo(f"Note: {note}", err=True)
    chosen = "no map" if result.lens.map is None else f"lambda {result.lens.penalty:g}"
    typer.echo(
        f"Wrote {output}: {result.lens.drawings:,} drawings of {len(result.class_names)} classes, "
        f"targets {result.targets}, {chosen}",
        err=True,
    )
