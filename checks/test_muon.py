"""Muon beside torch's own, and what it is for."""

import pytest
import torch
from torch import nn

from training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 24)])
def test_with_rows_as_they_are_it_moves_weights_as_the_one_in_torch_does(shape: tuple[int, int]):
    """beta = 1: v stays 0 in all rows, and none is divided by more than another."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    settings = {"lr": 0.1, "weight_decay": 0.2, "momentum": 0.9}
    optimizers = [
        Muon([ours], **settings, beta=1.0, dtype=torch.bfloat16),
        torch.optim.Muon([theirs], **settings, ns_steps=3),
    ]
    for _ in range(5):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)  # bfloat16 has three digits
    assert (ours - start).abs().max() > 0.2


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 24)])
def test_rows_are_brought_to_one_length_in_their_own_directions(shape: tuple[int, int]):
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    even, plain = (nn.Parameter(torch.zeros(shape)) for _ in range(2))
    for weight, beta in ((even, 0.9), (plain, 1.0)):
        weight.grad = gradient
        Muon([weight], lr=0.1, beta=beta).step()
    lengths = even.norm(dim=1)
    torch.testing.assert_close(lengths, lengths.mean().expand_as(lengths))
    torch.testing.assert_close(even.norm(), plain.norm())
    torch.testing.assert_close(even / even.norm(dim=1, keepdim=True), plain / plain.norm(dim=1, keepdim=True))


def test_rows_are_judged_by_the_steps_before_as_well():
    """A row that has been short for long is not made as long as the others by one long step: it gets longer."""
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.zeros(24, 8))
    optimizer = Muon([weight], lr=0.1, weight_decay=0, momentum=0, beta=0.9)
    for step in range(20):
        weight.grad = torch.randn(24, 8, generator=generator)
        weight.grad[0] *= 0.1 if step < 19 else 10
        before = weight.detach().clone()
        optimizer.step()
    lengths = (weight - before).norm(dim=1)
    assert lengths[0] > 2 * lengths[1:].mean()


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
