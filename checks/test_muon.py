"""Muon beside torch's own, and what it is for."""

import pytest
import torch
from torch import nn

from training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 24)])
def test_in_bfloat16_it_moves_weights_as_the_one_in_torch_does(shape: tuple[int, int]):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings = {"lr": 0.1, "weight_decay": 0.2, "momentum": 0.9}
    optimizers = [Muon([ours], **settings, dtype=torch.bfloat16), torch.optim.Muon([theirs], **settings, ns_steps=3)]
    for _ in range(5):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)  # bfloat16 has three digits
    assert (ours - start).abs().max() > 0.2


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48)])
def test_updates_keep_the_directions_of_the_gradient_and_give_them_equal_weight(shape: tuple[int, int]):
    gradient = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, _, vh = torch.linalg.svd(gradient, full_matrices=False)
    in_its_directions = u.mT @ orthogonal(gradient) @ vh.mT
    values = in_its_directions.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(in_its_directions, torch.diag_embed(values))
    assert values.min() > 0
    assert values.median() > 0.6
    assert values.max() < 1.3


def test_matrices_move_the_same_together_and_alone():
    def after(groups: list[list[int]]) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(4, 4), (8, 4), (4, 4)]]
        for w in weights:
            w.grad = torch.randn(w.shape, generator=generator)
        for group in groups:
            Muon([weights[i] for i in group], lr=0.1).step()
        return weights

    for together, alone in zip(after([[0, 1, 2]]), after([[0], [1], [2]]), strict=True):
        torch.testing.assert_close(together, alone)


def test_a_weight_without_a_gradient_stays():
    moving, still = nn.Parameter(torch.eye(4)), nn.Parameter(torch.eye(4))
    moving.grad = torch.ones(4, 4)
    Muon([moving, still], lr=0.1).step()
    assert torch.equal(still, torch.eye(4))
    assert not torch.equal(moving, torch.eye(4))
