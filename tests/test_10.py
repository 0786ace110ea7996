"""Stage 10: dropout. Your file: gpt/block_v4.py (TODO 10). Chapter: book/en/10-dropout.md

Head, feed-forward layer and norms are stand-ins here, so that a mistake in another file does not show in this one.
"""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.experiments.stage_10 import DROPOUT_HELPS
from tests.kit import Task, random, show, table
from tests.kit.experiment import prove
from tests.kit.standins import Function, PastMean, with_stand_ins

X, HEAD, FFWD = 100.0, 3.0, 30.0  # of constant_block: x, what its head gives, what its feed-forward layer gives


def formula(block: Any, x: Tensor, head_factors: Any = 1.0, ffwd_factors: Any = 1.0) -> Tensor:
    """What the block gives where the branches' outputs are multiplied by these factors, with torch's own layer norm."""
    first, second = (
        lambda x, norm=norm: F.layer_norm(x, x.shape[-1:], norm.gamma, norm.beta, norm.eps)
        for norm in (block.ln1, block.ln2)
    )
    gathered = torch.add(x, torch.mul(block.head(first(x)), head_factors))
    return torch.add(gathered, torch.mul(block.ffwd(second(gathered)), ffwd_factors))


BLOCK = Task(
    "10", call="BlockVer4(head, 6, dropout)(x of {})", given="head ffwd ln1 ln2 dropout1 dropout2", right=formula
)


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (4, 3)])
def test_with_dropout_0_block_ver_4_is_block_ver_3(B: int, T: int):
    """Nothing is dropped at a rate of 0, in train mode either: x1 = x + head(ln1(x)), then x1 + ffwd(ln2(x1))."""
    BLOCK.expect_right(block(0.0, 0.0), 1 + random(B, T, 6), ", where dropout is 0,")


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_block_ver_4_output_is_always_the_same_in_eval_mode(p: float):
    """Whoever uses the model wants all of it: nothing is dropped, nothing is scaled, and no two calls differ."""
    ours = block(p, p).eval()
    for _ in range(4):
        BLOCK.expect_right(ours, 1 + random(2, 5, 6), f" in evaluation mode, where dropout is {p},")


@pytest.mark.parametrize(("p1", "p2"), [(0.5, 0.5), (0.5, 0.0), (0.0, 0.5)])
def test_block_ver_4_output_is_always_different_in_train_mode(p1: float, p2: float):
    """Each call draws new masks; and train mode draws them again when eval mode is over.

    Twice the same mask: 60 numbers at a rate of 0.5, so 1 in 2^60 for each of 45 pairs of calls.
    """
    ours, x = block(p1, p2), random(2, 5, 6)
    with torch.no_grad():  # the mode decides, whether there are gradients or not
        outputs = [BLOCK.result(ours, x.clone()) for _ in range(5)]
    BLOCK.result(ours.eval(), x.clone())
    ours.train()
    outputs += [BLOCK.result(ours, x.clone()) for _ in range(5)]
    for i, j in product(range(10), range(10)):
        if i < j and torch.equal(outputs[i], outputs[j]):
            rates = f"dropout1 has the rate {p1}, dropout2 {p2}. "
            raise BLOCK.wrong(f"{rates}In train mode, call {i + 1} and call {j + 1} with the same x gave the same.")
    show("the first token's first features, in three calls:", table(torch.stack([o[0, 0] for o in outputs[:3]])))


def test_each_number_that_a_branch_adds_is_either_dropped_or_scaled_up():
    """Here x is 100, the head gives 3 everywhere and feed-forward 30. With dropout 0.25, 3 becomes 0 or 3 / 0.75 = 4,
    30 becomes 0 or 40, and x is never touched: 100, 104, 140 or 144.

    That one of the four is missing among 16384 numbers: the rarest has a share of 1/16, so below 1 in 10^400.
    """
    ours = constant_block(dropout=0.25)
    masks = kept_by(ours, 0.25, 0.25)
    rows = []
    for a, b in product((False, True), repeat=2):
        share = ((masks[0] == a) & (masks[1] == b)).float().mean().item()
        value = X + a * HEAD / 0.75 + b * FFWD / 0.75
        if not share:
            raise BLOCK.wrong(f"The output should hold {value:g} in some places (dropout 0.25), but never does.")
        rows.append(f"{value:g}: {share:.3f} (expected {(0.75 if a else 0.25) * (0.75 if b else 0.25):.3f})")
    show("x = 100, the head gives 3, feed-forward 30, dropout is 0.25; what came out, and its share:", *rows)


@pytest.mark.parametrize(("p1", "p2"), [(0.5, 0.2), (0.1, 0.6)])
def test_dropout1_is_for_the_head_and_dropout2_for_feed_forward(p1: float, p2: float):
    """Each drops the share of its branch's numbers that its rate says.

    16384 numbers: the standard error of a share is below 0.004, the tolerance 0.03. A false alarm: 1 in 10^13.
    """
    masks = kept_by(with_rates(constant_block(dropout=0.5), p1, p2), p1, p2)
    for mask, p, of in ((masks[0], p1, "the head's"), (masks[1], p2, "feed-forward's")):
        dropped = 1 - mask.float().mean().item()
        BLOCK.expect_number(dropped, p, f"The share of {of} numbers that are dropped at a rate of {p}", 0.03)
        show(f"rate {p}: {dropped:.3f} of {of} numbers dropped")


def test_each_number_is_dropped_or_kept_by_itself():
    """Whether a number is dropped says nothing about its neighbours, nor about the other branch.

    At a rate of 0.5, both of a pair are dropped in a share of 0.25. Over at least 15360 pairs, the standard error is
    below 0.005, the tolerance 0.035: a false alarm in 1 of 10^11.
    """
    head, ffwd = (mask.float() for mask in kept_by(constant_block(dropout=0.5), 0.5, 0.5))
    pairs = {"by the head and by feed-forward": (head, ffwd)}
    for mask, of in ((head, "the head's"), (ffwd, "feed-forward's")):
        pairs[f"in {of} numbers, in two examples"] = mask[1:], mask[:-1]
        pairs[f"in {of} numbers, in two tokens"] = mask[:, 1:], mask[:, :-1]
        pairs[f"in {of} numbers, in two features"] = mask[..., 1:], mask[..., :-1]
    for which, (one, other) in pairs.items():
        both = ((one == 0) & (other == 0)).float().mean().item()
        BLOCK.expect_number(both, 0.25, f"The share of pairs ({which}) that are both dropped", 0.035)


@pytest.mark.parametrize(("p1", "p2"), [(0.5, 0.25), (0.5, 0.0), (0.0, 0.5)])
def test_every_token_is_one_that_dropout_can_give(p1: float, p2: float):
    """With three features, either branch can lose them in 8 ways, and so at most 64 outputs are possible for a token.

    The feed-forward layer sees x plus what dropout1 left of the head, the very sum to which its own part is added.
    """
    ours, x = block(p1, p2, embed_size=3), 1 + random(8, 5, 3)
    masks_of(ours, x, BLOCK.result(ours, x.clone()))


@pytest.mark.parametrize(("mode", "p1", "p2"), [("train", 0.5, 0.25), ("train", 0.0, 0.0), ("eval", 0.5, 0.5)])
def test_gradients_flow_through_what_was_kept_and_past_it(mode: str, p1: float, p2: float):
    """Each layer learns from the numbers that were kept; x always gets its share straight through the sums."""
    ours = block(p1, p2, embed_size=3).train(mode == "train")
    x = (1 + random(4, 5, 3)).requires_grad_()
    out = BLOCK.result(ours, x)
    if mode == "train":
        kept1, kept2 = masks_of(ours, x, out)
        right = formula(ours, x, kept1 / (1 - p1), kept2 / (1 - p2))
    else:
        right = formula(ours, x)
    BLOCK.expect_same_gradients(out, right, {"x": x, **dict(ours.named_parameters())})


def test_block_ver_4_serves_all_lengths_and_leaves_its_input_as_it_came():
    """The block makes new tensors, in either mode; the caller's x is not its own to change."""
    BLOCK.expect_all_lengths(block(0.0, 0.0), lambda T: random(2, T, 6))
    for training in (True, False):
        BLOCK.expect_input_kept(block().train(training), random(2, 5, 6))


def test_block_ver_4_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input, a mask for example."""
    BLOCK.result(block().double(), random(2, 5, 6).double())
    BLOCK.expect_precise(block().eval(), random(2, 5, 6))
    for training in (True, False):
        BLOCK.expect_on_device(block().train(training), random(2, 5, 6))


# ---- does it help?


@pytest.mark.comparison
def test_dropout_helps(picture: Path | None):
    """500 characters, read again and again: the model that may not rely on any single number learns less by heart."""
    prove(DROPOUT_HELPS, picture)


# ---- what they share


def block(p1: float = 0.5, p2: float = 0.5, embed_size: int = 6) -> Any:
    return with_rates(with_stand_ins(BLOCK.make(PastMean(embed_size), embed_size, 0.5), embed_size), p1, p2)


def constant_block(dropout: float) -> Any:
    head, ffwd = (Function(lambda x, value=value: torch.full_like(x, value)) for value in (HEAD, FFWD))
    return with_stand_ins(BLOCK.make(head, 16, dropout), 16, ffwd=ffwd)


def with_rates(block: Any, p1: float, p2: float) -> Any:
    block.dropout1.p, block.dropout2.p = p1, p2
    return block


def kept_by(ours: Any, p1: float, p2: float) -> tuple[Tensor, Tensor]:
    """Which numbers of head and feed-forward are in the output of constant_block. Wrong if others are."""
    out = BLOCK.result(ours, torch.full((32, 32, 16), X))
    head, ffwd = HEAD / (1 - p1), FFWD / (1 - p2)
    possible = torch.tensor([[X, X + ffwd], [X + head, X + head + ffwd]])
    fits = (out[..., None, None] - possible).abs() < 1e-3  # (B, T, C, 2, 2)
    if not fits.any(dim=(-1)).any(dim=-1).all():
        strange = out[~fits.flatten(-2).any(dim=-1)]
        numbers = ", ".join(f"{value:g}" for value in (100 * strange).round().unique()[:6].div(100).tolist())
        raise BLOCK.wrong(
            f"x is {X:g} everywhere, the head gives {HEAD:g} and feed-forward {FFWD:g}; dropout1 has the rate {p1},"
            f" dropout2 {p2}.\nSo the output can hold {', '.join(f'{v:g}' for v in possible.flatten().tolist())};"
            f" {len(strange)} of its {out.numel()} numbers are others: {numbers}"
        )
    return fits[..., 1, :].any(dim=-1), fits[..., :, 1].any(dim=-1)


def masks_of(ours: Any, x: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """The masks (ones and zeros) under which the block with three features gives `out`. Wrong if there are none."""
    p1, p2 = ours.dropout1.p, ours.dropout2.p
    ways = torch.tensor(list(product((0.0, 1.0), repeat=3)))
    pairs = list(product(ways if p1 else ways[-1:], ways if p2 else ways[-1:]))
    with torch.no_grad():
        possible = [formula(ours, x, one / (1 - p1), two / (1 - p2)) for one, two in pairs]
    gaps = torch.stack([(out.detach() - other).abs().amax(dim=-1) for other in possible])  # (64, B, T)
    gap, best = gaps.min(dim=0)
    if not (gap < 1e-3).all():
        b, t = (~(gap < 1e-3)).nonzero()[0].tolist()
        rows = torch.stack([x[b, t].detach(), out[b, t].detach(), possible[-1][b, t], possible[int(best[b, t])][b, t]])
        names = ["x:", "the output:", "possible, if nothing is dropped:", "possible, the one closest to the output:"]
        lines = [f"{name:42}{table(row)}" for name, row in zip(names, rows, strict=True)]
        raise BLOCK.wrong(
            f"dropout1 has the rate {p1}, dropout2 {p2}. Whatever they drop, no such output is possible"
            f" (token {t} of example {b}):\n\n" + "\n".join(lines)
        )
    heads, ffwds = (torch.stack(masks) for masks in zip(*pairs, strict=True))
    return heads[best], ffwds[best]
