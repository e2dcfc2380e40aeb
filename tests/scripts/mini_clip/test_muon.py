import pytest
import torch

from mini_clip.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(2, 16, 48), (2, 48, 16), (1, 32, 32)])
def test_orthogonalized_matrices_have_singular_values_of_about_one(shape):
    torch.manual_seed(0)
    matrices = orthogonalize(torch.randn(shape) * 7, steps=6)
    assert matrices.shape == shape
    values = torch.linalg.svdvals(matrices)
    assert values.max() < 1.3 and values.median() > 0.6


def test_matrices_of_one_shape_do_not_mix():
    torch.manual_seed(0)
    matrices = torch.randn(3, 8, 12)
    together = orthogonalize(matrices)
    for i in range(3):
        torch.testing.assert_close(together[i], orthogonalize(matrices[i : i + 1])[0])


def test_muon_fits_a_linear_map_and_leaves_parameters_without_gradient_alone():
    torch.manual_seed(0)
    target = torch.linalg.qr(torch.randn(12, 12))[0]
    weight, idle = torch.nn.Parameter(torch.zeros(12, 12)), torch.nn.Parameter(torch.ones(3, 3))
    optimizer = Muon([weight, idle], lr=0.05, weight_decay=0.0)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 200)
        optimizer.zero_grad()
        (weight - target).square().sum().backward()
        optimizer.step()
    assert (weight - target).abs().max() < 0.05
    assert torch.equal(idle, torch.ones(3, 3))
