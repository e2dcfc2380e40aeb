"""What every benchmark's `datasets` builder shares: from the files of a folder to a table of paths."""

from collections.abc import Iterable, Iterator

import datasets

from sketch_prompt.data.configs import FolderConfig
from sketch_prompt.data.splits import SPLIT_NAMES


class TableBuilder(datasets.GeneratorBasedBuilder):
    """A builder whose splits may be empty."""

    def _as_dataset(self, split: datasets.Split, in_memory: bool = False) -> datasets.Dataset:
        if self.info.splits[str(split)].num_examples == 0:
            # `datasets` refuses to read a table without rows.
            empty = {column: [] for column in self.info.features}
            return datasets.Dataset.from_dict(empty, self.info.features, self.info, split)
        return super()._as_dataset(split, in_memory)


class BenchmarkBuilder(TableBuilder):
    """A benchmark as tables: train_sketch and train_photo (seen classes), test_sketch and test_photo (unseen).

    The columns are image (a path; nothing is copied or opened), label, instance_id and domain. Rows are sorted by
    class and file name.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = FolderConfig

    def _info(self) -> datasets.DatasetInfo:
        contents = self.config.list_contents()
        description = f"{self.config.name}, {contents.packaging}"
        if contents.skipped:
            description += f"\n{len(contents.skipped)} files skipped:\n" + "\n".join(contents.skipped)
        return datasets.DatasetInfo(description=description, features=features(contents.class_names))

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=part, gen_kwargs={"part": part}) for part in SPLIT_NAMES]

    def _generate_examples(self, part: str) -> Iterator[tuple[int, dict]]:
        items = self.config.list_contents().items[part]
        domain = part.rpartition("_")[2]
        rows = (
            {"image": image, "label": name, "instance_id": instance, "domain": domain}
            for name in items
            for item in items[name]
            for image, instance in self.config.examples_of(item)
        )
        yield from enumerate(rows)


def class_splits(seen: Iterable[str], unseen: Iterable[str]) -> list[datasets.SplitGenerator]:
    """The four splits for a builder that makes pictures from `class_names` and a `domain`."""
    classes = {
        "train": list(seen),
        "test": list(unseen),
    }  # a list is what `datasets` shares out among processes
    parts = {name: name.split("_") for name in SPLIT_NAMES}
    return [
        datasets.SplitGenerator(name=name, gen_kwargs={"class_names": classes[part], "domain": domain})
        for name, (part, domain) in parts.items()
    ]


def features(class_names: Iterable[str]) -> datasets.Features:
    """The columns of every benchmark. The label of a class is its position in `class_names`."""
    return datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=list(class_names)),
        instance_id=datasets.Value("string"),
        domain=datasets.Value("string"),
    )
