"""Stage 2: the average of the past. Your files: gpt/head_v1.py (TODO 2-1), gpt/gpt_v2.py (TODO 2-2).

Chapter: book/en/02-average.md
"""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.experiments.stage_2 import AVERAGE_BEATS_THE_LAST_TOKEN
from tests.kit import Task, random, show, table, tokens
from tests.kit.experiment import prove
from tests.kit.standins import Function, PastMean, average


def right_logits(model: Any, indices: Tensor) -> Tensor:
    """Row by row from the table, through the contextualizer, and times the matrix of lm_head."""
    x = model.token_embedding_table.weight[indices.flatten()].view(*indices.shape, -1)
    return torch.einsum("btc,vc->btv", model.contextualizer(x), model.lm_head.weight) + model.lm_head.bias


HEAD = Task("2-1", call="HeadVer1()(x of {})", right=lambda head, x: average(x))
GPT = Task(
    "2-2",
    call="GPTVer2(...).logits(indices of {})",
    dims="B T V",
    given="block_size token_embedding_table contextualizer lm_head",
    right=right_logits,
)

# ---- TODO 2-1: HeadVer1


def test_the_average_of_three_tokens_is_as_worked_by_hand():
    """2, then (2 + 4) / 2, then (2 + 4 + 9) / 3; and the same for the second number of each token."""
    x = torch.tensor([[[2.0, 10.0], [4.0, 0.0], [9.0, -1.0]]])
    out = HEAD.run(HEAD.make(), x)
    HEAD.expect(out, torch.tensor([[[2.0, 10.0], [3.0, 5.0], [5.0, 3.0]]]), "HeadVer1()(x)")
    show("x:", table(x, "t=", "c="), "the average of the present and the past:", table(out, "t=", "c="))


@pytest.mark.parametrize(
    ("B", "T", "C"), [(2, 5, 3), (1, 7, 4), (3, 2, 5), (4, 1, 2), (3, 6, 1), (4, 4, 4), (2, 17, 3)]
)
def test_each_token_becomes_the_average_of_the_present_and_the_past(B: int, T: int, C: int):
    """For any number of examples, tokens, and numbers in a token."""
    HEAD.expect_right(HEAD.make(), random(B, T, C))


def test_no_token_sees_its_future():
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    HEAD.expect_blind_to_the_future(HEAD.make(), random(2, 6, 3))


def test_examples_of_a_batch_never_see_each_other():
    """Each example alone gives what it gives in a batch."""
    HEAD.expect_examples_apart(HEAD.make(), random(3, 5, 2))


def test_the_gradient_of_the_average_reaches_every_token_that_is_in_it():
    """Token s is in the averages of all tokens t >= s, with the factor 1 / (t + 1) each: that is its gradient."""
    HEAD.expect_gradients(HEAD.make(), random(2, 5, 3))


def test_one_head_serves_all_lengths_and_leaves_its_input_as_it_was():
    """In training and in evaluation. The averages go into a tensor of their own."""
    HEAD.expect_all_lengths(HEAD.make(), lambda T: random(2, T, 3))


def test_the_head_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    HEAD.expect_precise(HEAD.make(), random(2, 4, 3))
    HEAD.expect_on_device(HEAD.make(), random(2, 4, 3))


# ---- TODO 2-2: GPTVer2


def test_the_logits_of_two_tokens_are_as_worked_by_hand():
    """Token 0 is (1, 0) and token 1 is (0, 1). The contextualizer averages, and lm_head scores three tokens."""
    model = gpt(Function(average), vocab_size=3, block_size=2, embed_size=2)
    with torch.no_grad():
        model.token_embedding_table.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]))
        model.lm_head.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 4.0], [1.0, 1.0]]))
        model.lm_head.bias.copy_(torch.tensor([0.0, 0.0, 10.0]))
    out = GPT.run(model, torch.tensor([[0, 1]]))
    GPT.expect(out, torch.tensor([[[2.0, 0.0, 11.0], [1.0, 2.0, 11.0]]]), "model.logits(indices)")
    show("(1, 0), and then (1/2, 1/2), as lm_head scores them:", table(out, "t=", "v="))


@pytest.mark.parametrize(("B", "T"), [(2, 3), (1, 8), (3, 1), (4, 8), (6, 4)])
def test_logits_are_embeddings_in_context_mapped_to_the_vocabulary(B: int, T: int):
    """lm_head(contextualizer(token_embedding_table[indices])), for any batch and length up to block_size."""
    GPT.expect_right(gpt(), tokens(B, T))


@pytest.mark.parametrize(("vocab_size", "embed_size"), [(5, 5), (3, 9), (9, 2)])
def test_logits_fit_any_vocabulary_and_embedding(vocab_size: int, embed_size: int):
    """The vocabulary may be larger than the embedding, smaller, or of the same size."""
    model = gpt(vocab_size=vocab_size, embed_size=embed_size)
    GPT.expect_right(model, tokens(2, 4, vocab_size), f", for vocab_size {vocab_size} and embed_size {embed_size},")


def test_one_model_serves_all_lengths_in_training_and_in_evaluation():
    """What it gives depends on nothing but its weights and the indices."""
    GPT.expect_all_lengths(gpt(), lambda T: tokens(2, T))


def test_the_last_token_sees_its_past():
    """With a contextualizer, another first token gives other logits for the last one. GPTVer1 could not do that."""
    out = GPT.result(gpt(), torch.tensor([[0, 1, 2], [3, 1, 2]]))
    if torch.allclose(out[0, -1], out[1, -1], atol=1e-4):
        raise GPT.wrong("Another first token, and the logits of the last one are the same.")


def test_gpt_ver_2_cannot_see_the_order_of_the_past():
    """An average is the same in whatever order its tokens come: "dog bites man" is "man bites dog". See stage 6."""
    both = GPT.result(gpt(Function(average)), torch.tensor([[0, 3, 5, 1, 2], [5, 1, 0, 3, 2]])).detach()
    GPT.expect(both[1:, -1], both[:1, -1], "The logits of the last token, its past being shuffled,", "B V")


def test_gradients_reach_the_table_the_contextualizer_and_lm_head():
    """A layer that gets no gradient never learns."""
    GPT.expect_gradients(gpt(), tokens(3, 6))


@pytest.mark.parametrize("training", [True, False])
def test_logits_leave_the_mode_and_the_indices_as_they_were(training: bool):
    """Training or evaluation is the caller's business: in training, the contextualizer may drop numbers at random."""
    model = gpt(nn.Sequential(nn.Dropout(0.5), PastMean(5))).train(training)
    indices = tokens(2, 6)
    GPT.expect_input_kept(model, indices)
    one, two = GPT.result(model, indices), GPT.result(model, indices)
    if {module.training for module in model.modules()} != {training}:
        raise GPT.wrong(f"model.training was {training} before, and is not any more.")
    if torch.equal(one, two) == training:
        said = "gave the same twice" if training else "did not give the same twice"
        mode = "training" if training else "evaluation"
        raise GPT.wrong(f"In {mode} mode, with dropout in the contextualizer, model.logits {said}.")


def test_the_model_gives_logits_and_the_loss_of_its_targets():
    """`forward` is GPTVer1's, and uses your logits. A model that knows nothing needs log(V) nats a token."""
    model = gpt()
    indices, targets = tokens(2, 4), tokens(2, 4, seed=1)
    out, loss = GPT.attempt(lambda: model(indices, targets), "model(indices, targets)")
    want = right_logits(model, indices)
    GPT.expect(out, want, "The first thing that model(indices, targets) gives")
    right = -want.log_softmax(dim=-1).gather(2, targets.unsqueeze(2)).mean().item()
    GPT.expect_number(loss.item(), right, "The loss", 1e-4)
    show(f"loss {loss.item():.3f} nats a token before any training; log(7) = {math.log(7):.3f}")


def test_the_logits_have_the_precision_and_the_device_of_the_model():
    """float64 in, float64 out; and nothing is built on another device than that of the model."""
    GPT.expect_precise(gpt(), tokens(2, 5))
    GPT.expect_on_device(gpt(), tokens(2, 5))


# ---- does it help?


@pytest.mark.comparison
def test_an_average_of_the_past_beats_the_last_token_alone(picture: Path | None):
    """Two models learn the same game from the same examples. The answer is in the past, in whatever order: the average
    has it, and the last token does not."""
    prove(AVERAGE_BEATS_THE_LAST_TOKEN, picture)


# ---- what they share


def gpt(contextualizer: nn.Module | None = None, vocab_size: int = 7, block_size: int = 8, embed_size: int = 5) -> Any:
    return GPT.make(contextualizer or PastMean(embed_size), vocab_size, block_size, embed_size)
