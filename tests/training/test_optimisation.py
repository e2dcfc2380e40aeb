import pytest
import torch

from sketch_prompt.training.config import OptimisationConfig
from sketch_prompt.training.optimisation import build_optimizer, build_scheduler
from sketch_prompt.training.recipe import RecipeError


class Model:
    method = "fake"

    def __init__(self, *names):
        self.names = names

    def parameter_groups(self):
        return [{"name": name, "params": [torch.nn.Parameter(torch.ones(2))]} for name in self.names]


def test_each_group_trains_at_its_own_rate():
    config = OptimisationConfig(learning_rate=1e-2, learning_rates={"layer_norms": 1e-4}, weight_decay=0.1)
    optimizer = build_optimizer(Model("prompts", "layer_norms"), config)
    assert {g["name"]: g["lr"] for g in optimizer.param_groups} == {"prompts": 1e-2, "layer_norms": 1e-4}
    assert all(g["weight_decay"] == 0.1 for g in optimizer.param_groups)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimizer_is_the_named_one(name, kind):
    assert type(build_optimizer(Model("prompts"), OptimisationConfig(optimizer=name))) is kind


def test_a_rate_for_a_group_that_is_not_there_names_the_nearest():
    config = OptimisationConfig(learning_rates={"layernorms": 1e-4})
    with pytest.raises(RecipeError, match=r"learning_rates.layernorms; did you mean 'layer_norms'"):
        build_optimizer(Model("prompts", "layer_norms"), config)


def test_a_model_with_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="fake has nothing to train"):
        build_optimizer(Model(), OptimisationConfig())


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [0, 0.5, 1, 1, 1, 1, 1]),
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [0, 0.5, 1, 0.853553, 0.5, 0.146447, 0]),
    ],
)
def test_the_rate_warms_up_and_follows_its_schedule(schedule, factors):
    config = OptimisationConfig(learning_rate=2.0, schedule=schedule, warmup_steps=2)
    optimizer = build_optimizer(Model("prompts"), config)
    scheduler = build_scheduler(optimizer, config, total_steps=6)
    rates = []
    for _ in factors:
        rates.append(optimizer.param_groups[0]["lr"] / 2)
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(factors, abs=1e-5)
