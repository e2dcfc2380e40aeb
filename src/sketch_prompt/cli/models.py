"""`train`, `explain` and `convert`: making models, and looking into them."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import (
    DEFAULT_MODEL,
    BaseModelOption,
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
    output: OutputOption = None,
    list_recipes: Annotated[
        bool, typer.Option("--list", help="Print the names of all recipes instead.")
    ] = False,
) -> None:
    """Train a method from a recipe. The same command resumes a run that was stopped.

    An option is short for the key of the recipe that it replaces: --data-dir for data.data_dir, --base-model for
    model.base_model, --epochs and --batch-size for those of optimisation, --seed for run.seed, --output for
    run.output_dir. On several GPUs: accelerate launch -m sketch_prompt train, with the same arguments.

    \b
    Examples:
      sketch-prompt train clip-at-mini -o runs/first
      sketch-prompt train clip-at-sketchy-21 --data-dir /data/Sketchy --seed 1
      sketch-prompt train clip-at-mini optimisation.learning_rate=1e-3
    """
    if list_recipes:
        from sketch_prompt.training.recipe import recipe_folders

        typer.echo("\n".join(sorted(recipe_folders())))
        return
    if recipe is None:
        raise ValueError("which recipe? `sketch-prompt train --list` prints the names of all")
    from accelerate import PartialState

    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.loop import train as run

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
    result = run(TrainingConfig.load(recipe, [*(overrides or ()), *given]))
    if PartialState().is_main_process:
        if result.test is not None:
            print_report(result.test)
        typer.echo(
            f"Wrote {result.output_dir}: the checkpoint after step {result.best_step} of {result.steps}",
            err=True,
        )


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
    from sketch_prompt.hub.conversion import from_reference, load_reference_checkpoint

    from_reference(method, load_reference_checkpoint(checkpoint)).save_pretrained(output)
    typer.echo(f"Wrote {output}", err=True)
