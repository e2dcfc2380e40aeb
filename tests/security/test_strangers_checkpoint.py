"""A stranger's checkpoint runs no code when it is converted, and gives its tensors whatever else is pickled in it."""

import argparse
import os
import pathlib
import pickle
import subprocess

import numpy as np
import pytest
import torch

from fakes import parity
from sketch_prompt.models.conversion import from_reference, load_reference_checkpoint
from sketch_prompt.models.inert_pickle import load_inert


@pytest.fixture(scope="module")
def weights():
    case = parity.load_case("clip_at_category")
    return {name: torch.as_tensor(value) for name, value in case["weights"].items()}


class Options:
    """Of a module that the reader of a checkpoint does not have."""

    def __init__(self):
        self.depth = {"a": [1, 2]}


class OwnDict(dict):
    """A mapping with a class of its own."""


class OwnList(list):
    """A list with a class of its own."""


class Runs:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HYPER_PARAMETERS = {
    "namespace": argparse.Namespace(lr=1e-3, out=pathlib.PurePosixPath("/x")),
    "path": pathlib.PurePosixPath("/home/somebody/data"),
    "own class": Options(),
    "own mapping": OwnDict(a=1, b=OwnList([Options()])),
    "numpy": {"best": np.float64(0.5), "seed": np.int64(3), "table": np.zeros((2, 3))},
    "set": {"a", "b"},
    "function": os.path.join,
    "type": torch.float16,
    "device": torch.device("cpu"),
}


@pytest.mark.parametrize("name", HYPER_PARAMETERS)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_lightning_checkpoint_converts_whatever_its_hyper_parameters_are(weights, tmp_path, name, zipped):
    path = tmp_path / "last.ckpt"
    checkpoint = {"hyper_parameters": {"x": HYPER_PARAMETERS[name]}, "epoch": 3, "state_dict": weights}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
    model = from_reference("clip-at", load_reference_checkpoint(path))
    assert torch.equal(model.adapter.sketch_prompts, weights["sk_prompt"])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (subprocess.check_call, (["touch", "{}"],)),
        (eval, ("open('{}', 'w')",)),
        (exec, ("open('{}', 'w')",)),
        (pathlib.Path.touch, (pathlib.PosixPath("{}"),)),
        (getattr, (os, "system")),
        (torch.load, ("{}",)),
        (torch.hub.load, ("{}", "x")),
        (pickle.loads, (b"cos\nsystem\n(S'touch {}'\ntR.",)),
    ],
)
def test_no_code_runs(weights, tmp_path, function, arguments, zipped):
    mark = tmp_path / "mark"

    def filled(value):
        if isinstance(value, list):
            return [filled(part) for part in value]
        if isinstance(value, str | pathlib.PosixPath):
            return type(value)(str(value).format(mark))
        return value.replace(b"{}", str(mark).encode()) if isinstance(value, bytes) else value

    path = tmp_path / "evil.ckpt"
    call = Runs(function, *(filled(value) for value in arguments if value is not os))
    torch.save({"state_dict": weights, "x": call}, path, _use_new_zipfile_serialization=zipped)
    loaded = load_reference_checkpoint(path)
    assert not mark.exists() and torch.equal(loaded["state_dict"]["sk_prompt"], weights["sk_prompt"])


def test_torch_itself_is_not_altered(tmp_path):
    """A pickle can set attributes of what it names, which must not be torch's own functions."""
    # torch._utils._rebuild_tensor_v2, with the state (None, {"__defaults__": (1, 2)})
    evil = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__K\x01K\x02\x86s\x86b."
    (tmp_path / "plain.pkl").write_bytes(evil)
    before = torch._utils._rebuild_tensor_v2.__defaults__
    from sketch_prompt.models.inert_pickle import _load

    with (tmp_path / "plain.pkl").open("rb") as file:
        _load(file)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


def test_a_compiled_model_is_refused_unread(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "compiled.pt"))
    with pytest.raises(ValueError, match="compiled"):
        load_inert(tmp_path / "compiled.pt")
    with pytest.raises(ValueError, match=r"compiled.pt is damaged or not a checkpoint"):
        load_reference_checkpoint(tmp_path / "compiled.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, where a checkpoint is a mapping"),
        (torch.zeros(2), "holds a Tensor, where a checkpoint is a mapping"),
        ("text", "holds a str, where a checkpoint is a mapping"),
        (Options(), "holds an object, where a checkpoint is a mapping"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=f"x.pth {message}"):
        load_reference_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 garbage", b"garbage", b"\x80\x02."])
def test_a_damaged_file_is_named_and_why(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"x.pth is (empty|damaged or not a checkpoint: \S+)") as caught:
        load_reference_checkpoint(tmp_path / "x.pth")
    assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(1)}, None),
        ({"clip.visual.conv1.weight": torch.zeros(3)}, "has shape .3,., where 4 sizes are expected"),
        ({"clip.token_embedding.weight": torch.zeros(3)}, "has shape .3,., where 2 sizes are expected"),
        ({"sk_prompt": torch.tensor(1.0)}, "tensors are not those of clip-at"),
        ({"sk_prompt": torch.zeros(2, 7)}, "tensors are not those of clip-at"),
        ({"clip.visual.conv1.weight": torch.zeros(0, 0, 0, 0)}, "tensors are not those|positive|zero"),
    ],
)
def test_tensors_of_another_shape_are_named(weights, change, message):
    if message is None:
        assert from_reference("clip-at", weights | change).method == "clip-at"
        return
    with pytest.raises(ValueError, match=message) as caught:
        from_reference("clip-at", weights | change)
    assert str(caught.value)


@pytest.mark.parametrize(
    "checkpoint", [{}, {"a": 1}, {"state_dict": {"a": "text"}}, [1], {1: torch.zeros(1)}]
)
def test_what_holds_no_tensors_by_name_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"no named tensors|a mapping of names to tensors"):
        from_reference("clip-at", checkpoint)
