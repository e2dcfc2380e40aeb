"""`evaluate`, `reproduce` and `data check`: how well a model searches, compared with the papers, and on what data."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from sketch_prompt.vocabulary import (
    Condition,
    Convention,
    GalleryPhotos,
    Level,
    PairType,
    Query,
    Ranking,
    Support,
)

from .command import (
    BaseModelOption,
    BatchSizeOption,
    DataDirOption,
    DeviceOption,
    FormatOption,
    JsonOption,
    launched_accelerator,
    print_report,
)


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
    data_dir: DataDirOption = None,
    base_model: BaseModelOption = None,
    level: Annotated[
        Level | None,
        typer.Option(
            help="Which photo is right: any of the sketch's category, or the one it was drawn from (instance). "
            "By default what the benchmark is made for."
        ),
    ] = None,
    gallery: Annotated[
        GalleryPhotos | None,
        typer.Option(
            help="Photos to rank at instance level: all, or those of the sketch's category (the default)."
        ),
    ] = None,
    condition: Annotated[
        Condition,
        typer.Option(
            help="What a method with conditions (dp-clip) is told about an image: its category (given), the category "
            "that the model predicts, or none. auto: given where a sketch ranks its own category, else predicted."
        ),
    ] = "auto",
    support: Annotated[
        Support,
        typer.Option(
            help="Whose images show such a method what a category is: its own; or, as ablations, random ones or those "
            "of an unmatched category."
        ),
    ] = "own",
    convention: Annotated[
        Convention,
        typer.Option(
            help="How mAP is computed at category level: standard (SEM-PCYC, scikit-learn) or interpolated "
            "(ZSE-SBIR, SAKE)."
        ),
    ] = "standard",
    k: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Cut-off of the metrics; may be repeated. 100 and 200; 1, 5 and 10 at instance level."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Seen and unseen classes: a YAML file, or the benchmark to take them from."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of what the benchmark draws at random.")] = None,
    setting: Annotated[
        Literal["zs", "gzs"] | None,
        typer.Option(help="zs, or gzs: the gallery also holds photos of seen classes."),
    ] = None,
    seen_share: Annotated[
        float | None, typer.Option(help="Share of each seen class's photos that gzs puts into the gallery.")
    ] = None,
    train_benchmark: Annotated[
        str | None,
        typer.Option(
            help="The benchmark that the model was trained on, if another one: its classes leave the test data."
        ),
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
        Ranking | None,
        typer.Option(
            help="How photos are ranked: by embedding, rerank (the first photos again, by embedding and pair), "
            "rerank-plain (these by pair alone) or exhaustive (every pair). By default rerank for methods that score "
            "pairs, else embedding."
        ),
    ] = None,
    shortlist: Annotated[
        int, typer.Option(min=1, help="Number of photos that rerank scores again for each sketch.")
    ] = 100,
    query: Annotated[
        Query,
        typer.Option(help="Search with every test sketch, or in its place with the name of its class."),
    ] = "sketch",
    expand: Annotated[
        int | None,
        typer.Option(
            min=1, help="Search twice by embedding, the second time joined with the first so many hits."
        ),
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for encoded images and scores of pairs. With it, a ranking that was stopped can go on."
        ),
    ] = None,
    pair_dtype: Annotated[
        PairType | None,
        typer.Option(help="Type of the encoded images; float16 and bfloat16 take half the space."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the report, its curve and sheets of queries."),
    ] = None,
    sheet_size: Annotated[int, typer.Option(min=0, help="Number of queries on each sheet.")] = 10,
    compare: Annotated[
        list[Path] | None,
        typer.Option(metavar="REPORT.JSON", help="Another report to draw into the curve; may be repeated."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="File to append a line to; results.jsonl in the output folder by default."),
    ] = None,
    format: FormatOption = "table",
    as_json: JsonOption = False,
    batch_size: BatchSizeOption = 64,
    num_workers: Annotated[int, typer.Option(min=0, help="Number of processes that read images.")] = 0,
    device: DeviceOption = None,
) -> None:
    """Evaluate a model on a benchmark: search the photos of unseen classes with sketches of them.

    A model must not have been trained on the classes that it is tested on. If it was, the evaluation is refused, or
    with --allow-seen the report says so. Under accelerate launch or torchrun all processes share the work.

    \b
    Examples:
      sketch-prompt evaluate mini-clip-at --benchmark mini -o report
      sketch-prompt evaluate mini-clip-at --benchmark mini --level instance --gallery all --json
      sketch-prompt evaluate frozen-clip --base-model mini-clip --benchmark mini
    """
    import torch

    from sketch_prompt.data.benchmarks import OLD_OPTIONS, load_benchmark
    from sketch_prompt.evaluation import Report, Task, evaluate_model
    from sketch_prompt.evaluation.curves import check_comparable
    from sketch_prompt.evaluation.outputs import write_outputs
    from sketch_prompt.evaluation.report import RESULTS_FILE, append_result
    from sketch_prompt.hints import with_new_names
    from sketch_prompt.models.loading import load_model

    named = {"setting": setting, "seen_share": seen_share, "train_benchmark": train_benchmark}
    options = with_new_names(_parse_options(option), OLD_OPTIONS, "--option")
    options |= {name: value for name, value in named.items() if value is not None}
    task = Task(
        benchmark,
        level=level,
        train_benchmark=options.get("train_benchmark"),
        allow_seen=allow_seen,
        gallery=gallery,
        condition=condition,
        support=support,
        query=query,
        convention=convention,
        ks=k or None,
        ranking=ranking,
        shortlist=shortlist,
        expand=expand,
    )
    others = [Report.load(path) for path in compare or ()]
    check_comparable(others, task.level)
    loaded, processor = load_model(model, base_model, device)
    tables = load_benchmark(benchmark, data_dir, split=split, seed=seed, **options)
    evaluation = evaluate_model(
        loaded,
        processor,
        tables,
        task,
        source=model if base_model is None else f"{model} on {base_model}",
        work_dir=work_dir,
        pair_dtype=pair_dtype and getattr(torch, pair_dtype),
        batch_size=batch_size,
        num_workers=num_workers,
        accelerator=launched_accelerator(),
    )
    if evaluation.search is None:  # not the first process
        return
    if results is not None or output is not None:
        append_result(results or output / RESULTS_FILE, evaluation.report)
    if output is not None:
        written = write_outputs(output, evaluation, tables, sheet_size, others)
        typer.echo(f"Wrote {', '.join(str(path) for path in written)}", err=True)
    print_report(evaluation.report, format, as_json)


def reproduce(
    report: Annotated[
        list[Path],
        typer.Option(help="A results.jsonl that evaluate wrote, or a folder with one; may be repeated."),
    ],
    format: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Print your results beside the numbers of the papers, one table for each setup.

    \b
    Example:
      sketch-prompt reproduce --report report
    """
    from sketch_prompt.evaluation.report import read_results
    from sketch_prompt.evaluation.reproduction import reproduce as compare

    print_report(compare(read_results(report)), format, as_json)


_OWN_OPTIONS = ("data_dir", "split", "seed")


def _parse_options(pairs: list[str] | None) -> dict:
    from sketch_prompt.strict_yaml import parse_yaml

    options = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--option {pair!r} is not NAME=VALUE.")
        if name in _OWN_OPTIONS:
            raise ValueError(f"--option {name} has an option of its own: --{name.replace('_', '-')}")
        options[name] = parse_yaml(value, f"--option {name}")
    return options


def check_data(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of the data or of downloaded archives, or one archive."),
    ],
    benchmark: Annotated[str | None, typer.Option(help="Look for this benchmark only.")] = None,
    read_images: Annotated[bool, typer.Option(help="Open every image.")] = True,
    num_workers: Annotated[int, typer.Option(min=1, help="Number of images read at a time.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Say which benchmarks a folder holds, what is missing, unreadable or duplicated, and where to get it.

    The exit code is 0 if at least one benchmark was found that loads and whose images can be read.

    \b
    Example:
      sketch-prompt data check /data/Sketchy
    """
    from sketch_prompt.data.check import check_data as check

    report = check(directory, benchmark, read_images=read_images, num_workers=num_workers)
    print_report(report, as_json=as_json)
    if not report.is_usable:
        raise typer.Exit(1)
