"""Stage 3: the same average, as one matrix product. Your file: gpt/head_v2.py (TODO 3).

Chapter: book/en/03-matrix-product.md
"""

from pathlib import Path

import pytest
import torch

from tests.experiments.stage_3 import MATRIX_PRODUCT_IS_FASTER
from tests.kit import Task, random, show, table
from tests.kit.averages import expect_few_steps, two_loops
from tests.kit.experiment import prove

HEAD = Task("3", call="HeadVer2()(x of {})", right=lambda head, x: two_loops(x))


def test_the_average_of_three_tokens_is_as_worked_by_hand():
    """2, then (2 + 4) / 2, then (2 + 4 + 9) / 3; and the same for the second number of each token."""
    x = torch.tensor([[[2.0, 10.0], [4.0, 0.0], [9.0, -1.0]]])
    out = HEAD.run(HEAD.make(), x)
    HEAD.expect(out, torch.tensor([[[2.0, 10.0], [3.0, 5.0], [5.0, 3.0]]]), "HeadVer2()(x)")
    show("x:", table(x, "t=", "c="), "the average of the present and the past:", table(out, "t=", "c="))


def test_the_averages_of_single_ones_are_the_averaging_matrix():
    """Token s is 1 at place s and 0 elsewhere. Then W x = W: what comes out is the matrix itself."""
    out = HEAD.run(HEAD.make(), torch.eye(4).unsqueeze(0))
    third = 1 / 3
    want = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [third, third, third, 0], [0.25, 0.25, 0.25, 0.25]]
    HEAD.expect(out, torch.tensor([want]), "HeadVer2()(torch.eye(4).unsqueeze(0))")
    show("row t is what token t takes of each token s:", table(out, "t=", "s="))


@pytest.mark.parametrize(("B", "T", "C"), [(2, 5, 3), (1, 7, 4), (3, 2, 5), (4, 1, 2), (3, 6, 1), (4, 4, 4)])
def test_head_ver_2_gives_what_two_loops_give(B: int, T: int, C: int):
    """Another way to the same numbers, for any number of examples, tokens, and numbers in a token."""
    HEAD.expect_right(HEAD.make(), random(B, T, C))


def test_no_token_sees_its_future():
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    HEAD.expect_blind_to_the_future(HEAD.make(), random(2, 6, 3))


def test_examples_of_a_batch_never_see_each_other():
    """Each example alone gives what it gives in a batch."""
    HEAD.expect_examples_apart(HEAD.make(), random(3, 5, 2))


def test_one_head_serves_all_lengths_and_leaves_its_input_as_it_was():
    """The matrix is as large as the sequence that is there now, and the averages go into a tensor of their own."""
    HEAD.expect_all_lengths(HEAD.make(), lambda T: random(2, T, 3))


def test_the_gradient_of_the_average_reaches_every_token_that_is_in_it():
    """Token s is in the averages of all tokens t >= s, with the factor 1 / (t + 1) each: that is its gradient."""
    HEAD.expect_gradients(HEAD.make(), random(2, 5, 3))


def test_a_longer_sequence_or_a_larger_batch_takes_no_more_steps():
    """Without a loop, x passes through the same few operations, however many tokens and examples there are.

    Counted are the operations that gradients would pass on their way back. How the matrix is built does not count.
    """
    expect_few_steps(HEAD)


def test_the_head_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    HEAD.expect_precise(HEAD.make(), random(2, 5, 3))
    HEAD.expect_on_device(HEAD.make(), random(2, 5, 3))


# ---- what is it good for?


@pytest.mark.comparison
def test_head_ver_2_is_many_times_faster_than_two_loops(picture: Path | None):
    """512 tokens at once, against one after another, the best of 15 turns: some 50 times as fast. Asked for is 5."""
    prove(MATRIX_PRODUCT_IS_FASTER, picture)
