"""Cards of data sets: galleries and benchmarks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
import pyarrow.parquet as pq
from datasets.info import DatasetInfo, DatasetInfosDict
from huggingface_hub import DatasetCardData

from .rendering import render

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)
_LEVELS = {
    "category": "Every photo of the sketch's class is correct (mAP, P@k).",
    "instance": "Only the photo that the sketch was drawn from is correct (Acc@k).",
}


def size_category(count: int) -> str:
    """The Hub's size category for a number of rows."""
    return next((name for bound, name in _SIZES if count < bound), "n>10M")


def gallery_card(
    repo_id: str,
    description: Mapping,
    count: int,
    features: datasets.Features,
    license: str,
    folder: Path,
) -> str:
    """The README.md of a gallery.

    Args:
        repo_id: Repository that the gallery is pushed to.
        description: `Gallery.describe()`.
        count: Number of photos.
        features: The columns of the table.
        license: Licence, as it is called on the Hub.
        folder: Folder with data/photos-<n>.parquet.
    """
    source, method = description["model"]["source"], description["model"]["fingerprint"]["method"]
    name = repo_id.rpartition("/")[2]
    data = DatasetCardData(
        license=license,
        pretty_name=name,
        size_categories=[size_category(count)],
        task_categories=["image-feature-extraction"],
        tags=["sketch-based-image-retrieval", method],
        library_name="sketch-prompt",
        configs=[{"config_name": "default", "data_files": "data/photos-*.parquet"}],
    )
    _describe_columns(data, features, {"train": sorted(folder.glob("data/photos-*.parquet"))})
    return render(
        "gallery_card.md.jinja",
        data,
        title=f"{name}: a gallery of {count:,} photos",
        repo_id=repo_id,
        count=f"{count:,}",
        model=source or "the gallery's model",
        source=source,
        method=method,
        include_photos="image" in features,
        width=features["features"].length,
    )


def benchmark_card(
    repo_id: str,
    tables: datasets.DatasetDict,
    folder: Path,
    *,
    about: str,
    level: str,
    license: str,
    bibtex: str = "",
) -> str:
    """The README.md of a benchmark.

    Args:
        repo_id: Repository that the benchmark is pushed to.
        tables: The four tables of `load_benchmark`.
        folder: Folder with data/<split>-<n>-of-<m>.parquet.
        about: A paragraph that describes the benchmark.
        level: "category" or "instance".
        license: Licence, as it is called on the Hub.
        bibtex: What to cite.
    """
    name = repo_id.rpartition("/")[2]
    counts = {split: len(table) for split, table in tables.items()}
    labels = next(iter(tables.values())).features["label"].names
    present = {split: set(table.select_columns("label")["label"]) for split, table in tables.items()}
    seen = sorted(present["train_sketch"] | present["train_photo"])
    unseen = sorted((present["test_sketch"] | present["test_photo"]) - set(seen))
    data = DatasetCardData(
        license=license,
        pretty_name=name,
        size_categories=[size_category(sum(counts.values()))],
        task_categories=["image-feature-extraction"],
        tags=["sketch-based-image-retrieval", "zero-shot", "sketch"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in tables],
            }
        ],
    )
    files = {split: sorted(folder.glob(f"data/{split}-*.parquet")) for split in tables}
    _describe_columns(data, next(iter(tables.values())).features, files)
    words = {"train": "seen classes", "test": "unseen classes"}
    return render(
        "benchmark_card.md.jinja",
        data,
        title=name,
        repo_id=repo_id,
        about=about,
        splits=[
            (
                f"`{split}`",
                f"{split.split('_')[1]}s of {words[split.split('_')[0]]}",
                f"{n:,}",
                len(present[split]),
            )
            for split, n in counts.items()
        ],
        level_text=_LEVELS[level],
        seen=[labels[label] for label in seen],
        unseen=[labels[label] for label in unseen],
        bibtex=bibtex.strip(),
    )


def _describe_columns(
    data: DatasetCardData, features: datasets.Features, files: Mapping[str, Sequence[Path]]
) -> None:
    """Add `dataset_info` to the metadata, so that the viewer and `datasets` know the columns and sizes."""
    sizes = {split: [pq.read_metadata(path) for path in paths] for split, paths in files.items()}
    splits = {
        split: {
            "name": split,
            "num_examples": sum(part.num_rows for part in parts),
            "num_bytes": sum(
                part.row_group(group).total_byte_size
                for part in parts
                for group in range(part.num_row_groups)
            ),
        }
        for split, parts in sizes.items()
    }
    info = DatasetInfo(
        features=features,
        splits=datasets.SplitDict.from_split_dict(splits),
        download_size=sum(path.stat().st_size for paths in files.values() for path in paths),
        dataset_size=sum(split["num_bytes"] for split in splits.values()),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
