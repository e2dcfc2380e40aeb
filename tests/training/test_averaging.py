"""The weights that are evaluated and saved: a running average of those of the steps, mixed with the initial ones."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sketch_prompt.training import loop
from sketch_prompt.training.averaging import FinalWeights
from sketch_prompt.training.loop import train


class Model:
    def __init__(self):
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))

    def trainable_parameters(self):
        return {"weight": self.weight}

    def move_to(self, *values):
        with torch.no_grad():
            self.weight.copy_(torch.tensor(values))


def test_the_average_follows_the_weights_ever_more_slowly():
    model = Model()
    final, expected = FinalWeights(model, 0.9), np.array([1.0, 2.0])
    for step, values in enumerate(([3.0, 0.0], [5.0, 1.0], [7.0, 7.0]), 1):
        model.move_to(*values)
        final.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * np.array(values)
    with final.applied():
        np.testing.assert_allclose(model.weight.detach(), expected, rtol=1e-6)
    assert model.weight.tolist() == [7.0, 7.0]


@pytest.mark.parametrize("alpha", [0, 0.25, 1])
def test_the_mixture_lies_between_the_initial_and_the_trained_weights(alpha):
    model = Model()
    final = FinalWeights(model, wise_ft_alpha=alpha)
    model.move_to(3.0, 0.0)
    final.apply()
    np.testing.assert_allclose(model.weight.detach(), [1 + 2 * alpha, 2 - 2 * alpha])


def test_without_either_the_weights_stay():
    model = Model()
    final = FinalWeights(model)
    model.move_to(3.0, 0.0)
    final.update(1)
    with final.applied():
        assert model.weight.tolist() == [3.0, 0.0]
    final.apply()
    assert model.weight.tolist() == [3.0, 0.0] and final.average is None


def saved(config):
    return load_file(config.output_dir / "adapter_model.safetensors")


def test_a_training_saves_the_mixture_of_initial_and_last_weights(recipe, tmp_path):
    runs = {}
    for alpha in (0.0, 0.5, 1.0):
        config = recipe(
            data={"validation_classes": 0},
            optimisation={"epochs": 1, "wise_ft_alpha": alpha},
            evaluation={"test": False},
            run={"output_dir": str(tmp_path / f"{alpha}")},
        )
        train(config)
        runs[alpha] = saved(config)
    for name, tensor in runs[0.5].items():
        torch.testing.assert_close(tensor, (runs[0.0][name] + runs[1.0][name]) / 2)
    assert any(not torch.equal(runs[0.0][name], tensor) for name, tensor in runs[1.0].items())


def test_a_run_with_an_average_that_was_cut_off_ends_as_if_it_had_not_been(recipe, tmp_path, monkeypatch):
    options = {
        "data": {"validation_classes": 0},
        "optimisation": {"epochs": 2, "ema_decay": 0.5},
        "evaluation": {"test": False},
    }
    whole = recipe(**options, run={"output_dir": str(tmp_path / "whole")})
    train(whole)
    cut = recipe(**options, run={"output_dir": str(tmp_path / "cut")})
    end_epoch = loop.Trainer._end_epoch

    def stop(trainer):
        end_epoch(trainer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Trainer, "_end_epoch", stop)
        train(cut)
    train(cut)
    averaged = saved(cut)
    for name, tensor in saved(whole).items():
        torch.testing.assert_close(averaged[name], tensor)
    last = load_file(cut.output_dir / "checkpoints/last/adapter_model.safetensors")
    assert any(not torch.equal(last[name], tensor) for name, tensor in averaged.items())
