"""The `sketch-prompt` command.

Commands only read arguments and call the package, whose modules they import themselves: the help is there at once.
Results go to stdout, progress and messages to stderr. A user's mistake is one message and exit code 1 (`--traceback`
before the command shows where it came from), a wrong argument is exit code 2, Ctrl-C 130.
"""

import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

import sketch_prompt

app = typer.Typer(
    name="sketch-prompt",
    help="Zero-shot sketch-based image retrieval on a frozen CLIP: you draw, it finds the photo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(no_args_is_help=True, help="Work with the benchmarks' data.")
app.add_typer(data_app, name="data")
_settings = {"traceback": False}
_DEFAULT_MODEL = "mini-clip-at"


class Convention(str, Enum):
    """How mAP and precision are computed."""

    standard = "standard"
    interpolated = "interpolated"


class Level(str, Enum):
    """What a right photo is."""

    category = "category"
    instance = "instance"


class GalleryScope(str, Enum):
    """What an instance-level query searches."""

    category = "category"
    all = "all"


class RankingChoice(str, Enum):
    """How photos are ranked."""

    embedding = "embedding"
    rerank = "rerank"
    exhaustive = "exhaustive"


class PairDtype(str, Enum):
    """Type of the encoded images that pairs are scored from."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Figure(str, Enum):
    """What is drawn of an explanation."""

    matches = "matches"
    heatmap = "heatmap"
    synthesis = "synthesis"
    all = "all"


class Category(str, Enum):
    """Which category a method embeds under that needs one."""

    auto = "auto"
    given = "given"
    predicted = "predicted"
    none = "none"


class Format(str, Enum):
    """How a report is printed."""

    table = "table"
    json = "json"
    markdown = "markdown"


class IndexKind(str, Enum):
    """How the photos of a gallery are searched."""

    auto = "auto"
    exact = "exact"
    hnsw = "hnsw"
    ivf_sq8 = "ivf-sq8"
    ivf_pq = "ivf-pq"
    milvus = "milvus"


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sketch-prompt {sketch_prompt.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    _settings["traceback"] = traceback


def one_message(command: Callable) -> Callable:
    """Turn what a user can cause into one message on stderr and exit code 1."""

    @functools.wraps(command)
    def guarded(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError) as error:
            if _settings["traceback"]:
                raise
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(130) from None

    return guarded


@app.command()
@one_message
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Directory, Hub id or bundled name of a checkpoint; or frozen-clip with --base-model.",
        ),
    ],
    benchmark: Annotated[
        str, typer.Option(help="Name of the benchmark: mini, sketchy-21, sketch-folder, ...")
    ],
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the benchmark's data.")] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Where to get the frozen CLIP, in place of what the checkpoint says.")
    ] = None,
    level: Annotated[
        Level | None,
        typer.Option(
            help="A right photo is of the sketch's class, or its own. By default what the benchmark is for."
        ),
    ] = None,
    gallery: Annotated[
        GalleryScope,
        typer.Option(help="At instance level, search the photos of the query's category or all."),
    ] = GalleryScope.category,
    convention: Annotated[
        Convention,
        typer.Option(
            help="Of category level: standard (SEM-PCYC, scikit-learn) or interpolated (ZSE-SBIR, SAKE)."
        ),
    ] = Convention.standard,
    category: Annotated[
        Category,
        typer.Option(
            help="For a method that embeds under a category (dp-clip): that of the image, the one it is taken for, "
            "or none. auto: given where a sketch searches its category's photos, else predicted."
        ),
    ] = Category.auto,
    k: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Cut-off of the metrics; may be repeated. 100 and 200, at instance level 1, 5 and 10."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Seen and unseen classes: a YAML file or a published protocol's name.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of what the benchmark draws at random.")] = None,
    setting: Annotated[
        str | None, typer.Option(help="zs, or gzs: the gallery also holds photos of seen classes.")
    ] = None,
    seen_share: Annotated[
        float | None, typer.Option(help="Share of each seen class's photos in the gallery of gzs.")
    ] = None,
    train_protocol: Annotated[
        str | None, typer.Option(help="The benchmark trained on, whose classes leave the test data.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Any other option of the benchmark; may be repeated."),
    ] = None,
    allow_seen: Annotated[
        bool,
        typer.Option("--allow-seen", help="Evaluate on classes seen in training, and say so in the report."),
    ] = False,
    ranking: Annotated[
        RankingChoice | None,
        typer.Option(
            help="By embedding, rerank (the first photos by embedding again, pair by pair) or exhaustive (every "
            "pair). By default rerank where the method can."
        ),
    ] = None,
    shortlist: Annotated[int, typer.Option(min=1, help="Photos a query that rerank scores again.")] = 100,
    work_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for what pairs need, in which a ranking that was cut off goes on."),
    ] = None,
    pair_dtype: Annotated[
        PairDtype | None, typer.Option(help="Type of what pairs need; bfloat16 takes half the room.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the report, its curve and sheets of queries.")
    ] = None,
    rankings: Annotated[int, typer.Option(min=0, help="Queries on each sheet.")] = 10,
    compare: Annotated[
        list[Path] | None,
        typer.Option(metavar="REPORT.JSON", help="Another report to draw into the curve; may be repeated."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="File to append one line to; results.jsonl in the output folder by default."),
    ] = None,
    format: Annotated[Format, typer.Option(help="What is printed.")] = Format.table,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a forward pass.")] = 64,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that read images.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, ...; by default a GPU if there is one.")
    ] = None,
) -> None:
    """Search a benchmark's photos of unseen classes with its sketches and report how well that goes.

    The classes must not have been seen in training: that is refused, and with --allow-seen said in the report. Under
    accelerate launch or torchrun the embedding is shared among the processes.
    """
    import torch

    from sketch_prompt.data.benchmarks import load_benchmark
    from sketch_prompt.evaluation import Report, Task, evaluate_task
    from sketch_prompt.evaluation.curves import check_comparable
    from sketch_prompt.evaluation.outputs import write_outputs
    from sketch_prompt.evaluation.report import RESULTS_FILE, append_result
    from sketch_prompt.models.loading import load_model

    named = {"setting": setting, "seen_share": seen_share, "train_protocol": train_protocol}
    options = _parse_options(option) | {name: value for name, value in named.items() if value is not None}
    task = Task(
        benchmark,
        level and level.value,
        gallery.value,
        convention.value,
        k or None,
        options.get("train_protocol"),
        allow_seen,
        ranking and ranking.value,
        shortlist,
        category=None if category is Category.none else category.value,
    )
    others = [Report.load(path) for path in compare or ()]
    check_comparable(others, task.level)
    loaded, processor = load_model(model, base_model, device)
    tables = load_benchmark(benchmark, data_dir, split=split, seed=seed, **options)
    evaluation = evaluate_task(
        loaded,
        processor,
        tables,
        task,
        source=model if base_model is None else f"{model} on {base_model}",
        work_dir=work_dir,
        pair_dtype=pair_dtype and getattr(torch, pair_dtype.value),
        batch_size=batch_size,
        num_workers=num_workers,
        accelerator=_accelerator(),
    )
    if evaluation is None:
        return
    if results is not None or output is not None:
        append_result(results or output / RESULTS_FILE, evaluation.report)
    if output is not None:
        written = write_outputs(output, evaluation, tables, rankings, others)
        typer.echo(f"Wrote {', '.join(str(path) for path in written)}", err=True)
    _print_report(evaluation.report, format)


@app.command()
@one_message
def reproduce(
    report: Annotated[
        list[Path],
        typer.Option(help="A results.jsonl of evaluate, or a folder with one; may be repeated."),
    ],
    format: Annotated[Format, typer.Option(help="What is printed.")] = Format.table,
) -> None:
    """Print the results of evaluations beside the numbers of the papers, one table a task."""
    from sketch_prompt.evaluation.report import read_results
    from sketch_prompt.evaluation.reproduction import reproduce as compare

    _print_report(compare(read_results(report)), format)


@app.command()
@one_message
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="Its name, such as clip-at-mini; a YAML file; or a folder with a training.yaml.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="In place of the recipe's values."),
    ] = None,
    list_recipes: Annotated[
        bool, typer.Option("--list", help="Print the names of all recipes instead.")
    ] = False,
) -> None:
    """Train a method from a recipe, or go on with a run that was cut off.

    On several GPUs: accelerate launch -m sketch_prompt.training RECIPE [SECTION.KEY=VALUE]...
    """
    if list_recipes:
        from sketch_prompt.training.recipe import recipe_folders

        typer.echo("\n".join(sorted(recipe_folders())))
        return
    if recipe is None:
        raise ValueError("which recipe? `sketch-prompt train --list` prints the names of all")
    from sketch_prompt.training.config import TrainingConfig
    from sketch_prompt.training.loop import DivergedError
    from sketch_prompt.training.loop import train as run

    try:
        result = run(TrainingConfig.load(recipe, overrides or []))
    except DivergedError as error:
        raise ValueError(error) from error
    if result.test is not None:
        _print_report(result.test, Format.table)
    typer.echo(f"Wrote {result.output_dir}", err=True)


@app.command()
@one_message
def explain(
    sketch: Annotated[Path, typer.Argument(metavar="SKETCH", help="A drawing, dark on light.")],
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo it is compared with.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Directory, Hub id or bundled name of a checkpoint.")
    ] = _DEFAULT_MODEL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture to write: .png, .pdf, .svg, ...")
    ] = None,
    kind: Annotated[Figure, typer.Option(help="What to draw.")] = Figure.all,
    as_json: Annotated[bool, typer.Option("--json", help="Print the matches for other programs.")] = False,
    category: Annotated[
        str | None, typer.Option(help="What both are taken for, of the categories that the model was shown.")
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Where to get the frozen CLIP, in place of what the checkpoint says.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, ...; by default a GPU if there is one.")
    ] = None,
) -> None:
    """Show which patches of a photo a model takes for which patches of a sketch."""
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
        save_figure(plot_explanation(correspondence, kind.value), output)
        typer.echo(f"Wrote {output}", err=True)
    if as_json:
        typer.echo(correspondence.to_json())


@app.command()
@one_message
def convert(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The paper's method, such as clip-at.")],
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Its .pth, .ckpt or .safetensors file.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
) -> None:
    """Turn a checkpoint of a paper's own code into one of sketch-prompt's, its CLIP included.

    Nothing in the file is executed. Tensors that the paper's code never uses are named and left out.
    """
    from sketch_prompt.hub.conversion import from_reference, load_reference_checkpoint

    from_reference(method, load_reference_checkpoint(checkpoint)).save_pretrained(output)
    typer.echo(f"Wrote {output}", err=True)


@app.command()
@one_message
def index(
    photos: Annotated[
        Path, typer.Argument(metavar="PHOTOS", help="Folder of photos; its subfolders are searched too.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="GALLERY", help="Folder of the gallery.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Directory, Hub id or bundled name of a checkpoint; or frozen-clip with --base-model. By default the "
            "gallery's model; mini-clip-at for a new gallery."
        ),
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Where to get the frozen CLIP, in place of what the checkpoint says.")
    ] = None,
    kind: Annotated[
        IndexKind | None,
        typer.Option("--index", help="By default the gallery's; auto for a new one, which chooses by size."),
    ] = None,
    by_category: Annotated[
        bool,
        typer.Option(
            "--by-category",
            help="Embed each photo under its folder's category, for methods with conditions (DP-CLIP); a search then "
            "names a --category.",
        ),
    ] = False,
    milvus_uri: Annotated[
        str | None,
        typer.Option(
            help="Address of a Milvus cluster; by default Milvus keeps its data in the gallery's folder."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos a forward pass.")] = 64,
    num_workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that read photos; by default up to 8 where cores are spare."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, ...; by default a GPU if there is one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done for other programs.")] = False,
) -> None:
    """Embed the photos of a folder, so that a sketch can search them; or bring a gallery up to date with its folder.

    Only content that the gallery has never seen is embedded: a second run over an unchanged folder embeds nothing, a
    renamed photo keeps its features, and a run that was killed goes on where it was. Files that are no photos or
    cannot be read are left out and listed.
    """
    from sketch_prompt.gallery.gallery import Gallery

    gallery = Gallery.build(
        model,
        photos,
        output,
        index=None if kind is None else kind.value,
        by_category=by_category or None,
        milvus_uri=milvus_uri,
        base_model=base_model,
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
    )
    summary = {"gallery": str(output), "photos": len(gallery), **gallery.changes.to_dict()}
    summary["index"] = gallery.index.describe()
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        typer.echo(gallery.changes.describe(len(gallery)), err=True)
        if unknown := gallery.unconditioned_categories:
            typer.echo(f"Embedded without a category, not known to the model: {', '.join(unknown)}", err=True)
        typer.echo(f"Index: {_in_words(summary['index'])}\nWrote {output}", err=True)


@app.command()
@one_message
def search(
    gallery: Annotated[Path, typer.Argument(metavar="GALLERY", help="Folder that index has written.")],
    sketch: Annotated[
        Path | None,
        typer.Argument(metavar="[SKETCH]", help="A drawing: any image, or QuickDraw strokes (.ndjson)."),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="What the photo shows, such as 'a red chair'; alone or with a sketch.")
    ] = None,
    weight: Annotated[
        float, typer.Option(min=0, max=1, help="Of the text beside the sketch, from 0 to 1.")
    ] = 0.5,
    top_k: Annotated[int, typer.Option(min=1, help="How many photos.")] = 12,
    rerank: Annotated[
        int | None,
        typer.Option(
            min=1, help="Score so many of the first photos again, pair by pair; for methods that can."
        ),
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Search photos of this category (folder) only; may be repeated.")
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(
            help="Search photos whose name in the folder matches, such as '2024/*'; may be repeated."
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the result into this file: .png, .pdf, .svg, ...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for other programs.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Where the gallery's model is, if it is not where it was.")
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Where the gallery's frozen CLIP is, if it is not where it was.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Where the folder of photos is, if it is not where it was.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, ...; by default a GPU if there is one.")
    ] = None,
) -> None:
    """Find the photos that a drawing shows.

    Prints one photo a line, the best first: rank, score and path, separated by tabs.
    """
    from sketch_prompt.gallery.gallery import Gallery
    from sketch_prompt.plotting import save_figure

    if sketch is None and text is None:
        raise typer.BadParameter("give a SKETCH, --text, or both")
    given = {"base_model": base_model} if base_model is not None else {}
    opened = Gallery.load(gallery, model, photos_dir=photos, device=device, **given)
    filters = {name: values for name, values in (("category", category), ("path", path)) if values}
    hits = opened.search(sketch, top_k, filters, text=text, weight=weight, rerank=rerank)
    if figure is not None:
        save_figure(opened.plot(hits, sketch, text), figure)
        typer.echo(f"Wrote {figure}", err=True)
    if as_json:
        query = {"sketch": None if sketch is None else str(sketch), "text": text}
        results = [asdict(hit) for hit in hits]
        typer.echo(json.dumps({"query": query, "photos": len(opened), "results": results}, indent=2))
    else:
        for hit in hits:
            path_on_one_line = hit.path.translate({9: "\\t", 10: "\\n", 13: "\\r"})
            typer.echo(f"{hit.rank}\t{hit.score:.4f}\t{path_on_one_line}")


@app.command()
@one_message
def demo(
    host: Annotated[
        str, typer.Option(help="Address to serve on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port; the first free one from 7860 on by default.")
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of an indexed gallery; MiniSketch pictures by default."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Model to search with, may be repeated; every bundled one by default."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Serve a web page to draw on: it searches a gallery while you draw and shows why a photo was found.

    Works without a network. The first start takes half a minute longer: it makes a gallery of MiniSketch pictures.
    """
    try:
        from sketch_prompt.space.page import launch_page
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ValueError("the page needs gradio: pip install 'sketch-prompt[space]'") from error
    from sketch_prompt.space.catalogue import Catalogue

    catalogue = Catalogue(model, gallery)
    catalogue.prepare()
    address, page = launch_page(catalogue, host, port, open_browser=browser)
    typer.echo(f"Draw on {address} (Ctrl-C ends it)", err=True)
    page.block_thread()


@data_app.command("check")
@one_message
def check_data(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of the data or of downloaded archives, or one archive."),
    ],
    benchmark: Annotated[str | None, typer.Option(help="Look for this benchmark only.")] = None,
    read_images: Annotated[bool, typer.Option(help="Open every image.")] = True,
    num_workers: Annotated[int, typer.Option(min=1, help="Images read at a time.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything for other programs.")] = False,
) -> None:
    """Say what a folder holds of which benchmark, what is missing, unreadable or duplicated, and where to get it.

    The exit code is 0 if a benchmark was recognised that loads and whose images can be read.
    """
    from rich.console import Console

    from sketch_prompt.data.check import check_data as check

    report = check(directory, benchmark, read_images=read_images, num_workers=num_workers)
    if as_json:
        typer.echo(report.to_json())
    else:
        Console().print(report.to_table())
    if not report.is_usable:
        raise typer.Exit(1)


def _parse_options(pairs: list[str] | None) -> dict:
    import yaml

    options = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--option {pair!r} is not NAME=VALUE.")
        options[name] = yaml.safe_load(value)
    return options


def _accelerator():
    """What the launcher's environment asks for; None where this is the only process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import Accelerator

    return Accelerator()


def _in_words(values: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _print_report(report, format: Format) -> None:
    if format is Format.table:
        from rich.console import Console

        Console().print(report.to_table())
    else:
        sys.stdout.write(report.to_json() + "\n" if format is Format.json else report.to_markdown())


if __name__ == "__main__":
    app()
