"""Stage 8: feed-forward and residuals. Your files: gpt/feed_forward.py (TODO 8-1), gpt/block_v1.py (TODO 8-2),
gpt/block_v2.py (TODO 8-3). Chapter: book/en/08-feed-forward.md

The blocks are tested with stand-ins for head and feed-forward layer, so that a mistake in one file is not blamed on
another.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.kit import Wrong, expect, load, on_another_device, show, table
from tests.kit.failing import explain
from tests.mistakes import named
from tests.mistakes.stage_8 import make_block

CLASSES = {"8-1": "feed_forward.FeedForward", "8-2": "block_v1.BlockVer1", "8-3": "block_v2.BlockVer2"}


# TODO 8-1: FeedForward


def test_ffn_on_four_tokens_is_as_worked_by_hand():
    """FFN(x) = max(0, x W1 + b1) W2 + b2 for embed_size 1: four hidden numbers, of which ReLU lets some through."""
    ffwd = make_ffwd(1)
    W1, b1, W2, b2 = layers(ffwd, 1)
    with torch.no_grad():
        W1.copy_(torch.tensor([[1.0], [-1.0], [2.0], [-2.0]]))
        b1.copy_(torch.tensor([0.0, 0.0, -1.0, 3.0]))
        W2.copy_(torch.tensor([[1.0, 1.0, 2.0, 3.0]]))
        b2.copy_(torch.tensor([0.5]))
    x = torch.tensor([[[-1.0], [0.0], [1.0], [2.0]]])
    hidden = torch.tensor([[0.0, 1.0, 0.0, 5.0], [0.0, 0.0, 0.0, 3.0], [1.0, 0.0, 1.0, 1.0], [2.0, 0.0, 3.0, 0.0]])
    want = torch.tensor([[[16.5], [9.5], [6.5], [8.5]]])
    expect(call("8-1", ffwd, x), want, "FeedForward(embed_size=1)(x)", "B T C", hint("8-1"))
    show(
        "four tokens, their hidden numbers x W1 + b1 after the ReLU, and what comes out:",
        "    x      hidden                                out",
        *(f"{a.item():5.1f}  {table(h)}   {b.item():6.1f}" for a, h, b in zip(x[0], hidden, want[0], strict=True)),
    )


def test_the_hidden_layer_is_four_times_as_wide_and_both_layers_have_a_bias():
    """self.net holds W1, b1, W2 and b2, and nothing else to be learned: 8 C^2 + 5 C numbers."""
    for C in (6, 10, 3):
        layers(make_ffwd(C), C)
    total = sum(p.numel() for p in make_ffwd(6).parameters())
    show(f"embed_size 6: {total} numbers to learn, {2 * 6 * 24} of them in the two matrices")


@pytest.mark.parametrize(("B", "T", "C"), [(2, 5, 6), (1, 8, 6), (3, 1, 10), (4, 2, 3)])
def test_ffn_is_max_of_0_and_x_w1_plus_b1_times_w2_plus_b2(B: int, T: int, C: int):
    """For any batch, any number of tokens and any embed_size, for small numbers and for large ones."""
    ffwd = filled(C)
    for scale in (1, 20):
        x = scale * numbers(B, T, C)
        said = f"FeedForward({C})(x of {B} x {T} x {C})"
        expect(call("8-1", ffwd, x), formula(ffwd, x), said, "B T C", hint("8-1"))


def test_ffn_is_more_than_one_linear_layer():
    """Two linear layers in a row are one linear layer. Then FFN(x) + FFN(-x) = 2 FFN(0), whatever x is."""
    ffwd = filled(6)
    x = numbers(1, 1, 6)
    there, back, zero = (result("8-1", ffwd, y).flatten()[:1].item() for y in (x, -x, 0 * x))
    if abs(there + back - 2 * zero) < 1e-3:
        raise Wrong(
            with_hint("8-1", f"FFN(x) + FFN(-x) = {there + back:.3f} = 2 FFN(0): this is one linear layer in disguise.")
        )
    show(f"FFN(x) + FFN(-x) = {there + back:.2f}, and 2 FFN(0) = {2 * zero:.2f}")


def test_ffn_thinks_about_each_token_by_itself():
    """Change one token: what comes out for all others stays the same."""
    ffwd = filled(6)
    x = numbers(2, 5, 6)
    before = result("8-1", ffwd, x)
    changed = x.clone()
    changed[1, 2] += 3
    far = (result("8-1", ffwd, changed) - before).abs().amax(dim=-1) > 1e-4
    want = torch.zeros(2, 5, dtype=torch.bool)
    want[1, 2] = True
    if not torch.equal(far, want):
        others = [(b, t) for b, t in far.nonzero().tolist() if (b, t) != (1, 2)]
        said = (
            f"the output of token {others[0][1]} of example {others[0][0]} changed, too"
            if others
            else "nothing changed"
        )
        raise Wrong(with_hint("8-1", f"Token 2 of example 1 was changed, and {said}."))


def test_ffn_gives_the_same_in_training_and_in_evaluation():
    """No randomness, and nothing that looks at the whole batch: dropout and normalization come later."""
    ffwd = filled(6)
    x = numbers(2, 5, 6)
    once, again, evaluated = (result("8-1", ffwd.train(mode), x) for mode in (True, True, False))
    if not torch.allclose(once, again):
        raise Wrong(with_hint("8-1", "Called twice with the same x in training mode, it gives two different results."))
    if not torch.allclose(once, evaluated):
        raise Wrong(with_hint("8-1", "The same x gives one result in training mode and another in evaluation mode."))


def test_each_ffn_begins_with_weights_of_its_own():
    """Every block has a feed-forward layer of its own, and no two hidden numbers begin alike."""
    one, other = make_ffwd(6), make_ffwd(6)
    W1, *_ = layers(one, 6)
    if {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}:
        raise Wrong(with_hint("8-1", "Two FeedForward(6), made one after the other, share their weights."))
    if torch.equal(W1, layers(other, 6)[0]):
        raise Wrong(with_hint("8-1", "Two FeedForward(6), made one after the other, begin with the same weights."))
    if bool(W1.eq(W1[0]).all()):
        raise Wrong(with_hint("8-1", "All 24 hidden numbers begin with the same weights, and so will stay the same."))


def test_gradients_flow_to_both_layers_and_the_input():
    """A layer that gets no gradient never learns. The gradients are those of the formula."""
    ffwd = filled(6)
    x = numbers(2, 5, 6).requires_grad_()
    leaves = {"x": x, **dict(ffwd.named_parameters())}
    expect_gradients("8-1", lambda: result("8-1", ffwd, x), lambda: formula(ffwd, x), leaves)


# TODO 8-2: BlockVer1


def test_block_ver_1_on_three_tokens_is_as_worked_by_hand():
    """The head doubles, the feed-forward layer squares: 1, 2, 3 become 2, 4, 6 and then 4, 16, 36."""
    block = simple_block("8-2", lambda x: 2 * x, lambda x: x**2)
    x = torch.tensor([[[1.0], [2.0], [3.0]]])
    want = torch.tensor([[[4.0], [16.0], [36.0]]])
    expect(call("8-2", block, x), want, "block(x)", "B T C", hint("8-2"))
    show(
        "x:           1   2   3", "head(x):     2   4   6    (this head doubles)", "the output:  4  16  36    (squared)"
    )


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1)])
def test_block_ver_1_is_the_feed_forward_layer_of_the_head(B: int, T: int):
    """y = FFN(head(x)), in training as in evaluation."""
    check_block("8-2", B, T, right_block_ver_1)


def test_gradients_flow_through_block_ver_1():
    """They reach the input, the head and the feed-forward layer."""
    check_block_gradients("8-2", right_block_ver_1)


# TODO 8-3: BlockVer2


def test_block_ver_2_on_three_tokens_is_as_worked_by_hand():
    """The head doubles, the feed-forward layer squares: 1 becomes x1 = 1 + 2 = 3, and that becomes 3 + 9 = 12."""
    block = simple_block("8-3", lambda x: 2 * x, lambda x: x**2)
    x = torch.tensor([[[1.0], [2.0], [3.0]]])
    want = torch.tensor([[[12.0], [42.0], [90.0]]])
    expect(call("8-3", block, x), want, "block(x)", "B T C", hint("8-3"))
    show(
        "x:                 1   2   3",
        "x1 = x + head(x):  3   6   9    (this head doubles)",
        "y = x1 + FFN(x1): 12  42  90    (this feed-forward layer squares)",
    )


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1)])
def test_block_ver_2_adds_what_each_of_both_makes_to_what_it_was_given(B: int, T: int):
    """x1 = x + head(x), y = x1 + FFN(x1), in training as in evaluation."""
    check_block("8-3", B, T, right_block_ver_2)


def test_block_ver_2_hands_on_its_input_while_head_and_feed_forward_have_nothing_to_say():
    """Where both give zeros, y = x: a block starts from what was known, and adds to it."""
    block = simple_block("8-3", lambda x: 0 * x, lambda x: 0 * x)
    x = numbers(2, 5, 1)
    said = "block(x), with a head and a feed-forward layer that give zeros,"
    expect(call("8-3", block, x), x, said, "B T C", hint("8-3"))


def test_gradients_flow_through_block_ver_2():
    """They reach the input, the head and the feed-forward layer: each in two ways, through it and past it."""
    check_block_gradients("8-3", right_block_ver_2)


def test_gradients_reach_the_first_of_twenty_blocks():
    """Head and feed-forward layer each give a tenth of what they are given. The derivative of twenty blocks is
    (0.1 x 0.1)^20 without residual connections, and (1.1 x 1.1)^20 with them."""
    block = simple_block("8-3", lambda x: x / 10, lambda x: x / 10)
    x = torch.ones(1, 1, 1, requires_grad=True)
    out = x * 1
    for _ in range(20):
        out = result("8-3", block, out)
    want = torch.full((1, 1, 1), 1.21**20)
    got = differentiate("8-3", out, {"x": x}, torch.ones(1, 1, 1))["x"]
    expect(got, want, "the derivative of twenty blocks", "B T C", hint("8-3"), rtol=1e-3)
    show(f"the derivative of twenty blocks: {want.item():.1f}", f"without the residuals it would be: {0.01**20:.0e}")


# All three


@pytest.mark.parametrize("todo", ["8-1", "8-2", "8-3"])
def test_the_input_stays_as_it_was(todo: str):
    """x belongs to the caller, and may be needed again: nothing is written into it."""
    module = filled(6) if todo == "8-1" else make(todo, make_block)
    x = numbers(2, 5, 6)
    before = x.clone()
    call(todo, module, x)
    if not torch.equal(x, before):
        b, t, c = (x != before).nonzero()[0].tolist()
        was, is_ = before[b, t, c].item(), x[b, t, c].item()
        message = (
            f"{short(todo)} changed its input: x[{b}, {t}, {c}] was {was:.4f}, and after the call it is {is_:.4f}."
        )
        raise Wrong(with_hint(todo, message))


@pytest.mark.parametrize("todo", ["8-1", "8-2", "8-3"])
def test_it_works_in_the_precision_and_on_the_device_of_its_input(todo: str):
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    module = filled(6) if todo == "8-1" else make(todo, make_block)
    right = {"8-1": formula, "8-2": right_block_ver_1, "8-3": right_block_ver_2}[todo]
    module, x = module.double(), numbers(2, 5, 6).double()
    said = "FeedForward(6)" if todo == "8-1" else "block"
    expect(call(todo, module, x), right(module, x), f"{said}.double()(x.double())", "B T C", hint(todo))
    on_another_device(module, x)


# What the tests are made of


def make(todo: str, build: Callable[[Any], Any]) -> Any:
    return attempt(todo, lambda: build(load(CLASSES[todo])))


def make_ffwd(embed_size: int) -> Any:
    ffwd = make("8-1", lambda cls: cls(embed_size))
    if any(isinstance(p, nn.UninitializedParameter) for p in ffwd.parameters()):
        call("8-1", ffwd, torch.zeros(1, 1, embed_size))
    return ffwd


def layers(ffwd: Any, C: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W1 (4 C x C), b1, W2 (C x 4 C) and b2 of a feed-forward layer, wherever in it they are, to be read or set."""
    parameters = list(ffwd.parameters())
    matrices = [p.flatten(1) for p in parameters if p.dim() > 1]
    vectors = [p for p in parameters if p.dim() == 1]
    wide, narrow = (4 * C, C), (C, 4 * C)
    sizes = sorted(p.numel() for p in parameters)
    if sizes == sorted([C, 4 * C, 4 * C * C, 4 * C * C]) and all(m.shape in (wide, narrow) for m in matrices):
        b1, b2 = sorted(vectors, key=lambda v: -len(v))
        linear = any(isinstance(m, nn.Linear) for m in ffwd.modules())  # which keeps its matrix as (out, in)
        pairs = [sorted(matrices, key=lambda m: -m.shape[0])] if linear else [matrices, matrices[::-1]]
        options = [(a if a.shape == wide else a.T, b1, b if b.shape == narrow else b.T, b2) for a, b in pairs]
        return options[0] if linear else next((o for o in options if is_used(ffwd, o, C)), options[0])
    held = [f"    {name}  {' x '.join(map(str, p.shape))}" for name, p in ffwd.named_parameters()][:8]
    have = (
        "It has\n" + "\n".join(held)
        if held
        else "It has nothing to learn at all: an optimizer would find no parameter."
    )
    raise Wrong(
        with_hint(
            "8-1",
            f"FeedForward({C}) should have two linear layers, {C} -> {4 * C} and {4 * C} -> {C}, both with a bias:\n"
            f"weights of {4 * C} x {C} and {C} x {4 * C}, biases of {4 * C} and {C}. {have}",
        )
    )


def is_used(ffwd: Any, option: tuple[Tensor, ...], C: int) -> bool:
    """Whether a layer that is made of bare parameters uses them in this way."""
    W1, b1, W2, b2 = option
    x = numbers(2, 5, C).to(W1)
    return torch.allclose(call("8-1", ffwd, x), (x @ W1.T + b1).clamp(min=0) @ W2.T + b2, rtol=1e-3, atol=1e-4)


def filled(embed_size: int) -> Any:
    """A feed-forward layer whose weights and biases are all set to small random numbers."""
    ffwd = make_ffwd(embed_size)
    with torch.no_grad():
        for i, parameter in enumerate(layers(ffwd, embed_size)):
            parameter.copy_(numbers(*parameter.shape, seed=i) / parameter.shape[-1] ** (0.5 * (parameter.dim() - 1)))
    return ffwd


def formula(ffwd: Any, x: Tensor) -> Tensor:
    W1, b1, W2, b2 = layers(ffwd, x.shape[-1])
    return (x @ W1.T + b1).clamp(min=0) @ W2.T + b2


def right_block_ver_1(block: Any, x: Tensor) -> Tensor:
    return block.ffwd(block.head(x))


def right_block_ver_2(block: Any, x: Tensor) -> Tensor:
    both = torch.add(x, block.head(x))
    return torch.add(both, block.ffwd(both))


class Function(nn.Module):
    """A stand-in for head or feed-forward layer that does something simple."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.forward = function


def simple_block(todo: str, head: Callable[[Tensor], Tensor], ffwd: Callable[[Tensor], Tensor]) -> Any:
    block = make(todo, lambda cls: cls(Function(head), 1))
    block.ffwd = Function(ffwd)
    return block


def check_block(todo: str, B: int, T: int, right: Callable[[Any, Tensor], Tensor]) -> None:
    block = make(todo, make_block)
    x = numbers(B, T, 6)
    for mode in (True, False):
        want = right(block.train(mode), x)
        expect(call(todo, block, x.clone()), want, f"block(x), for an x of {B} x {T} x 6,", "B T C", hint(todo))
        if any(module.training != mode for module in block.modules()):
            raise Wrong("forward switches between training and evaluation mode. That is for the caller to choose.")


def check_block_gradients(todo: str, right: Callable[[Any, Tensor], Tensor]) -> None:
    block = make(todo, make_block)
    x = numbers(2, 5, 6).requires_grad_()
    leaves = {"x": x, **dict(block.named_parameters())}
    expect_gradients(todo, lambda: result(todo, block, x), lambda: right(block, x), leaves)


def expect_gradients(todo: str, run: Callable[[], Tensor], right: Callable[[], Tensor], leaves: dict[str, Tensor]):
    factors = numbers(2, 5, 6, seed=88)
    for name, leaf in leaves.items():
        if not leaf.requires_grad:
            raise Wrong(with_hint(todo, f"{name} is frozen (requires_grad is False): it never learns."))
    want = torch.autograd.grad((right() * factors).sum(), [*leaves.values()])
    got = differentiate(todo, run(), leaves, factors)
    for (name, theirs), ours in zip(got.items(), want, strict=True):
        dims = "B T C" if name == "x" else " ".join(["out", "in", "k"][: ours.dim()])
        expect(theirs, ours, f"the gradient of {name}", dims, hint(todo))


def differentiate(todo: str, out: Tensor, leaves: dict[str, Tensor], factors: Tensor) -> dict[str, Tensor]:
    """The gradients of sum(out * factors), or Wrong where one cannot be had."""
    if not out.requires_grad:
        raise Wrong(with_hint(todo, "The output is cut off from the graph: no gradient reaches anything."))
    try:
        got = torch.autograd.grad((out * factors).sum(), [*leaves.values()], allow_unused=True)
    except RuntimeError as error:
        why = (
            "a tensor that they need was changed in place (+=, x[...] = ...)."
            if "inplace" in str(error)
            else str(error)
        )
        raise Wrong(with_hint(todo, f"The gradients cannot be computed: {why}")) from None
    for name, gradient in zip(leaves, got, strict=True):
        if gradient is None:
            raise Wrong(with_hint(todo, f"No gradient reaches {name}."))
    return dict(zip(leaves, got, strict=True))


def numbers(*shape: int, seed: int = 8) -> Tensor:
    """Random numbers that are the same each time. The shape is part of the seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1000 * sum(shape)))


def result(todo: str, module: Any, x: Tensor) -> Tensor:
    """module(x), checked to be a tensor of the shape of x."""
    out = call(todo, module, x)
    same = out.detach() if isinstance(out, Tensor) and out.shape == x.shape else x.detach()
    expect(
        out.detach() if isinstance(out, Tensor) else out,
        same,
        "FeedForward(...)(x)" if todo == "8-1" else "block(x)",
        "B T C",
        hint(todo),
    )
    return out


def call(todo: str, module: Any, x: Tensor) -> Any:
    return attempt(todo, lambda: module(x))


def attempt(todo: str, step: Callable[[], Any]) -> Any:
    """What the step gives. A known mistake that ends in an exception gets its name, too."""
    try:
        return step()
    except Exception as error:
        unwritten = isinstance(error, NotImplementedError) and str(error).startswith("TODO")
        known = None if unwritten or isinstance(error, Wrong) else hint(todo)()
        if known is None:
            raise
        said = explain(error) or f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise Wrong(f"{said}\n\n{known}") from error


def short(todo: str) -> str:
    return CLASSES[todo].partition(".")[2]


def hint(todo: str) -> Callable[[], str | None]:
    return lambda: named(todo, load(CLASSES[todo]))


def with_hint(todo: str, message: str) -> str:
    known = hint(todo)()
    return f"{message}\n\n{known}" if known else message
