"""Stage 9: LayerNorm. Your files: gpt/layer_norm.py (TODO 9-1) and gpt/block_v3.py (TODO 9-2).
Chapter: book/en/09-layer-norm.md"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.experiments.stage_9 import GRADIENTS, LAYER_NORM_HELPS
from tests.kit import Task, random, show, table
from tests.kit.experiment import prove
from tests.kit.standins import Function, PastMean, with_stand_ins


def torchs(norm: Any, x: Tensor) -> Tensor:
    """torch's own layer norm, in double precision."""
    gamma, beta = norm.gamma.double(), norm.beta.double()
    return F.layer_norm(x.double(), x.shape[-1:], gamma, beta, norm.eps).to(x.dtype)


def pre_norm(block: Any, x: Tensor) -> Tensor:
    gathered = torch.add(x, block.head(torchs(block.ln1, x)))
    return torch.add(gathered, block.ffwd(torchs(block.ln2, gathered)))


NORM = Task("9-1", call="LayerNorm(6)(x of {})", given="gamma beta eps", right=torchs)
BLOCK = Task("9-2", call="BlockVer3(head, 6)(x of {})", given="head ffwd ln1 ln2", right=pre_norm)

# ---- TODO 9-1: LayerNorm


def test_layer_norm_of_two_tokens_is_as_worked_by_hand():
    """One token has mean 5 and standard deviation 2, the other 2 and 4: subtract the first, divide by the second."""
    x = torch.tensor([[[8.0, 2.0, 6.0, 4.0, 5.0], [0.0, 0.0, 0.0, 0.0, 10.0]]])
    want = torch.tensor([[[1.5, -1.5, 0.5, -0.5, 0.0], [-0.5, -0.5, -0.5, -0.5, 2.0]]])
    NORM.expect(NORM.run(NORM.make(5), x), want, "LayerNorm(5)(x)")
    show("x:", table(x[0], "t=", "c="), "LayerNorm(5)(x):", table(want[0], "t=", "c="))


def test_layer_norm_features_dim_is_properly_normalized():
    """Before it is scaled and shifted, each token's features have mean 0 and (biased) variance 1."""
    x = torch.tensor([1.0, 2.0, 5.0]).view(3, 1) * (3 + random(4, 3, 64) / 2)
    out = NORM.result(NORM.make(64), x).detach()
    variances = out.var(dim=-1, correction=0)
    NORM.expect(out.mean(dim=-1), torch.zeros(4, 3), "LayerNorm(64)(x).mean(dim=-1)", "B T", atol=1e-4)
    NORM.expect(variances, torch.ones(4, 3), "LayerNorm(64)(x).var(dim=-1, correction=0)", "B T", rtol=1e-3)
    rows = [x[0].mean(dim=-1), x[0].var(dim=-1, correction=0), out[0].mean(dim=-1).abs(), variances[0]]
    show("three tokens; their mean and variance, before and after:", table(torch.stack(rows, dim=1)))


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 8, 6), (3, 1, 6), (5, 6), (6,), (2, 4, 3, 6)])
def test_layer_norm_equals_that_of_torch_for_an_input_of_any_shape(shape: tuple[int, ...]):
    """F.layer_norm with the same gamma and beta, over the last dimension, however many come before it."""
    norm, x = layer_norm(), 1 + random(*shape)
    NORM.expect(NORM.run(norm, x.clone()), torchs(norm, x), NORM.says(x), "A B T C"[-2 * len(shape) + 1 :])


@pytest.mark.parametrize(
    ("scale", "eps"), [(1.0, 0.5), (1e-3, 1e-5), (1e-3, 1e-6), (1e-20, 1e-5), (1e4, 1e-5), (1e10, 1e-5)]
)
def test_eps_is_added_to_the_variance_whatever_the_size_of_the_numbers(scale: float, eps: float):
    """It counts where the variance is small, and keeps numbers of any size finite: (x - mean) / sqrt(var + eps)."""
    norm, x = NORM.make(6, eps=eps), scale * (1 + random(2, 5, 6))
    NORM.expect(NORM.run(norm, x.clone()), torchs(norm, x), f"LayerNorm(6, eps={eps:g})({scale:g} * x)", atol=1e-6)


def test_a_token_whose_features_are_all_equal_becomes_beta():
    """Its variance is 0, and eps saves from 0 / 0: gamma * 0 / sqrt(0 + eps) + beta."""
    norm, x = layer_norm(), torch.tensor([3.0, 0.0, -2.0]).view(1, 3, 1).expand(1, 3, 6).clone()
    NORM.expect(NORM.run(norm, x), norm.beta.detach().expand(1, 3, 6), NORM.says(x), atol=1e-3)


def test_each_token_is_normalized_by_itself():
    """Change one token of one example: no other token notices, in this example or in another."""
    norm, x = layer_norm(), random(3, 5, 6)
    changed = x.clone()
    changed[1, 2] *= 100
    before, after = NORM.result(norm, x.clone()).detach(), NORM.result(norm, changed).detach()
    before[1, 2] = after[1, 2] = 0
    NORM.expect(after, before, "The output of all other tokens, after one was changed,")


def test_gradients_of_x_gamma_and_beta_are_those_of_torch():
    """Mean and variance depend on x, so that the gradient of x has a part that flows through them."""
    x = 1 + random(2, 5, 6)
    x[0, 1] = 3.0
    NORM.expect_gradients(layer_norm(), x)


def test_layer_norm_keeps_no_statistics_and_leaves_its_input_as_it_came():
    """It learns gamma and beta, and what it gives depends on x alone, in train and in eval mode. The caller still needs
    x: the residual connection adds to it."""
    NORM.expect_all_lengths(layer_norm(), lambda T: T * random(2, T, 6))


def test_layer_norm_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    NORM.expect_precise(layer_norm(), random(2, 5, 6))
    NORM.expect_on_device(layer_norm(), random(2, 5, 6))


# ---- TODO 9-2: BlockVer3. Feed-forward and norms are stand-ins: a mistake in another file does not show here


def test_block_ver_3_of_one_token_is_as_worked_by_hand():
    """The head doubles and feed-forward multiplies by 4 what they get, which is normalized; x itself is not."""
    tiny = BLOCK.make(Function(lambda x: 2 * x), 5)
    tiny = with_stand_ins(tiny, 5, ffwd=Function(lambda x: 4 * x))
    for norm in (tiny.ln1, tiny.ln2):
        nn.init.ones_(norm.gamma)
        nn.init.zeros_(norm.beta)
    x = torch.tensor([[[8.0, 2.0, 6.0, 4.0, 5.0]]])
    want = torch.tensor([[[17.0, -7.0, 9.0, 1.0, 5.0]]])
    BLOCK.expect(BLOCK.run(tiny, x.clone()), want, "block(x)")
    steps = [x[0, 0], [1.5, -1.5, 0.5, -0.5, 0], [11, -1, 7, 3, 5], [1.5, -1.5, 0.5, -0.5, 0], want[0, 0]]
    names = ["x", "ln1(x)", "x1 = x + 2 ln1(x)", "ln2(x1)", "x1 + 4 ln2(x1)"]
    show(*(f"{name:18}{table(torch.as_tensor(step).float())}" for name, step in zip(names, steps, strict=True)))


def test_a_block_whose_branches_say_nothing_hands_x_on_unchanged():
    """Head and feed-forward give 0 here. Nothing else touches the residual stream, and so the block gives x."""
    silent = with_stand_ins(BLOCK.make(Function(torch.zeros_like), 6), 6, ffwd=Function(torch.zeros_like))
    x = 1 + random(2, 5, 6)
    BLOCK.expect(BLOCK.run(silent, x.clone()), x, "block(x), where head and feed-forward give 0,")


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (4, 3)])
def test_block_ver_3_normalizes_what_head_and_feed_forward_get(B: int, T: int):
    """x1 = x + head(ln1(x)), then x1 + ffwd(ln2(x1))."""
    BLOCK.expect_right(block(), 1 + random(B, T, 6))


def test_gradients_flow_through_both_branches_and_past_them():
    """Each layer of the block learns, and x gets its share straight through the sums."""
    BLOCK.expect_gradients(block(), 1 + random(2, 5, 6))


def test_block_ver_3_serves_all_lengths_and_leaves_its_input_as_it_came():
    """In train mode and in eval mode. The block makes new tensors; the caller's x is not its own to change."""
    BLOCK.expect_all_lengths(block(), lambda T: 1 + random(2, T, 6))


def test_block_ver_3_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    BLOCK.expect_precise(block(), random(2, 5, 6))
    BLOCK.expect_on_device(block(), random(2, 5, 6))


# ---- does it help?


@pytest.mark.comparison
def test_layer_norm_mitigates_vanishing_gradient(picture: Path | None):
    """Eight blocks without residual connections, plain and with LayerNorm: how much of the gradient at the last block
    arrives at the first one? (Beside them, for comparison, a stack with residual connections.)"""
    prove(GRADIENTS, picture)


@pytest.mark.comparison
def test_layer_norm_helps_when_network_is_deep(picture: Path | None):
    """Eight blocks at a learning rate of 1e-2: with LayerNorm they learn, without it hardly anything."""
    prove(LAYER_NORM_HELPS, picture)


# ---- what they share


def layer_norm() -> Any:
    """A LayerNorm of 6 features whose gamma and beta are not 1 and 0, as after some training."""
    norm = NORM.make(6)
    nn.init.normal_(norm.gamma)
    nn.init.normal_(norm.beta)
    return norm


def block() -> Any:
    return with_stand_ins(BLOCK.make(PastMean(6), 6), 6)
