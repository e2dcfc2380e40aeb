"""`load_benchmark`: every benchmark by its name."""

import os
from collections.abc import Mapping
from dataclasses import fields, replace

import datasets

from sketch_prompt.data.builder import BenchmarkBuilder
from sketch_prompt.data.configs import BenchmarkConfig
from sketch_prompt.data.qmul import ChairBuilder, ShoeBuilder
from sketch_prompt.data.quickdraw import QuickDrawBuilder
from sketch_prompt.data.settings import cross_dataset, generalized_zero_shot
from sketch_prompt.data.sketch_folder import SketchFolderBuilder
from sketch_prompt.data.sketchy import SketchyBuilder, SketchyInstanceBuilder
from sketch_prompt.data.splits import BenchmarkSplit, published_protocols, published_split, unknown_name
from sketch_prompt.data.tu_berlin import TuBerlinBuilder

_BUILDERS: dict[str, type[BenchmarkBuilder]] = {
    "sketchy-21": SketchyBuilder,
    "sketchy-25": SketchyBuilder,
    "tu-berlin-30": TuBerlinBuilder,
    "quickdraw-30": QuickDrawBuilder,
    "sketchy-fg": SketchyInstanceBuilder,
    "shoe-v2": ShoeBuilder,
    "chair-v2": ChairBuilder,
    "sketch-folder": SketchFolderBuilder,
}
FOLDER_BENCHMARKS = tuple(_BUILDERS)
BENCHMARKS = ("mini", *FOLDER_BENCHMARKS)
SETTINGS = ("zs", "gzs")


def load_benchmark(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    split: str | os.PathLike | Mapping | BenchmarkSplit | None = None,
    setting: str = "zs",
    seen_share: float = 0.2,
    train_protocol: str | None = None,
    train_dir: str | os.PathLike | None = None,
    seed: int | None = None,
    cache_dir: str | os.PathLike | None = None,
    streaming: bool = False,
    **options,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    """Load a benchmark: `train_sketch`, `train_photo` (seen classes), `test_sketch`, `test_photo` (unseen).

    Columns: `image` (`datasets.Image`; the files stay where they are), `label` (`ClassLabel`, the same in all
    splits: seen classes sorted, then unseen ones), `instance_id` (a sketch has its photo's), `domain`.

    Args:
        name: one of `BENCHMARKS`.
        data_dir: folder of the data; not needed for `mini`.
        split: seen and unseen classes in place of the benchmark's own: a YAML file or a mapping with the lists
            `seen` and `unseen` (and `aliases`, where folders are named otherwise), or a published protocol's
            name.
        setting: "zs" (the gallery holds photos of unseen classes) or "gzs" (and a share of the seen ones', which
            leave the training data; see `generalized_zero_shot`).
        seen_share: that share.
        train_protocol: cross-dataset setting: the benchmark trained on. The test data are the unseen classes
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
    if streaming and (setting != "zs" or train_protocol is not None):
        raise ValueError("streaming serves the plain zero-shot setting: GZS and cross-dataset need tables")
    given = {"seed": seed, "class_split": split} | options
    given = {option: value for option, value in given.items() if value is not None}
    tables = _load(name, data_dir, cache_dir, streaming, given)
    if train_protocol is not None:
        if train_dir is None and train_protocol in published_protocols():
            tables = cross_dataset(published_split(train_protocol).seen, tables)
        else:
            training = _load(train_protocol, train_dir, cache_dir, False, {})
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
    if name == "mini":
        if data_dir is not None:
            raise ValueError("mini is generated, not read: leave data_dir out")
        return _load_mini(cache_dir, streaming, options)
    if name not in _BUILDERS:
        raise ValueError(unknown_name("benchmark", name, BENCHMARKS))
    builder = make_builder(name, data_dir, cache_dir=cache_dir, **options)
    if streaming:
        return builder.as_streaming_dataset()
    builder.download_and_prepare()
    return builder.as_dataset()


def _load_mini(
    cache_dir: str | os.PathLike | None, streaming: bool, options: dict
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    from sketch_prompt.data.minisketch.builder import MiniSketchBuilder, load_mini

    if streaming:
        return MiniSketchBuilder(**options).as_streaming_dataset()
    if cache_dir is not None:
        options["cache_dir"] = cache_dir
    return load_mini(**options)


def _n_seen(benchmark: datasets.DatasetDict) -> int:
    return 1 + max(benchmark["train_sketch"]["label"][:])


def benchmark_config(name: str, data_dir: str | os.PathLike | None) -> BenchmarkConfig:
    """How a benchmark is found in a folder, with its default options; nothing is read yet."""
    config = next(config for config in _BUILDERS[name].BUILDER_CONFIGS if config.name == name)
    return replace(config, data_dir=data_dir)


def make_builder(
    name: str, data_dir: str | os.PathLike | None, *, cache_dir: str | os.PathLike | None = None, **options
) -> BenchmarkBuilder:
    """The `datasets` builder of a benchmark that is read from a folder; see `load_benchmark`."""
    builder_class = _BUILDERS[name]
    inherited = {field.name for field in fields(datasets.BuilderConfig)}
    known = {field.name for field in fields(builder_class.BUILDER_CONFIG_CLASS)} - inherited
    if "seed" not in known:
        options.pop("seed", None)
    for option in options:
        if option not in known:
            shown = "split" if option == "class_split" else option
            choices = ["split" if choice == "class_split" else choice for choice in sorted(known)]
            raise ValueError(f"{name}: " + unknown_name("option", shown, choices))
    data_dir = None if data_dir is None else os.path.abspath(os.path.expanduser(data_dir))
    if cache_dir is not None:
        options.setdefault("unpack_dir", os.path.join(cache_dir, "sketch_prompt_archives"))
    return builder_class(config_name=name, data_dir=data_dir, cache_dir=cache_dir, **options)
