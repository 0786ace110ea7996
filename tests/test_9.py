"""Stage 9: LayerNorm. Your files: gpt/layer_norm.py (TODO 9-1) and gpt/block_v3.py (TODO 9-2).
Chapter: book/en/09-layer-norm.md"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit import Wrong, expect, expect_same, load, on_another_device, show, table
from tests.kit.failing import explain
from tests.mistakes import named
from tests.mistakes.stage_9 import Branch, PastSum, with_stand_ins

Hint = Callable[[], str | None]


def norm_hint() -> str | None:
    return named("9-1", load("layer_norm.LayerNorm"))


def block_hint() -> str | None:
    return named("9-2", load("block_v3.BlockVer3"))


# TODO 9-1: LayerNorm.forward


def layer_norm(eps: float = 1e-5, seed: int = 9) -> Any:
    """A LayerNorm of 6 features whose gamma and beta are not 1 and 0, as after some training."""
    torch.manual_seed(seed)
    norm = load("layer_norm.LayerNorm")(6, eps=eps)
    nn.init.normal_(norm.gamma)
    nn.init.normal_(norm.beta)
    return norm


def test_layer_norm_of_two_tokens_is_as_worked_by_hand():
    """One token has mean 5 and standard deviation 2, the other 2 and 4: subtract the first, divide by the second."""
    x = torch.tensor([[[8.0, 2.0, 6.0, 4.0, 5.0], [0.0, 0.0, 0.0, 0.0, 10.0]]])
    want = torch.tensor([[[1.5, -1.5, 0.5, -0.5, 0.0], [-0.5, -0.5, -0.5, -0.5, 2.0]]])
    expect(run(load("layer_norm.LayerNorm")(5), x, norm_hint), want, "LayerNorm(5)(x)", "B T C", norm_hint)
    show("x:", table(x[0], "t=", "c="), "LayerNorm(5)(x):", table(want[0], "t=", "c="))


def test_layer_norm_features_dim_is_properly_normalized():
    """Before it is scaled and shifted, each token's features have mean 0 and (biased) variance 1."""
    torch.manual_seed(9)
    x = torch.tensor([1.0, 2.0, 5.0]).view(3, 1) * (3 + torch.randn(4, 3, 64))
    out = result(load("layer_norm.LayerNorm")(64), x, norm_hint)
    expect(out.mean(dim=-1), torch.zeros(4, 3), "LayerNorm(64)(x).mean(dim=-1)", "B T", norm_hint, atol=1e-4)
    variances = out.var(dim=-1, correction=0)
    expect(variances, torch.ones(4, 3), "LayerNorm(64)(x).var(dim=-1, correction=0)", "B T", norm_hint, rtol=1e-3)
    rows = [x[0].mean(dim=-1), x[0].var(dim=-1, correction=0), out[0].mean(dim=-1).abs(), variances[0]]
    show("three tokens; their mean and variance, before and after:", table(torch.stack(rows, dim=1)))


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 8, 6), (3, 1, 6), (5, 6), (6,), (2, 4, 3, 6)])
def test_layer_norm_equals_that_of_torch_for_an_input_of_any_shape(shape: tuple[int, ...]):
    """F.layer_norm with the same gamma and beta, over the last dimension, however many come before it."""
    norm = layer_norm()
    x = 1 + 2 * torch.randn(shape)
    call = f"LayerNorm(6)(x of {' x '.join(map(str, shape))})"
    expect(run(norm, x.clone(), norm_hint), torchs(norm, x), call, "A B T C"[-2 * len(shape) + 1 :], norm_hint)


@pytest.mark.parametrize(
    ("scale", "eps"), [(1.0, 0.5), (1e-3, 1e-5), (1e-3, 1e-6), (1e-20, 1e-5), (1e4, 1e-5), (1e10, 1e-5)]
)
def test_eps_is_added_to_the_variance_whatever_the_size_of_the_numbers(scale: float, eps: float):
    """It counts where the variance is small, and keeps numbers of any size finite: (x - mean) / sqrt(var + eps)."""
    torch.manual_seed(9)
    norm = load("layer_norm.LayerNorm")(6, eps=eps)
    x = scale * (1 + torch.randn(2, 5, 6))
    call = f"LayerNorm(6, eps={eps:g})({scale:g} * x)"
    expect(run(norm, x.clone(), norm_hint), torchs(norm, x), call, "B T C", norm_hint, atol=1e-6)


def test_a_token_whose_features_are_all_equal_becomes_beta():
    """Its variance is 0, and eps saves from 0 / 0: gamma * 0 / sqrt(0 + eps) + beta."""
    norm = layer_norm()
    x = torch.tensor([3.0, 0.0, -2.0]).view(1, 3, 1).expand(1, 3, 6).clone()
    want = norm.beta.detach().expand(1, 3, 6)
    expect(run(norm, x, norm_hint), want, "LayerNorm(6)(x)", "B T C", norm_hint, atol=1e-3)


def test_each_token_is_normalized_by_itself():
    """Change one token of one example: no other token notices, in this example or in another."""
    norm = layer_norm()
    x = torch.randn(3, 5, 6)
    before = result(norm, x.clone(), norm_hint)
    x[1, 2] *= 100
    after = result(norm, x, norm_hint)
    others = torch.ones(3, 5, dtype=torch.bool)
    others[1, 2] = False
    claim = "One token was changed, and the output of another changed, too."
    same_as(after[others], before[others], claim, norm_hint)


def test_gradients_of_x_gamma_and_beta_are_those_of_torch():
    """Mean and variance depend on x, so that the gradient of x has a part that flows through them."""
    norm = layer_norm()
    x = 1 + 2 * torch.randn(2, 5, 6)
    x[0, 1] = 3.0
    x.requires_grad_()
    same_gradients(norm, lambda x: torchs(norm, x), x, norm_hint)


def test_layer_norm_leaves_its_input_as_it_came():
    """The caller still needs x: the residual connection adds to it."""
    norm = layer_norm()
    x = torch.randn(2, 5, 6)
    unchanged_by(norm, x, norm_hint)


def test_layer_norm_does_the_same_in_train_and_eval_mode():
    """It learns gamma and beta, but keeps no statistics: what it gives depends on x alone."""
    norm = layer_norm()
    x = torch.randn(2, 5, 6)
    first = result(norm, x.clone(), norm_hint)
    result(norm, 10 * torch.randn(2, 5, 6), norm_hint)
    claim = "The same x gave something else after another input was seen, and eval() was called."
    same_as(result(norm.eval(), x, norm_hint), first, claim, norm_hint)


def test_layer_norm_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    norm = layer_norm().double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    expect(run(norm, x.clone(), norm_hint), torchs(norm, x), "norm.double()(x.double())", "B T C", norm_hint)
    on_another_device(layer_norm(), torch.randn(2, 5, 6))


def torchs(norm: Any, x: Tensor) -> Tensor:
    """torch's own layer norm, in double precision."""
    gamma, beta = norm.gamma.double(), norm.beta.double()
    return F.layer_norm(x.double(), x.shape[-1:], gamma, beta, norm.eps).to(x.dtype)


# TODO 9-2: BlockVer3.forward. Head, feed-forward and norms are stand-ins: a mistake in another file does not show here.


def block(seed: int = 9) -> Any:
    torch.manual_seed(seed)
    return with_stand_ins(load("block_v3.BlockVer3")(PastSum(6), 6), 6)


class Times(nn.Module):
    """Multiplies by a number."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def test_block_ver_3_of_one_token_is_as_worked_by_hand():
    """The head doubles and feed-forward multiplies by 4 what they get, which is normalized; x itself is not."""
    tiny = with_stand_ins(load("block_v3.BlockVer3")(Times(2), 5), 5, ffwd=Times(4))
    for norm in (tiny.ln1, tiny.ln2):
        nn.init.ones_(norm.gamma)
        nn.init.zeros_(norm.beta)
    x = torch.tensor([[[8.0, 2.0, 6.0, 4.0, 5.0]]])
    want = torch.tensor([[[17.0, -7.0, 9.0, 1.0, 5.0]]])
    expect(run(tiny, x.clone(), block_hint), want, "block(x)", "B T C", block_hint)
    steps = [x[0, 0], [1.5, -1.5, 0.5, -0.5, 0], [11, -1, 7, 3, 5], [1.5, -1.5, 0.5, -0.5, 0], want[0, 0]]
    names = ["x", "ln1(x)", "x1 = x + 2 ln1(x)", "ln2(x1)", "x1 + 4 ln2(x1)"]
    show(*(f"{name:18}{table(torch.as_tensor(step).float())}" for name, step in zip(names, steps, strict=True)))


def test_a_block_whose_branches_say_nothing_hands_x_on_unchanged():
    """Head and feed-forward give 0 here. Nothing else touches the residual stream, and so the block gives x."""
    silent = block()
    silent.head, silent.ffwd = Branch(Times(0)), Branch(Times(0))
    x = 1 + 2 * torch.randn(2, 5, 6)
    expect(run(silent, x.clone(), block_hint), x, "block(x), where head and feed-forward give 0,", "B T C", block_hint)


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (4, 3)])
def test_block_ver_3_normalizes_what_head_and_feed_forward_get(B: int, T: int):
    """x1 = x + head(ln1(x)), then x1 + ffwd(ln2(x1)), in train mode and in eval mode."""
    ours = block()
    x = 1 + 2 * torch.randn(B, T, 6)
    want = formula(ours, x).detach()
    expect(run(ours, x.clone(), block_hint), want, f"BlockVer3(head, 6)(x of {B} x {T} x 6)", "B T C", block_hint)
    expect(run(ours.eval(), x.clone(), block_hint), want, "block.eval()(x)", "B T C", block_hint)


def test_gradients_flow_through_both_branches_and_past_them():
    """Each layer of the block learns, and x gets its share straight through the sums."""
    ours = block()
    x = (1 + 2 * torch.randn(2, 5, 6)).requires_grad_()
    same_gradients(ours, lambda x: formula(ours, x), x, block_hint)


def test_block_ver_3_leaves_its_input_as_it_came():
    """The block makes new tensors; the caller's x is not its own to change."""
    ours = block()
    unchanged_by(ours, torch.randn(2, 5, 6), block_hint)


def test_block_ver_3_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    ours = block().double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    want = formula(ours, x).detach()
    expect(run(ours, x.clone(), block_hint), want, "block.double()(x.double())", "B T C", block_hint)
    on_another_device(block(), torch.randn(2, 5, 6))


def formula(block: Any, x: Tensor) -> Tensor:
    """What the block should give, with torch's own layer norm."""
    first, second = (
        lambda x, norm=norm: F.layer_norm(x, x.shape[-1:], norm.gamma, norm.beta, norm.eps)
        for norm in (block.ln1, block.ln2)
    )
    gathered = torch.add(x, block.head(first(x)))
    return torch.add(gathered, block.ffwd(second(gathered)))


# For both


def run(module: Any, x: Tensor, hint: Hint) -> Any:
    """module(x). Where it ends with an error that a known mistake explains, the explanation stands beside it."""
    try:
        return module(x)
    except (NotImplementedError, Wrong):
        raise
    except Exception as error:
        known = hint()
        if known is None:
            raise
        raise Wrong(f"{explain(error) or f'{type(error).__name__}: {error}'}\n\n{known}") from error


def result(module: Any, x: Tensor, hint: Hint) -> Tensor:
    """module(x), checked to be a tensor of the right shape."""
    out = run(module, x, hint)
    shaped = torch.zeros_like(out) if isinstance(out, Tensor) else out
    expect(shaped, torch.zeros_like(x), f"{type(module).__name__}(...)(x)", "B T C", hint)
    return out


def same_as(got: Tensor, want: Tensor, claim: str, hint: Hint) -> None:
    try:
        expect_same(got, want, claim)
    except Wrong as wrong:
        raise Wrong(with_hint(str(wrong), hint)) from None


def unchanged_by(module: Any, x: Tensor, hint: Hint) -> None:
    before = x.clone()
    run(module, x, hint)
    expect(x, before, f"x, after {type(module).__name__}(...)(x) was called,", "B T C", hint)


def same_gradients(module: Any, right: Callable[[Tensor], Tensor], x: Tensor, hint: Hint) -> None:
    """The gradients of x and of all parameters are those of `right`, for a random weighting of the outputs."""
    leaves = {"x": x, **dict(module.named_parameters())}
    factors = torch.randn(x.shape)
    want = torch.autograd.grad((right(x) * factors).sum(), [*leaves.values()])
    out = result(module, x, hint)
    if not out.requires_grad:
        raise Wrong(with_hint("The output is cut off from the graph: no gradient reaches any layer.", hint))
    # an in-place change of what the graph still needs shows here
    got = run(lambda out: torch.autograd.grad((out * factors).sum(), [*leaves.values()], allow_unused=True), out, hint)
    for name, theirs, correct in zip(leaves, got, want, strict=True):
        if theirs is None:
            raise Wrong(with_hint(f"No gradient reaches {name}.", hint))
        dims = "B T C" if name == "x" else "O C" if correct.dim() == 2 else "C"
        expect(theirs, correct, f"the gradient of {name}", dims, hint, rtol=1e-3, atol=1e-4)


def with_hint(message: str, hint: Hint) -> str:
    known = hint()
    return f"{message}\n\n{known}" if known else message
