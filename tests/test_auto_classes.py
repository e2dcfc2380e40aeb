"""transformers' Auto classes know the methods once both packages are imported; importing ours alone stays cheap."""

import subprocess
import sys

import pytest

from fakes import processes
from sketch_prompt.sources import find_checkpoint


def run(code, has_transformers=False):
    if has_transformers:
        done = processes.run("-c", code)
    else:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_package_imports_neither_torch_nor_transformers_whatever_the_program_is_called():
    for program in ("sketch-prompt", "train.py"):
        code = f"import sys; sys.argv = [{program!r}]; import sketch_prompt;"
        assert run(code + "print({'torch', 'transformers', 'numpy'} & set(sys.modules) or 'none')") == [
            "none"
        ]


ORDERS = {
    "ours first": "import sketch_prompt; from transformers import AutoConfig, AutoModel, AutoProcessor",
    "transformers first": "from transformers import AutoConfig, AutoModel, AutoProcessor; import sketch_prompt",
    "a part of ours": "from sketch_prompt.models.splip import SplipConfig; "
    "from transformers import AutoConfig, AutoModel, AutoProcessor",
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_auto_classes_know_every_method_without_importing_the_others(order):
    folder = str(find_checkpoint("mini-clip-at"))
    code = (
        f"import sys; {ORDERS[order]}\n"
        f"processor = AutoProcessor.from_pretrained({folder!r})\n"
        f"model = AutoModel.from_pretrained({folder!r})\n"
        f"config = AutoConfig.from_pretrained({folder!r})\n"
        "print(type(model).__name__, type(processor).__name__, type(config).__name__)\n"
        "print('sketch_prompt.models.dp_clip' in sys.modules)"
    )
    first = run(code, has_transformers=order == "transformers first")
    assert first == ["ClipAtModel", "SketchPromptProcessor", "ClipAtConfig", "False"]
