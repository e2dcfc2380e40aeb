"""YAML of a stranger, a recipe or the split in an archive of data, fills no memory and takes no time."""

import pytest
import yaml

from ablation import read_rows
from fakes.archives import make
from sketch_prompt.data.archives import unpack
from sketch_prompt.data.check import check_data
from sketch_prompt.data.splits import read_split
from sketch_prompt.strict_yaml import MAX_BYTES, NotPlainYamlError, parse_yaml, read_yaml
from sketch_prompt.training.config import TrainingConfig
from sketch_prompt.training.recipe import RecipeError

# Nine levels of nine aliases each stand for 10^9 strings.
LEVELS = "abcdefghij"
LAUGHS = 'a: &a ["lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol"]\n' + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip(LEVELS, LEVELS[1:])
)
CONTENT = {f"{domain}/{name}/a.png": b"x" for domain in ("photo", "sketch") for name in ("cat", "dog")}
HOSTILE = {
    "aliases": (LAUGHS, "the alias .a is not read here"),
    "merge": ("base: {x: 1}\nmodel:\n  <<: {x: 1}\n", "the merge key << is not read here"),
    "flow nesting": ("seen: " + "[" * 3000, "nested more than 32 deep"),
    "block nesting": ("\n".join(" " * depth + "k:" for depth in range(400)), "nested more than 32 deep"),
    "list as key": ("? [a, b]\n: c\n", "this is not a key"),
    "key twice": ("seen: [a]\nseen: [b]\n", "the key 'seen' occurs twice"),
    "no boolean": ("seen: !!bool x\n", "not valid YAML"),
    "no time": ("seen: !!timestamp x\n", "not valid YAML"),
    "python": ("seen: !!python/object/apply:os.system [id]\n", "not valid YAML"),
    "bytes": (b"\xff\xfe\x00seen", "not valid YAML: it is not text in UTF-8"),
    "control": ("seen: [\x07]", "not valid YAML"),
    "huge": ("seen: [" + "a, " * (MAX_BYTES // 3) + "b]", "is larger than 1,048,576 bytes"),
    "long number": ("seen: " + "9" * 10_000, "not valid YAML: a value is not of its type"),
}


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "read", [TrainingConfig.load, read_split, read_rows], ids=["recipe", "split", "ablation"]
)
def test_every_reader_of_yaml_refuses_it_and_says_where(tmp_path, read, name):
    text, message = HOSTILE[name]
    path = write(tmp_path / "hostile.yaml", text)
    with pytest.raises(ValueError, match=f"hostile.yaml.*{message}") as caught:
        read(path)
    assert len(str(caught.value)) < 1000


def test_a_split_in_an_archive_of_data_is_refused(tmp_path):
    text = LAUGHS + "seen: *j\n"
    archive = make(tmp_path / "data.zip", CONTENT | {"split.yaml": text.encode()})
    folder = unpack(archive, tmp_path / "out")
    report = check_data(folder, "sketch-folder")
    assert not report.is_usable and "is not read here" in report.to_json()


@pytest.mark.parametrize(
    "key", ["optimisation.epochs", "run.output_dir", "evaluation.ks", "processor", "data.options"]
)
def test_a_long_value_in_the_wrong_place_makes_a_short_message(tmp_path, key):
    recipe = {"model": {"method": "clip-at", "base_model": "x"}, "data": {"benchmark": "sketchy-21"}}
    section, *rest = key.split(".")
    value = [["lol"] * 1000] * 20 if key != "evaluation.ks" else "lol" * 20_000
    recipe[section] = recipe.get(section, {}) | {rest[0]: value} if rest else value
    loader = yaml.SafeDumper
    loader.ignore_aliases = lambda *_: True
    with pytest.raises(RecipeError) as caught:
        TrainingConfig.load(write(tmp_path / "r.yaml", yaml.dump(recipe, Dumper=loader)))
    assert len(str(caught.value)) < 500


def test_plain_yaml_is_read_as_ever(tmp_path):
    text = "rate: 1e-4\nnames: [a, 'b', 3]\nnested: {x: {y: [null, true, .5]}}\nanchor: &unused 1\n"
    expected = {"rate": 1e-4, "names": ["a", "b", 3], "nested": {"x": {"y": [None, True, 0.5]}}, "anchor": 1}
    assert read_yaml(write(tmp_path / "plain.yaml", text)) == parse_yaml(text, "here") == expected
    with pytest.raises(NotPlainYamlError, match="here is longer"):
        parse_yaml("a" * (MAX_BYTES + 1), "here")
