"""Stage 8: feed-forward and residuals. Your files: gpt/feed_forward.py (TODO 8-1), gpt/block_v1.py (TODO 8-2),
gpt/block_v2.py (TODO 8-3). Chapter: book/en/08-feed-forward.md

The blocks are tested with stand-ins for head and feed-forward layer, so that a mistake in one file is not blamed on
another.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.experiments.stage_8 import FFN_HELPS, RESIDUAL_HELPS
from tests.kit import Task, random, show, table
from tests.kit.experiment import prove
from tests.kit.standins import Function, PastMean, with_stand_ins


def formula(ffwd: Any, x: Tensor) -> Tensor:
    W1, b1, W2, b2 = layers(ffwd, x.shape[-1])
    return (x @ W1.T + b1).clamp(min=0) @ W2.T + b2


def head_then_ffwd(block: Any, x: Tensor) -> Tensor:
    return block.ffwd(block.head(x))


def with_residuals(block: Any, x: Tensor) -> Tensor:
    gathered = torch.add(x, block.head(x))
    return torch.add(gathered, block.ffwd(gathered))


FFWD = Task("8-1", call="FeedForward(...)(x of {})", right=formula)
VER_1 = Task("8-2", call="BlockVer1(head, embed_size)(x of {})", given="head ffwd", right=head_then_ffwd)
VER_2 = Task("8-3", call="BlockVer2(head, embed_size)(x of {})", given="head ffwd", right=with_residuals)
every_task = pytest.mark.parametrize("task", [FFWD, VER_1, VER_2], ids=repr)

# ---- TODO 8-1: FeedForward


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
    FFWD.expect(FFWD.run(ffwd, x), want, "FeedForward(embed_size=1)(x)")
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
        FFWD.expect_right(ffwd, scale * random(B, T, C), f", where x is {scale} times as large," if scale > 1 else "")


def test_ffn_is_more_than_one_linear_layer():
    """Two linear layers in a row are one linear layer. Then FFN(x) + FFN(-x) = 2 FFN(0), whatever x is."""
    ffwd, x = filled(6), random(1, 1, 6)
    there, back, zero = (FFWD.result(ffwd, y).flatten()[0].item() for y in (x, -x, 0 * x))
    if abs(there + back - 2 * zero) < 1e-3:
        raise FFWD.wrong(f"FFN(x) + FFN(-x) = {there + back:.3f} = 2 FFN(0): this is one linear layer in disguise.")
    show(f"FFN(x) + FFN(-x) = {there + back:.2f}, and 2 FFN(0) = {2 * zero:.2f}")


def test_ffn_thinks_about_each_token_by_itself():
    """Change one token: what comes out for all others stays the same."""
    ffwd, x = filled(6), random(2, 5, 6)
    changed = x.clone()
    changed[1, 2] += 3
    far = (FFWD.result(ffwd, changed) - FFWD.result(ffwd, x)).abs().amax(dim=-1) > 1e-4
    others = [(b, t) for b, t in far.nonzero().tolist() if (b, t) != (1, 2)]
    if others:
        b, t = others[0]
        raise FFWD.wrong(f"Token 2 of example 1 was changed, and the output of token {t} of example {b} changed, too.")
    if not far[1, 2]:
        raise FFWD.wrong("Token 2 of example 1 was changed, and nothing changed.")


def test_ffn_gives_the_same_in_training_and_in_evaluation():
    """No randomness, and nothing that looks at the whole batch: dropout and normalization come later."""
    ffwd, x = filled(6), random(2, 5, 6)
    once, again, evaluated = (FFWD.result(ffwd.train(mode), x) for mode in (True, True, False))
    if not torch.allclose(once, again):
        raise FFWD.wrong("Called twice with the same x in training mode, it gives two different results.")
    if not torch.allclose(once, evaluated):
        raise FFWD.wrong("The same x gives one result in training mode and another in evaluation mode.")


def test_each_ffn_begins_with_weights_of_its_own():
    """Every block has a feed-forward layer of its own, and no two hidden numbers begin alike."""
    one, other = make_ffwd(6), make_ffwd(6, seed=None)
    W1, *_ = layers(one, 6)
    if {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}:
        raise FFWD.wrong("Two FeedForward(6), made one after the other, share their weights.")
    if torch.equal(W1, layers(other, 6)[0]):
        raise FFWD.wrong("Two FeedForward(6), made one after the other, begin with the same weights.")
    if bool(W1.eq(W1[0]).all()):
        raise FFWD.wrong("All 24 hidden numbers begin with the same weights, and so will stay the same.")


def test_gradients_flow_to_both_layers_and_the_input():
    """A layer that gets no gradient never learns. The gradients are those of the formula."""
    FFWD.expect_gradients(filled(6), random(2, 5, 6))


# ---- TODO 8-2: BlockVer1


def test_block_ver_1_on_three_tokens_is_as_worked_by_hand():
    """The head doubles, the feed-forward layer squares: 1, 2, 3 become 2, 4, 6 and then 4, 16, 36."""
    out = VER_1.run(simple_block(VER_1, lambda x: 2 * x, lambda x: x**2), torch.tensor([[[1.0], [2.0], [3.0]]]))
    VER_1.expect(out, torch.tensor([[[4.0], [16.0], [36.0]]]), "block(x)")
    show(
        "x:           1   2   3", "head(x):     2   4   6    (this head doubles)", "the output:  4  16  36    (squared)"
    )


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1)])
def test_block_ver_1_is_the_feed_forward_layer_of_the_head(B: int, T: int):
    """y = FFN(head(x)), in training as in evaluation."""
    VER_1.expect_right(block(VER_1), random(B, T, 6))


def test_gradients_flow_through_block_ver_1():
    """They reach the input, the head and the feed-forward layer."""
    VER_1.expect_gradients(block(VER_1), random(2, 5, 6))


# ---- TODO 8-3: BlockVer2


def test_block_ver_2_on_three_tokens_is_as_worked_by_hand():
    """The head doubles, the feed-forward layer squares: 1 becomes x1 = 1 + 2 = 3, and that becomes 3 + 9 = 12."""
    out = VER_2.run(simple_block(VER_2, lambda x: 2 * x, lambda x: x**2), torch.tensor([[[1.0], [2.0], [3.0]]]))
    VER_2.expect(out, torch.tensor([[[12.0], [42.0], [90.0]]]), "block(x)")
    show(
        "x:                 1   2   3",
        "x1 = x + head(x):  3   6   9    (this head doubles)",
        "y = x1 + FFN(x1): 12  42  90    (this feed-forward layer squares)",
    )


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1)])
def test_block_ver_2_adds_what_each_of_both_makes_to_what_it_was_given(B: int, T: int):
    """x1 = x + head(x), y = x1 + FFN(x1), in training as in evaluation."""
    VER_2.expect_right(block(VER_2), random(B, T, 6))


def test_block_ver_2_hands_on_its_input_while_head_and_feed_forward_have_nothing_to_say():
    """Where both give zeros, y = x: a block starts from what was known, and adds to it."""
    silent, x = simple_block(VER_2, lambda x: 0 * x, lambda x: 0 * x), random(2, 5, 1)
    VER_2.expect(VER_2.run(silent, x.clone()), x, "block(x), with a head and a feed-forward layer that give zeros,")


def test_gradients_flow_through_block_ver_2():
    """They reach the input, the head and the feed-forward layer: each in two ways, through it and past it."""
    VER_2.expect_gradients(block(VER_2), random(2, 5, 6))


def test_gradients_reach_the_first_of_twenty_blocks():
    """Head and feed-forward layer each give a tenth of what they are given. The derivative of twenty blocks is
    (0.1 x 0.1)^20 without residual connections, and (1.1 x 1.1)^20 with them."""
    tenth = simple_block(VER_2, lambda x: x / 10, lambda x: x / 10)
    x = torch.ones(1, 1, 1, requires_grad=True)
    out = x * 1
    for _ in range(20):
        out = VER_2.result(tenth, out)
    VER_2.expect_same_gradients(out, 1.21**20 * x, {"x": x})
    show(f"the derivative of twenty blocks: {1.21**20:.1f}", f"without the residuals it would be: {0.01**20:.0e}")


# ---- all three


@every_task
def test_one_layer_serves_all_lengths_and_leaves_its_input_as_it_was(task: Task):
    """A longer sequence, a shorter one, the longer one again; in training and in evaluation. Nothing is written into
    x, which belongs to the caller."""
    task.expect_all_lengths(any_layer(task), lambda T: random(2, T, 6))


@every_task
def test_it_works_in_the_precision_and_on_the_device_of_its_input(task: Task):
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    task.expect_precise(any_layer(task), random(2, 5, 6))
    task.expect_on_device(any_layer(task), random(2, 5, 6))


# ---- does it help?


@pytest.mark.comparison
def test_ffn_helps(picture: Path | None):
    """BlockVer2 against the same without its feed-forward layer: gathering alone, and gathering and thinking."""
    prove(FFN_HELPS, picture)


@pytest.mark.comparison
def test_residual_conn_helps_when_network_is_deep(picture: Path | None):
    """Four blocks with the two sums, and four without. Both have the same parameters."""
    prove(RESIDUAL_HELPS, picture)


# ---- what they share


def any_layer(task: Task) -> Any:
    return filled(6) if task is FFWD else block(task)


def block(task: Task) -> Any:
    return with_stand_ins(task.make(PastMean(6), 6), 6)


def simple_block(task: Task, head: Any, ffwd: Any) -> Any:
    return with_stand_ins(task.make(Function(head), 1), 1, ffwd=Function(ffwd))


def make_ffwd(embed_size: int, seed: int | None = 0) -> Any:
    ffwd = FFWD.make(embed_size, seed=seed)
    if any(isinstance(p, nn.UninitializedParameter) for p in ffwd.parameters()):
        FFWD.run(ffwd, torch.zeros(1, 1, embed_size))
    return ffwd


def filled(embed_size: int) -> Any:
    """A feed-forward layer whose weights and biases are all set to small random numbers."""
    ffwd = make_ffwd(embed_size)
    with torch.no_grad():
        for i, parameter in enumerate(layers(ffwd, embed_size)):
            parameter.copy_(
                random(*parameter.shape, seed=i) / (2 * parameter.shape[-1] ** (0.5 * (parameter.dim() - 1)))
            )
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
    raise FFWD.wrong(
        f"FeedForward({C}) should have two linear layers, {C} -> {4 * C} and {4 * C} -> {C}, both with a bias:\n"
        f"weights of {4 * C} x {C} and {C} x {4 * C}, biases of {4 * C} and {C}. {have}"
    )


def is_used(ffwd: Any, option: tuple[Tensor, ...], C: int) -> bool:
    """Whether a layer that is made of bare parameters uses them in this way."""
    W1, b1, W2, b2 = option
    x = random(2, 5, C).to(W1)
    return torch.allclose(FFWD.run(ffwd, x), (x @ W1.T + b1).clamp(min=0) @ W2.T + b2, rtol=1e-3, atol=1e-4)
