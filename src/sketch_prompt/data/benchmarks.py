"""`load_benchmark`: every benchmark by its name."""

import os
from collections.abc import Mapping
from dataclasses import fields

import datasets

from sketch_prompt.data.builder import BenchmarkBuilder
from sketch_prompt.data.sketch_folder import SketchFolderBuilder
from sketch_prompt.data.sketchy import SketchyBuilder
from sketch_prompt.data.splits import BenchmarkSplit, unknown_name

_BUILDERS: dict[str, type[BenchmarkBuilder]] = {
    "sketchy-21": SketchyBuilder,
    "sketchy-25": SketchyBuilder,
    "sketch-folder": SketchFolderBuilder,
}
BENCHMARKS = ("mini", *_BUILDERS)


def load_benchmark(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    split: str | os.PathLike | Mapping | BenchmarkSplit | None = None,
    seed: int | None = None,
    cache_dir: str | os.PathLike | None = None,
    **options,
) -> datasets.DatasetDict:
    """Load a benchmark: `train_sketch`, `train_photo` (seen classes), `test_sketch`, `test_photo` (unseen).

    Columns: `image` (`datasets.Image`; the files stay where they are), `label` (`ClassLabel`, the same in all
    splits: seen classes sorted, then unseen ones), `instance_id` (a sketch has its photo's), `domain`.

    Args:
        name: one of `BENCHMARKS`.
        data_dir: folder of the data; not needed for `mini`.
        split: seen and unseen classes in place of the benchmark's own: a YAML file or a mapping with the
            lists `seen` and `unseen` (and `aliases`, where folders are named otherwise), or a published
            protocol's name.
        seed: of whatever the benchmark draws at random: the unseen classes of `sketch-folder`, the pictures
            of `mini`. None for its own default.
        cache_dir: where the tables (paths only) are kept; the cache of `datasets` by default.
        **options: options of the one benchmark, such as `unseen_fraction` of `sketch-folder`.

    Raises:
        ValueError: for an unknown name or option (the nearest known one is named), or classes without photos
            or sketches (all are named).
        FileNotFoundError: if the data is not there; the message shows the layout and where to get it.
    """
    given = {"seed": seed, "class_split": split} | options
    given = {option: value for option, value in given.items() if value is not None}
    if name == "mini":
        if data_dir is not None:
            raise ValueError("mini is generated, not read: leave data_dir out")
        return _load_mini(cache_dir, given)
    if name not in _BUILDERS:
        raise ValueError(unknown_name("benchmark", name, BENCHMARKS))
    builder = make_builder(name, data_dir, cache_dir=cache_dir, **given)
    builder.download_and_prepare()
    return builder.as_dataset()


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
    return builder_class(config_name=name, data_dir=data_dir, cache_dir=cache_dir, **options)


def _load_mini(cache_dir: str | os.PathLike | None, options: dict) -> datasets.DatasetDict:
    from sketch_prompt.data.minisketch.builder import load_mini

    if cache_dir is not None:
        options["cache_dir"] = cache_dir
    return load_mini(**options)
