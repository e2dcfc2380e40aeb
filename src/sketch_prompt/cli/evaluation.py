"""`evaluate`, `compare`, `reproduce` and `data check`: benchmark models, compare them with each other and papers."""

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
    MODEL_HELP,
    BaseModelOption,
    BatchSizeOption,
    CropOption,
    DataDirOption,
    DeviceOption,
    FormatOption,
    JsonOption,
    LineWidthOption,
    NumWorkersOption,
    TableFormatOption,
    launched_accelerator,
    print_report,
    sketch_settings,
)

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
PreprocessingOption = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE|RUN",
        help="Preprocess images as this recipe, run or checkpoint does, to compare a baseline with a method fairly.",
    ),
]

# What is evaluated, and on what.
LevelOption = Annotated[
    Level | None,
    typer.Option(
        help="Which photos are correct: those of the sketch's category (category), or the one it was drawn from "
        "(instance). The default depends on the benchmark."
    ),
]
GalleryOption = Annotated[
    GalleryPhotos | None,
    typer.Option(
        help="Photos to rank at instance level: all, or those of the sketch's category (the default)."
    ),
]
ConditionOption = Annotated[
    Condition,
    typer.Option(
        help="Category that a method with conditions (dp-clip) gets for an image: the true one (given), the one that "
        "the model predicts (predicted), or none. auto: given if only photos of the sketch's category are ranked, "
        "else predicted."
    ),
]
SupportOption = Annotated[
    Support,
    typer.Option(
        help="Example images of a category for such a method: its own; or, as ablations, random images or those of "
        "another category (unmatched)."
    ),
]
ConventionOption = Annotated[
    Convention,
    typer.Option(
        help="How mAP is computed at category level: standard (SEM-PCYC, scikit-learn) or interpolated "
        "(ZSE-SBIR, SAKE)."
    ),
]
CutOffOption = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        help="Cut-off of the metrics. May be repeated. The default is 100 and 200, at instance level 1, 5 and 10.",
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(help="Seen and unseen classes: a YAML file, or a benchmark to take them from."),
]
SettingOption = Annotated[
    Literal["zs", "gzs"] | None,
    typer.Option(help="zs: only photos of unseen classes are ranked. gzs: photos of seen classes too."),
]
SeenShareOption = Annotated[
    float | None, typer.Option(help="Share of the photos of each seen class that gzs adds.")
]
TrainBenchmarkOption = Annotated[
    str | None,
    typer.Option(
        help="Benchmark that the model was trained on, if it is another one. Its classes are left out of the test."
    ),
]
BenchmarkOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Any other option of the benchmark. May be repeated."),
]
AllowSeenOption = Annotated[
    bool,
    typer.Option(
        "--allow-seen", help="Allow test classes that the model was trained on. The report says so."
    ),
]

# How photos are ranked.
RankingOption = Annotated[
    Ranking | None,
    typer.Option(
        help="How photos are ranked: embedding; rerank (the first photos again, by embedding and pair score); "
        "rerank-plain (the first photos again, by pair score alone); or exhaustive (all photos by pair score). The "
        "default is rerank for methods that score pairs, else embedding."
    ),
]
ShortlistOption = Annotated[
    int, typer.Option(min=1, help="Number of photos that rerank scores again for each sketch.")
]
QueryOption = Annotated[
    Query,
    typer.Option(help="Search with the test sketches (sketch), or with the names of their classes (text)."),
]
ExpandOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Search a second time by embedding, with the query and this many of the first hits combined.",
    ),
]
WorkDirOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder for encoded images and pair scores. A ranking that was stopped continues from it."
    ),
]
PairTypeOption = Annotated[
    PairType | None,
    typer.Option(help="Data type of the encoded images. float16 and bfloat16 take half the space."),
]

# What is written.
ReportFolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for the report, its plot and sheets of example queries."),
]
CompareOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="REPORT.JSON", help="Another report to show in the plot. May be repeated."),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option(help="File to append the result to. The default is results.jsonl in the output folder."),
]
PlotOption = Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf, .svg, ...")]


def evaluate(
    model: ModelArgument,
    benchmark: Annotated[
        str, typer.Option(help="Name of the benchmark: mini, sketchy-21, sketch-folder, ...")
    ],
    data_dir: DataDirOption = None,
    base_model: BaseModelOption = None,
    preprocessing: PreprocessingOption = None,
    crop: CropOption = None,
    line_width: LineWidthOption = None,
    level: LevelOption = None,
    gallery: GalleryOption = None,
    condition: ConditionOption = "auto",
    support: SupportOption = "own",
    convention: ConventionOption = "standard",
    k: CutOffOption = None,
    split: SplitOption = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the benchmark.")] = None,
    setting: SettingOption = None,
    seen_share: SeenShareOption = None,
    train_benchmark: TrainBenchmarkOption = None,
    option: BenchmarkOptions = None,
    allow_seen: AllowSeenOption = False,
    ranking: RankingOption = None,
    shortlist: ShortlistOption = 100,
    query: QueryOption = "sketch",
    expand: ExpandOption = None,
    work_dir: WorkDirOption = None,
    pair_dtype: PairTypeOption = None,
    output: ReportFolderOption = None,
    sheet_size: Annotated[int, typer.Option(min=0, help="Number of queries on each sheet.")] = 10,
    compare: CompareOption = None,
    results: ResultsOption = None,
    format: FormatOption = "table",
    as_json: JsonOption = False,
    batch_size: BatchSizeOption = 64,
    num_workers: NumWorkersOption = 0,
    device: DeviceOption = None,
) -> None:
    """Evaluate a model on a benchmark: search photos of unseen classes with sketches.

    A model that was trained on the test classes is refused. With --allow-seen it is evaluated, and the report says so.
    On several GPUs, run accelerate launch -m sketch_prompt evaluate or torchrun with the same arguments.

    \b
    Examples:
      sketch-prompt evaluate mini-clip-at --benchmark mini -o report
      sketch-prompt evaluate mini-clip-at --benchmark mini --level instance --gallery all --json
      sketch-prompt evaluate frozen-clip --base-model mini-clip --benchmark mini --preprocessing clip-at-mini
    """
    import torch

    from sketch_prompt.data.benchmarks import load_benchmark
    from sketch_prompt.evaluation import Report, Task, evaluate_model
    from sketch_prompt.evaluation.curves import check_comparable
    from sketch_prompt.models.loading import load_model

    named = {"setting": setting, "seen_share": seen_share, "train_benchmark": train_benchmark}
    options = _benchmark_options(option, named)
    what = {"level": level, "gallery": gallery, "condition": condition, "support": support, "query": query}
    how = {"convention": convention, "ks": k or None}
    how |= {"ranking": ranking, "shortlist": shortlist, "expand": expand}
    train_benchmark = options.get("train_benchmark")
    task = Task(benchmark, train_benchmark=train_benchmark, allow_seen=allow_seen, **what, **how)
    others = [Report.load(path) for path in compare or ()]
    check_comparable(others, task.level)
    loaded, processor = load_model(model, base_model, device)
    processor = _choose_processor(processor, loaded, preprocessing, sketch_settings(crop, line_width))
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
    if evaluation.search is not None:  # the first process
        _write(evaluation, tables, output, results, sheet_size, others)
        print_report(evaluation.report, format, as_json)


def _choose_processor(processor, model, preprocessing: str | None, sketches: dict):
    """The model's processor, or that of `--preprocessing`, with other settings for sketches."""
    if preprocessing is not None:
        from sketch_prompt.processing import SketchPromptProcessor
        from sketch_prompt.training.config import TrainingConfig
        from sketch_prompt.training.recipe import recipe_folders

        if preprocessing in recipe_folders():
            fields = TrainingConfig.load(preprocessing).processor
            processor = SketchPromptProcessor.from_base_model(model.config.base_model, **fields)
        else:
            processor = SketchPromptProcessor.from_pretrained(preprocessing)
    return processor.with_settings(**sketches) if sketches else processor


def _write(
    evaluation, tables, output: Path | None, results: Path | None, sheet_size: int, others: list
) -> None:
    from sketch_prompt.evaluation.outputs import write_outputs
    from sketch_prompt.evaluation.report import RESULTS_FILE, append_result

    if results is not None or output is not None:
        append_result(results or output / RESULTS_FILE, evaluation.report)
    if output is not None:
        written = write_outputs(output, evaluation, tables, sheet_size, others)
        typer.echo(f"Wrote {', '.join(str(path) for path in written)}", err=True)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders that evaluate -o or train wrote, their report.json or results.jsonl, or folders of these.",
        ),
    ],
    plot: PlotOption = None,
    format: TableFormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Compare runs: mean and deviation over seeds, paired differences, and the settings that differ.

    The other runs are compared with the first. Runs that differ only in their seed count as one.

    \b
    Examples:
      sketch-prompt compare baseline runs/clip-at-mini
      sketch-prompt compare baseline runs/clip-at-mini runs/splip-mini --format latex --plot compared.pdf
    """
    from sketch_prompt.evaluation.comparison import compare as compare_reports
    from sketch_prompt.evaluation.comparison import read_runs

    comparison = compare_reports(read_runs(runs))
    if plot is not None:
        from sketch_prompt.evaluation.curves import plot_comparison
        from sketch_prompt.plotting import save_figure

        typer.echo(f"Wrote {save_figure(plot_comparison(comparison), plot)}", err=True)
    print_report(comparison, format, as_json)


def reproduce(
    report: Annotated[
        list[Path],
        typer.Option(help="A results.jsonl that evaluate wrote, or a folder with one. May be repeated."),
    ],
    plot: PlotOption = None,
    format: TableFormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Compare your results with the numbers of the papers, in one table for each setup.

    Runs that differ only in their seed are one row, with the mean and the standard deviation.

    \b
    Examples:
      sketch-prompt reproduce --report report
      sketch-prompt reproduce --report report --format latex --plot beside_papers.pdf
    """
    from sketch_prompt.evaluation.report import read_results
    from sketch_prompt.evaluation.reproduction import reproduce as beside_papers

    reproduction = beside_papers(read_results(report))
    if plot is not None:
        from sketch_prompt.evaluation.curves import plot_reproduction
        from sketch_prompt.plotting import save_figure

        typer.echo(f"Wrote {save_figure(plot_reproduction(reproduction), plot)}", err=True)
    print_report(reproduction, format, as_json)


_OWN_OPTIONS = ("data_dir", "split", "seed")


def _benchmark_options(pairs: list[str] | None, named: dict) -> dict:
    """The options of a benchmark: those of `--option NAME=VALUE`, and those with their own option."""
    from sketch_prompt.data.benchmarks import OLD_OPTIONS
    from sketch_prompt.hints import with_new_names
    from sketch_prompt.strict_yaml import parse_yaml

    options = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--option {pair!r} is not NAME=VALUE")
        if name in _OWN_OPTIONS:
            raise ValueError(f"give --{name.replace('_', '-')}, not --option {name}")
        options[name] = parse_yaml(value, f"--option {name}")
    options = with_new_names(options, OLD_OPTIONS, "--option")
    return options | {name: value for name, value in named.items() if value is not None}


def check_data(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder of the data or of downloaded archives, or a single archive."
        ),
    ],
    benchmark: Annotated[str | None, typer.Option(help="Only look for this benchmark.")] = None,
    read_images: Annotated[bool, typer.Option(help="Open every image.")] = True,
    num_workers: Annotated[int, typer.Option(min=1, help="Number of images to read at a time.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Find the benchmarks in a folder. Reports missing, unreadable and duplicate files, and where to download them.

    The exit code is 0 if at least one benchmark can be loaded and its images can be read.

    \b
    Example:
      sketch-prompt data check /data/Sketchy
    """
    from sketch_prompt.data.check import check_data as check

    report = check(directory, benchmark, read_images=read_images, num_workers=num_workers)
    print_report(report, as_json=as_json)
    if not report.is_usable:
        raise typer.Exit(1)
