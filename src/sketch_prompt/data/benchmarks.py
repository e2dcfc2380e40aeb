"""Load a benchmark by its name (`load_benchmark`), and register new ones (`register_benchmark`)."""

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

# The builder of each benchmark, or its import path. A module is imported only when its benchmark is used.
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
    """Register a benchmark, so that `load_benchmark`, recipes, evaluation and the command line find it by its name.

    An installed package can use an entry point in the group `sketch_prompt.benchmarks` instead: the benchmark's name
    and the builder.

    Args:
        name: Name of the benchmark in recipes and reports.
        builder: A `datasets` builder of four splits with the columns of `load_benchmark`. Its
            `BUILDER_CONFIG_CLASS` is a subclass of `BenchmarkConfig`. For class folders on disk, subclass
            `BenchmarkBuilder` and `PackagedConfig`, as `sketch_prompt.data.tu_berlin` does.

    Raises:
        ValueError: Another benchmark has this name.
        TypeError: The builder's configuration is not a `BenchmarkConfig`.
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
    """Names of all benchmarks: of this package, registered ones, and of installed packages."""
    return tuple(_BUILDERS | _installed())


def find_builder(name: str) -> Builder:
    """The `datasets` builder of a benchmark.

    Raises:
        ValueError: The benchmark is unknown. The message suggests the nearest name.
    """
    if name not in _BUILDERS and (installed := _installed().get(name)):
        register_benchmark(name, installed.load())
    if name not in _BUILDERS:
        raise ValueError(unknown_name("benchmark", name, benchmark_names()))
    builder = _BUILDERS[name]
    return resolve_name(builder) if isinstance(builder, str) else builder


@cache
def _installed() -> dict:
    """{name of the benchmark: entry point} of installed packages."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def benchmark_config(name: str, data_dir: str | os.PathLike | None = None) -> BenchmarkConfig:
    """The configuration of a benchmark with its default options. No data are read.

    Raises:
        ValueError: The benchmark is unknown. The message suggests the nearest name.
    """
    builder = find_builder(name)
    configs = {config.name: config for config in builder.BUILDER_CONFIGS}
    config = configs[name] if name in configs else builder.BUILDER_CONFIG_CLASS(name=name)
    return replace(config, data_dir=data_dir)


def default_level(name: str) -> Level:
    """The default level for training and evaluation on a benchmark; "category" if the name is unknown.

    Raises:
        FileNotFoundError: The name is a repository of the Hub that cannot be downloaded.
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
    """Load a benchmark as `train_sketch` and `train_photo` (seen classes), `test_sketch` and `test_photo` (unseen).

    The columns are `image` (`datasets.Image`; files are not copied), `label` (`ClassLabel`, the same in all splits:
    sorted seen classes, then sorted unseen classes), `instance_id` (a sketch has its photo's), and `domain`.

    Example:
        >>> from sketch_prompt import load_benchmark
        >>> mini = load_benchmark("mini")  # drawn on the first call; nothing is downloaded
        >>> mini["test_sketch"].features["label"].int2str(mini["test_sketch"][0]["label"])
        'axe'
        >>> sketchy = load_benchmark("sketchy-21", data_dir="/data/Sketchy")  # doctest: +SKIP

    Args:
        name: One of `benchmark_names()`, or a repository `owner/name` on the Hub, made by `push_benchmark`. A
            repository takes only the options `setting`, `revision` and `token`.
        data_dir: Folder of the data. `mini` and `quickdraw-caltech` need none.
        split: Seen and unseen classes to use instead of the benchmark's own: a YAML file or a mapping with the lists
            `seen` and `unseen` (and `aliases` for folders with other names), or the name of a published protocol.
        setting: "zs" (photos of unseen classes only), or "gzs" (the gallery also has photos of seen classes, taken
            from the training data; see `generalized_zero_shot`).
        seen_share: The share of these photos.
        train_benchmark: The benchmark that is trained on, for the cross-dataset setting. Its training classes are
            not tested; see `cross_dataset`.
        train_dir: Folder of that benchmark's data. For evaluation alone it is not needed: without it the training
            splits are empty.
        seed: Seed for random choices: the photos of "gzs", the unseen classes of `sketch-folder`, the pictures of
            `mini`. None for the default.
        cache_dir: Where to keep the tables, which hold paths only; by default the cache of `datasets`.
        streaming: Return `IterableDataset`s, without a table on disk.
        **options: Options of this benchmark, such as `unseen_fraction` of `sketch-folder`.

    Raises:
        ValueError: A name or an option is unknown (the message suggests the nearest one), or classes have no photos or
            no sketches (the message names them all).
        FileNotFoundError: The data are not there. The message shows the layout and where to get them.
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
        if data_dir is not None:
            raise ValueError(f"{name} comes from the Hub: leave data_dir out")
        known = ("revision", "token")
        for option in options.keys() - {*known, "seed"}:
            raise ValueError(f"{name}: " + unknown_name("option", _option_name(option), known))
        hub = {option: options[option] for option in known if option in options}
        return load_from_hub(name, cache_dir=cache_dir, streaming=streaming, **hub)
    builder = make_builder(name, data_dir, cache_dir=cache_dir, **options)
    if streaming:
        return builder.as_streaming_dataset()
    builder.download_and_prepare()
    return builder.as_dataset()


def _option_name(option: str) -> str:
    """The name of an option in `load_benchmark`."""
    return "split" if option == "class_split" else option


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
            raise ValueError(
                f"{name}: " + unknown_name("option", _option_name(option), map(_option_name, sorted(known)))
            )
    data_dir = None if data_dir is None else os.path.abspath(os.path.expanduser(data_dir))
    if cache_dir is not None:
        cache_dir = os.fspath(cache_dir)
        if "unpack_dir" in known:
            options.setdefault("unpack_dir", os.path.join(cache_dir, "sketch_prompt_archives"))
    return builder_class(
        dataset_name=name, config_name=name, data_dir=data_dir, cache_dir=cache_dir, **options
    )
