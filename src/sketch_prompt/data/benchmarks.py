"""`load_benchmark`: every benchmark by its name; `register_benchmark`: one more."""

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from importlib.metadata import entry_points
from pkgutil import resolve_name

import datasets

from sketch_prompt.data.configs import BenchmarkConfig
from sketch_prompt.data.hub import hub_benchmark, hub_level, load_from_hub
from sketch_prompt.data.settings import cross_dataset, generalized_zero_shot
from sketch_prompt.data.splits import BenchmarkSplit, unknown_name
from sketch_prompt.hints import with_new_names
from sketch_prompt.vocabulary import Level

SETTINGS = ("zs", "gzs")
OLD_OPTIONS = {"train_protocol": "train_benchmark"}
"""{old name of an option of `load_benchmark`: its name today}"""
ENTRY_POINTS = "sketch_prompt.benchmarks"

Builder = type[datasets.GeneratorBasedBuilder]

# The builder of each benchmark, or where it is: a module is imported when its benchmark is asked for.
_BUILDERS: dict[str, str | Builder] = {
    "mini": "sketch_prompt.data.minisketch.builder:MiniSketchBuilder",
    "quickdraw-caltech": "sketch_prompt.data.quickdraw_caltech.builder:QuickDrawCaltechBuilder",
    "sketchy-21": "sketch_prompt.data.sketchy:SketchyBuilder",
    "sketchy-25": "sketch_prompt.data.sketchy:SketchyBuilder",
    "tu-berlin-30": "sketch_prompt.data.tu_berlin:TuBerlinBuilder",
    "quickdraw-30": "sketch_prompt.data.quickdraw:QuickDrawBuilder",
    "sketchy-fg": "sketch_prompt.data.sketchy:SketchyInstanceBuilder",
    "shoe-v2": "sketch_prompt.data.qmul:ShoeBuilder",
    "chair-v2": "sketch_prompt.data.qmul:ChairBuilder",
    "sketch-folder": "sketch_prompt.data.sketch_folder:SketchFolderBuilder",
}


def register_benchmark(name: str, builder: Builder) -> None:
    """Make a benchmark known by its name to `load_benchmark`, recipes, evaluation and the command line.

    An installed package can do without the call: its entry point of the group `sketch_prompt.benchmarks` has the
    benchmark's name and leads to the builder.

    Args:
        name: what it is called in recipes and reports.
        builder: a `datasets` builder that makes the four splits with the columns of `load_benchmark`. Its
            `BUILDER_CONFIG_CLASS` is a `BenchmarkConfig` that declares what the benchmark is for. For class folders
            on disk subclass `BenchmarkBuilder` and `PackagedConfig`, as `sketch_prompt.data.tu_berlin` does.

    Raises:
        ValueError: if another benchmark has the name.
        TypeError: if the builder's configuration is no `BenchmarkConfig`.
    """
    if not issubclass(builder.BUILDER_CONFIG_CLASS, BenchmarkConfig):
        raise TypeError(
            f"{builder.__name__}.BUILDER_CONFIG_CLASS must be a subclass of {BenchmarkConfig.__module__}."
            f"BenchmarkConfig, not {builder.BUILDER_CONFIG_CLASS.__name__}"
        )
    if name in _BUILDERS and find_builder(name) is not builder:
        raise ValueError(f"there is a benchmark {name!r} already: {find_builder(name).__qualname__}")
    _BUILDERS[name] = builder


def benchmark_names() -> tuple[str, ...]:
    """The names of all benchmarks: those of this package, registered ones, and those of installed packages."""
    return tuple(_BUILDERS | _installed())


def find_builder(name: str) -> Builder:
    """The `datasets` builder of a benchmark.

    Raises:
        ValueError: if there is none of the name; the nearest known one is named.
    """
    if name not in _BUILDERS and (installed := _installed().get(name)):
        register_benchmark(name, installed.load())
    if name not in _BUILDERS:
        raise ValueError(unknown_name("benchmark", name, benchmark_names()))
    builder = _BUILDERS[name]
    return resolve_name(builder) if isinstance(builder, str) else builder


@cache
def _installed() -> dict:
    """The entry points of other packages by the names of their benchmarks."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def benchmark_config(name: str, data_dir: str | os.PathLike | None = None) -> BenchmarkConfig:
    """What a benchmark is for, with its default options; no data are read.

    Raises:
        ValueError: if there is none of the name; the nearest known one is named.
    """
    builder = find_builder(name)
    configs = {config.name: config for config in builder.BUILDER_CONFIGS}
    config = configs[name] if name in configs else builder.BUILDER_CONFIG_CLASS(name=name)
    return replace(config, data_dir=data_dir)


def default_level(name: str) -> Level:
    """The level that a benchmark is trained and reported at unless asked otherwise; "category" for other names.

    Raises:
        FileNotFoundError: if it is a repository of the Hub that cannot be had.
    """
    if hub_benchmark(name):
        return hub_level(name)
    return benchmark_config(name).level if name in benchmark_names() else BenchmarkConfig.level


def load_benchmark(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    split: str | os.PathLike | Mapping | BenchmarkSplit | None = None,
    setting: str = "zs",
    seen_share: float = 0.2,
    train_benchmark: str | None = None,
    train_dir: str | os.PathLike | None = None,
    seed: int | None = None,
    cache_dir: str | os.PathLike | None = None,
    streaming: bool = False,
    **options,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    """Load a benchmark: `train_sketch`, `train_photo` (seen classes), `test_sketch`, `test_photo` (unseen).

    Columns: `image` (`datasets.Image`; the files stay where they are), `label` (`ClassLabel`, the same in all
    splits: seen classes sorted, then unseen ones), `instance_id` (a sketch has its photo's), `domain`.

    Example:
        >>> from sketch_prompt import load_benchmark
        >>> mini = load_benchmark("mini")  # drawn on the first call; nothing is downloaded
        >>> mini["test_sketch"].features["label"].int2str(mini["test_sketch"][0]["label"])
        'axe'
        >>> sketchy = load_benchmark("sketchy-21", data_dir="/data/Sketchy")  # doctest: +SKIP

    Args:
        name: one of `benchmark_names()`, or a repository `owner/name` of the Hub that `push_benchmark` made; for
            that the only options are `revision` and `token`, and `setting`.
        data_dir: folder of the data; not for `mini` and `quickdraw-caltech`, which need none.
        split: seen and unseen classes in place of the benchmark's own: a YAML file or a mapping with the lists
            `seen` and `unseen` (and `aliases`, where folders are named otherwise), or a published protocol's
            name.
        setting: "zs" (the gallery holds photos of unseen classes) or "gzs" (and a share of the seen ones', which
            leave the training data; see `generalized_zero_shot`).
        seen_share: that share.
        train_benchmark: cross-dataset setting: the benchmark trained on. The test data are the unseen classes
            that are not among its training classes; see `cross_dataset`.
        train_dir: folder of its data; None where only an evaluation follows: the training data are empty then.
        seed: of whatever is drawn at random: the share above, the unseen classes of `sketch-folder`, the
            pictures of `mini`. None for the default.
        cache_dir: where the tables (paths only) are kept; the cache of `datasets` by default.
        streaming: give `IterableDataset`s that list the files as they go, without a table on disk.
        **options: options of the one benchmark, such as `unseen_fraction` of `sketch-folder`.

    Raises:
        ValueError: for an unknown name or option (the nearest known one is named), or classes without photos or
            sketches (all are named).
        FileNotFoundError: if the data is not there; the message shows the layout and where to get it.
    """
    if setting not in SETTINGS:
        raise ValueError(unknown_name("setting", setting, SETTINGS))
    if "train_protocol" in options:
        options = with_new_names(options, OLD_OPTIONS, "load_benchmark")
        train_benchmark = options.pop("train_benchmark")
    if streaming and (setting != "zs" or train_benchmark is not None):
        raise ValueError("streaming serves the plain zero-shot setting: GZS and cross-dataset need tables")
    given = {"seed": seed, "class_split": split} | options
    given = {option: value for option, value in given.items() if value is not None}
    tables = _load(name, data_dir, cache_dir, streaming, given)
    if train_benchmark is not None:
        published = benchmark_config(train_benchmark).published()
        if train_dir is None and published is not None:
            tables = cross_dataset(published.seen, tables)
        else:
            training = _load(train_benchmark, train_dir, cache_dir, False, {})
            trained = training["train_sketch"].features["label"].names[: _n_seen(training)]
            tables = cross_dataset(trained, tables, training)
    if setting == "gzs":
        tables = generalized_zero_shot(tables, seen_share, 0 if seed is None else seed)
    return tables


def _load(
    name: str,
    data_dir: str | os.PathLike | None,
    cache_dir: str | os.PathLike | None,
    streaming: bool,
    options: dict,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    if hub_benchmark(name):
        return _load_from_hub(name, data_dir, cache_dir, streaming, options)
    builder = make_builder(name, data_dir, cache_dir=cache_dir, **options)
    if streaming:
        return builder.as_streaming_dataset()
    builder.download_and_prepare()
    return builder.as_dataset()


def _load_from_hub(
    repo_id: str,
    data_dir: str | os.PathLike | None,
    cache_dir: str | os.PathLike | None,
    streaming: bool,
    options: dict,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    if data_dir is not None:
        raise ValueError(f"{repo_id} comes from the Hub: leave data_dir out")
    known = ("revision", "token")
    for option in options.keys() - {*known, "seed"}:
        shown = "split" if option == "class_split" else option
        raise ValueError(f"{repo_id}: " + unknown_name("option", shown, known))
    hub = {option: options[option] for option in known if option in options}
    return load_from_hub(repo_id, cache_dir=cache_dir, streaming=streaming, **hub)


def _n_seen(benchmark: datasets.DatasetDict) -> int:
    return 1 + max(benchmark["train_sketch"]["label"][:])


def make_builder(
    name: str, data_dir: str | os.PathLike | None, *, cache_dir: str | os.PathLike | None = None, **options
) -> datasets.GeneratorBasedBuilder:
    """The `datasets` builder of a benchmark with its options; see `load_benchmark`."""
    builder_class = find_builder(name)
    config_class = builder_class.BUILDER_CONFIG_CLASS
    if data_dir is not None and not config_class.reads_data_dir:
        raise ValueError(f"{name} needs no data: leave data_dir out")
    inherited = {field.name for field in fields(datasets.BuilderConfig)}
    known = {field.name for field in fields(config_class)} - inherited
    if "seed" not in known:
        options.pop("seed", None)
    for option in options:
        if option not in known:
            shown = "split" if option == "class_split" else option
            choices = ["split" if choice == "class_split" else choice for choice in sorted(known)]
            raise ValueError(f"{name}: " + unknown_name("option", shown, choices))
    data_dir = None if data_dir is None else os.path.abspath(os.path.expanduser(data_dir))
    if cache_dir is not None:
        cache_dir = os.fspath(cache_dir)
        if "unpack_dir" in known:
            options.setdefault("unpack_dir", os.path.join(cache_dir, "sketch_prompt_archives"))
    return builder_class(
        dataset_name=name, config_name=name, data_dir=data_dir, cache_dir=cache_dir, **options
    )
