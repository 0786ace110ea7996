"""Stage 4: the same average, through a mask and a softmax. Your file: gpt/head_v3.py (TODO 4).

Chapter: book/en/04-mask-and-softmax.md
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.experiments.stage_4 import MASK_AND_SOFTMAX_IS_FASTER
from tests.kit import Task, random, show, table
from tests.kit.averages import expect_few_steps, two_loops
from tests.kit.experiment import prove

HEAD = Task("4", call="HeadVer3()(x of {})", right=lambda head, x: two_loops(x))


def test_the_average_of_three_tokens_is_as_worked_by_hand():
    """softmax([0, -inf, -inf]) = [1, 0, 0], then [1/2, 1/2, 0], then [1/3, 1/3, 1/3]: what each token takes of x."""
    x = torch.tensor([[[2.0, 10.0], [4.0, 0.0], [9.0, -1.0]]])
    head = HEAD.make()
    out = HEAD.run(head, x)
    HEAD.expect(out, torch.tensor([[[2.0, 10.0], [3.0, 5.0], [5.0, 3.0]]]), "head(x)")
    expect_wei(head, 1, 3)
    weights = table(wei(head, 1, 3)[0], "t=", "s=")
    show("head.wei, a row for each token, a column for each one that it takes from:", weights)
    show("x:", table(x, "t=", "c="), "the average of the present and the past, head.wei @ x:", table(out, "t=", "c="))


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 4), (4, 1)])
def test_each_row_of_wei_sums_to_one(B: int, T: int):
    """head.wei is normalized: what a token takes from all tokens adds up to 1. That is what the softmax is for."""
    HEAD.expect(wei(used(B, T), B, T).sum(dim=-1), torch.ones(B, T), "head.wei.sum(dim=-1)", "B T")


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 4), (4, 1)])
def test_the_future_is_masked_in_wei(B: int, T: int):
    """head.wei is 0 above its diagonal: no token takes anything from a later one. That is what the mask is for."""
    above = wei(used(B, T), B, T).triu(1)
    HEAD.expect(above, torch.zeros(B, T, T), "the part of head.wei above its diagonal", "B T S")


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 4), (3, 2), (4, 1), (3, 3)])
def test_wei_gives_the_present_and_the_past_equal_weight(B: int, T: int):
    """Row t of head.wei is 1 / (t + 1) up to column t. It may be kept once, (T, T), or for each example, (B, T, T)."""
    expect_wei(used(B, T), B, T)


@pytest.mark.parametrize(("B", "T", "C"), [(2, 5, 3), (1, 7, 4), (3, 2, 5), (4, 1, 2), (3, 6, 1), (4, 4, 4)])
def test_head_ver_3_gives_what_two_loops_give(B: int, T: int, C: int):
    """Another way to the same numbers, for any number of examples, tokens, and numbers in a token."""
    HEAD.expect_right(HEAD.make(), random(B, T, C))


def test_no_token_sees_its_future():
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    HEAD.expect_blind_to_the_future(HEAD.make(), random(2, 6, 3))


def test_examples_of_a_batch_never_see_each_other():
    """Each example alone gives what it gives in a batch."""
    HEAD.expect_examples_apart(HEAD.make(), random(3, 5, 2))


def test_one_head_serves_all_lengths_and_leaves_its_input_as_it_was():
    """The output and head.wei belong to the sequence that is there now, in training and in evaluation."""
    same_head = HEAD.make()
    HEAD.expect_all_lengths(same_head, lambda T: random(2, T, 3))
    for T, training in ((5, False), (3, True), (8, False)):
        HEAD.run(same_head.train(training), random(2, T, 3))
        expect_wei(same_head, 2, T)


def test_the_gradient_of_the_average_reaches_every_token_that_is_in_it():
    """Token s is in the averages of all tokens t >= s, with the factor 1 / (t + 1) each: that is its gradient."""
    HEAD.expect_gradients(HEAD.make(), random(2, 5, 3))


def test_a_longer_sequence_or_a_larger_batch_takes_no_more_steps():
    """Without a loop, x passes through the same few operations, however many tokens and examples there are.

    Counted are the operations that gradients would pass on their way back. How the weights are made does not count.
    """
    expect_few_steps(HEAD)


def test_the_head_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    HEAD.expect_precise(HEAD.make(), random(2, 5, 3))
    HEAD.expect_on_device(HEAD.make(), random(2, 5, 3))


# ---- what is it good for?


@pytest.mark.comparison
def test_head_ver_3_is_many_times_faster_than_two_loops(picture: Path | None):
    """512 tokens at once, against one after another, the best of 15 turns: some 40 times as fast. Asked for is 5."""
    prove(MASK_AND_SOFTMAX_IS_FASTER, picture)


# ---- what they share


def used(B: int, T: int) -> Any:
    """A head that has been given B sequences of T tokens."""
    head = HEAD.make()
    HEAD.run(head, random(B, T, 6))
    return head


def wei(head: Any, B: int, T: int) -> Tensor:
    """head.wei for each example, checked to have the shape (T, T) or (B, T, T), whatever its values."""
    kept, want, dims = kept_and_wanted(head, B, T)
    return HEAD.like(kept, want, "head.wei", dims).detach().expand(B, T, T)


def expect_wei(head: Any, B: int, T: int) -> None:
    """head.wei holds the weights of the average, once or for each of the B examples."""
    kept, want, dims = kept_and_wanted(head, B, T)
    HEAD.expect(kept, want, "head.wei", dims)


def kept_and_wanted(head: Any, B: int, T: int) -> tuple[Any, Tensor, str]:
    """head.wei; what it should be, in the shape and the precision in which it is kept; and its dimensions."""
    kept = getattr(head, "wei", None)
    if kept is None:
        raise HEAD.wrong("After head(x), head.wei should be there. Keep the weights: self.wei = ...")
    want = two_loops(torch.eye(T).unsqueeze(0))[0]
    if not isinstance(kept, Tensor):
        return kept, want, "T S"
    want = want.to(kept.dtype) if kept.is_floating_point() else want
    return (kept, want.expand(1 if len(kept) == 1 else B, T, T), "B T S") if kept.dim() == 3 else (kept, want, "T S")
