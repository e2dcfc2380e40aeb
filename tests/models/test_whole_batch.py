"""Losses over a batch are the same however many processes share the batch."""

import pytest
import torch

from fakes import shared_batch
from fakes.processes import run_together
from sketch_prompt.models import method_folders
from sketch_prompt.models.auto import model_class
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.models.whole_batch import gather_rows, n_processes, own_rows, take_rows


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes make of every case, each with half the batch."""
    path = tmp_path_factory.mktemp("two") / "results.pt"
    done = run_together(2, shared_batch.__file__, path)
    assert [process.returncode for process in done] == [0, 0], done
    return torch.load(path)


@pytest.fixture
def same_draws(monkeypatch):
    for module, name in (
        (torch, "rand"),
        (torch, "randint"),
        (shared_batch.tiles, "other_orders"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    shared_batch.fix_random_rows()


@pytest.mark.parametrize("case", shared_batch.CASES)
def test_two_processes_with_half_the_batch_have_the_losses_and_gradients_of_one_with_all_of_it(
    case, two, same_draws
):
    one = shared_batch.step(case)
    assert one.keys() == two[case].keys()
    for name, value in one.items():
        torch.testing.assert_close(
            two[case][name], value, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_every_method_that_trains_is_among_the_cases(two):
    # The trained lens compares each drawing with features of all seen photos: no term of it is over a batch.
    assert {method for method, *_ in shared_batch.CASES.values()} | {"sketch-lens"} == {
        method
        for method in method_folders()
        if model_class(method).loss_weights is not SketchPromptPreTrainedModel.loss_weights
    }
    assert "loss f_divergence" in two["clip-at, fine-grained"] and "loss hard_triplet" in two["dp-clip"]


def test_one_process_has_the_whole_batch():
    rows = torch.arange(6.0, requires_grad=True)
    assert n_processes() == 1 and gather_rows(rows) is rows and own_rows(rows) is rows
    assert take_rows(rows, torch.tensor([4, 1])).tolist() == [4, 1]
