import subprocess
import sys

import torch

from sketch_prompt.evaluation.environment import peak_memory


def test_peak_memory_is_the_processes_own_and_not_what_its_parent_held():
    held = b"x" * 400_000_000
    code = (
        "import torch; from sketch_prompt.evaluation.environment import peak_memory;"
        "print(peak_memory(torch.device('cpu'))['process'])"
    )
    child = float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    ours = peak_memory(torch.device("cpu"))["process"]
    assert ours > len(held) / 1e6
    assert 50 < child < ours - 100
