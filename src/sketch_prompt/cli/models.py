"""`train`, `fit`, `explain`, `convert` and `models`: making models, and looking into them."""

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
    JsonOption,
    ModelOption,
    OutputOption,
    print_report,
)


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="The name of a recipe, such as clip-at-mini; a YAML file; or a folder with a training.yaml.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Values that replace those of the recipe."),
    ] = None,
    data_dir: DataDirOption = None,
    base_model: BaseModelOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of passes over the sketches.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Triplets in one optimiser step, over all processes together.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn at random.")] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(metavar="N...", help="Several seeds: a run for each, and a comparison of them."),
    ] = None,
    output: OutputOption = None,
    list_recipes: Annotated[
        bool, typer.Option("--list", help="Print the names of all recipes instead.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the recipe instead, every key with its value.")
    ] = False,
) -> None:
    """Train a method from a recipe. The same command resumes a run that was stopped.

    An option is short for the key of the recipe that it replaces: --data-dir for data.data_dir, --base-model for
    model.base_model, --epochs and --batch-size for those of optimisation, --seed for run.seed, --output for
    run.output_dir. With --seeds, the run of seed 1 is in seed-1 of that folder. Pictures have the size that the base
    model sees. On several GPUs: accelerate launch -m sketch_prompt train, with the same arguments.

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
        raise ValueError("which recipe? `sketch-prompt train --list` prints the names of all")
    if seed is not None and seeds:
        raise typer.BadParameter("give --seed or --seeds")
    from sketch_prompt.training.config import TrainingConfig

    options = {
        "data.data_dir": data_dir,
        "model.base_model": base_model,
        "optimisation.epochs": epochs,
        "optimisation.batch_size": batch_size,
        "run.seed": seed,
        "run.output_dir": output,
    }
    # As JSON, which is YAML: a folder may be called "a: b".
    given = [
        f"{key}={json.dumps(value if isinstance(value, int) else str(value))}"
        for key, value in options.items()
        if value is not None
    ]
    config = TrainingConfig.load(recipe, [*(overrides or ()), *given])
    if show:
        typer.echo(config.to_yaml(), nl=False)
    elif seeds:
        _train_seeds(config, seeds)
    else:
        _train_one(config)


def _train_one(config):
    """Train, and say on the first process what came of it."""
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
    """A run for each seed, in a folder of its own; then their mean and deviation."""
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
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="As for train.")],
    ranges: Annotated[
        list[str],
        typer.Argument(
            metavar="SECTION.KEY=RANGE...",
            help="What to vary: LOW:HIGH, LOW:HIGH:log or [ONE, OTHER]. A key with a single value is set for all.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the trials and of best.yaml.")
    ],
    trials: Annotated[int, typer.Option(min=1, help="Number of trainings.")] = 20,
    data_dir: DataDirOption = None,
    base_model: BaseModelOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the values that are drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Search for good values in a recipe: many trainings, compared on classes that are held out of the seen ones.

    The unseen classes are never looked at. The same command goes on with a sweep that was stopped. Needs the extra
    sweep (Optuna).

    \b
    Examples:
      sketch-prompt sweep clip-at-mini optimisation.learning_rate=1e-4:1e-1:log model.n_prompts=1:6 -o sweeps/first
    """
    from sketch_prompt.training.sweep import sweep as run

    options = {"data.data_dir": data_dir, "model.base_model": base_model}
    given = [f"{key}={json.dumps(str(value))}" for key, value in options.items() if value is not None]
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
    typer.echo(f"{found.metric} {found.best:.4f} in {found.trials} trainings. Wrote {found.recipe}", err=True)


def list_models(as_json: JsonOption = False) -> None:
    """List what can be loaded by name: size, licence, what it is good for, and a number with its source.

    The checkpoints come with the package; the CLIPs are downloaded from the Hub on first use. Any other CLIP on the
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
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo it is compared with.")],
    model: ModelOption = DEFAULT_MODEL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Figure to write: .png, .pdf, .svg, ...")
    ] = None,
    kind: Annotated[
        Literal["matches", "heatmap", "synthesis", "all"], typer.Option(help="What to draw.")
    ] = "all",
    as_json: JsonOption = False,
    category: Annotated[
        str | None, typer.Option(help="Category of both, for a method with conditions (dp-clip).")
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
        raise ValueError(f"{loaded.method} compares pictures without categories: leave out --category")
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
    """Convert a checkpoint of a paper's own code, with its CLIP, to a checkpoint of sketch-prompt.

    No code in the file is executed. Tensors that the paper's code never uses are listed and left out.

    \b
    Example:
      sketch-prompt convert clip-at last.ckpt -o clip-at
    """
    from sketch_prompt.models.conversion import from_reference, load_reference_checkpoint

    from_reference(method, load_reference_checkpoint(checkpoint)).save_pretrained(output)
    typer.echo(f"Wrote {output}", err=True)


def fit(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the lens.")],
    base_model: Annotated[
        str, typer.Option(help="Directory, Hub id or bundled name of the CLIP to fit a lens for.")
    ] = "openai/clip-vit-base-patch32",
    sketches: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|BENCHMARK",
            help="Your drawings (<class>/* or <class>.ndjson), which join the bundled doodles; or a benchmark, whose "
            "seen classes take the place of both.",
        ),
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your photos, in a folder for each class.")
    ] = None,
    targets: Annotated[
        TargetKind | None,
        typer.Option(
            help="What sketches are mapped to: the photos of their class, its text, both, the photo that each draws, "
            "or nothing (centring alone). By default photos where there are any, and texts for the other classes."
        ),
    ] = None,
    exclude_class: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A class to leave out, to test on it; may be repeated."),
    ] = None,
    doodles: Annotated[bool, typer.Option(help="Use the bundled doodles beside --sketches DIR.")] = True,
    penalty: Annotated[
        float | None,
        typer.Option(
            help="lambda: how strongly the map is pulled to none. By default chosen on classes held out."
        ),
    ] = None,
    ambiguity: Annotated[
        bool,
        typer.Option("--ambiguity", help="Let drawings that look like several classes count for less."),
    ] = False,
    data_dir: DataDirOption = None,
    line_width: Annotated[
        float,
        typer.Option(min=0, help="Least width of a drawn line, in the pixels that the CLIP sees."),
    ] = 1.5,
    batch_size: BatchSizeOption = 64,
    num_workers: Annotated[int, typer.Option(min=0, help="Number of processes that read images.")] = 0,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a lens: a linear map on the features of sketches, for any CLIP, in about a minute.

    Photos keep the features that they have, so a gallery made with this CLIP is searched with the lens as it is.
    Without --sketches and --photos it is fitted on the bundled doodles (Quick, Draw!) and the texts of their classes.

    \b
    Examples:
      sketch-prompt fit --base-model openai/clip-vit-base-patch32 -o my-lens
      sketch-prompt fit --base-model mini-clip --photos photos/ --exclude-class cat -o my-lens
      sketch-prompt fit --base-model mini-clip --sketches mini -o mini-lens
      sketch-prompt search gallery drawing.png --model my-lens
    """
    import json

    from sketch_prompt.lens.tables import fit_model_lens, lens_tables
    from sketch_prompt.models.loading import load_model
    from sketch_prompt.models.sketch_lens import SketchLensModel
    from sketch_prompt.processing import SketchPromptProcessor

    tables = lens_tables(sketches, photos, data_dir, doodles)
    # The frozen CLIP on the device that was asked for.
    clip = load_model("frozen-clip", base_model, device)[0].clip
    config = SketchLensModel.config_class(base_model=base_model)
    model = SketchLensModel(config, backbone=clip)
    processor = SketchPromptProcessor.from_base_model(
        base_model, sketch_crop_margin=True, sketch_line_width=line_width
    )
    result = fit_model_lens(
        model,
        processor,
        *tables,
        targets,
        exclude_classes=exclude_class or (),
        penalty=penalty,
        ambiguity=ambiguity,
        batch_size=batch_size,
        num_workers=num_workers,
    )
    model.save_pretrained(output, processor=processor)
    if as_json:
        facts = {"targets": result.targets, "classes": len(result.class_names), **result.lens.describe()}
        typer.echo(json.dumps(facts | {"unreadable": result.unreadable}, indent=2))
    for image in result.unreadable:
        typer.echo(f"Left out {image}", err=True)
    for note in result.lens.notes:
        typer.echo(f"Note: {note}", err=True)
    chosen = "no map" if result.lens.map is None else f"lambda {result.lens.penalty:g}"
    typer.echo(
        f"Wrote {output}: {result.lens.drawings:,} drawings of {len(result.class_names)} classes, "
        f"targets {result.targets}, {chosen}",
        err=True,
    )
