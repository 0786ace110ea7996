"""Stage 1: the bigram model. Your file: gpt/gpt_v1.py (TODO 1). Chapter: book/en/01-bigram.md"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.experiments.stage_1 import BIGRAM_COUNTS
from tests.kit import Task, random, show, table, tokens
from tests.kit.experiment import prove
from tests.kit.seeds import seed

GPT = Task("1", call="model.generate(prompt of {})", dims="B T", given="block_size token_embedding_table")
SURE = 100.0  # where one logit is 100 and the others are 0, the softmax gives that token the probability 1
PROBABILITIES = torch.tensor(
    [[0.60, 0.30, 0.08, 0.02], [0.10, 0.20, 0.30, 0.40], [0.05, 0.85, 0.05, 0.05], [0.25, 0.05, 0.60, 0.10]]
)


def test_generate_follows_a_table_that_is_sure_of_every_next_token():
    """After 0 always comes 2, after 2 comes 4, then 1, then 3, then 0 again. Each new token leads to the next one."""
    model = bigram(SURE * F.one_hot(torch.tensor([2, 3, 4, 0, 1]), 5))
    out = generate(model, torch.tensor([[0], [4]]), 7)
    want = torch.tensor([[0, 2, 4, 1, 3, 0, 2, 4], [4, 1, 3, 0, 2, 4, 1, 3]])
    GPT.expect(out, want, "model.generate(torch.tensor([[0], [4]]), 7)")
    show("two prompts of one token, and seven more each:", table(out, "b=", "t="))


@pytest.mark.parametrize(("B", "T", "new"), [(1, 1, 1), (2, 3, 4), (3, 1, 7), (1, 5, 2), (2, 8, 1), (2, 11, 3)])
def test_generate_keeps_the_prompt_and_appends_max_new_tokens(B: int, T: int, new: int):
    """(B, T) -> (B, T + max_new_tokens), whole numbers below V, for prompts of any length."""
    prompt = tokens(B, T, 6)
    out = generate(random_model(), prompt, new)
    GPT.expect(out[:, :T], prompt, f"model.generate(prompt, {new})[:, :{T}], where the prompt should be,")
    if not 0 <= out.min() <= out.max() < 6:
        raise GPT.wrong(f"A token {out.max()} was generated; the vocabulary has only the tokens 0 to 5.")


@pytest.mark.parametrize("T", [1, 3, 11])
def test_no_new_tokens_leave_the_prompt_alone(T: int):
    """max_new_tokens = 0 gives back the prompt, also one that is longer than block_size."""
    prompt = tokens(2, T, 6)
    GPT.expect(generate(random_model(), prompt, 0), prompt, "model.generate(prompt, 0)")


@pytest.mark.parametrize(
    ("block_size", "B", "T", "new"), [(4, 2, 2, 6), (4, 1, 4, 3), (5, 3, 9, 4), (1, 2, 3, 3), (2, 1, 1, 5)]
)
def test_the_model_is_shown_the_last_block_size_tokens_and_no_more(block_size: int, B: int, T: int, new: int):
    """Later models look at all tokens that they are shown, and can be shown block_size of them. Prompts here are
    shorter, as long and longer. The model of this test tells by its next token what it was shown."""
    model = reader(block_size)
    prompt = tokens(B, T, 11)
    out = generate(model, prompt, new)
    call = f"model.generate(prompt of {B} x {T}, {new})"
    if max(model.shown, default=0) > block_size:
        raise GPT.wrong(f"In {call}, the model was shown {max(model.shown)} tokens; block_size is {block_size}.")
    want = torch.tensor([read_on(row, new, block_size) for row in prompt.tolist()])
    GPT.expect(out, want, f"{call}, with block_size {block_size} and a model that looks at all it is shown,")


def test_every_sequence_of_a_batch_goes_its_own_way():
    """Each prompt alone leads to what it leads to in a batch."""
    prompts = tokens(3, 4, 11)
    together = generate(reader(6), prompts, 5)
    for b in range(3):
        alone = generate(reader(6), prompts[b : b + 1], 5)
        call = f"model.generate(prompts[{b}:{b + 1}], 5), expected to be what came for prompt {b} in a batch,"
        GPT.expect(alone, together[b : b + 1], call)


def test_tokens_are_drawn_with_the_probabilities_of_the_table():
    """Row i of the table of logits, through a softmax, says how often token j comes after token i.

    3000 draws a row; the tolerance is six standard errors of the most uncertain number: the chance of a false alarm
    is below one in ten million.
    """
    seed(1)
    model = bigram(PROBABILITIES.log() + torch.tensor([[4.0], [-2.0], [0.5], [1.0]]))
    last = torch.arange(4).repeat(3000)
    out = generate(model, torch.stack([3 - last, last], dim=1), 1)  # the token before the last one is another
    counts = F.one_hot(last * 4 + out[:, -1], 16).sum(dim=0).view(4, 4)
    got = counts / counts.sum(dim=1, keepdim=True)
    GPT.expect(got, PROBABILITIES, "The share of token j after token i", "i j", 0, 0.055)
    show("the share of token j after token i, in 3000 draws:", table(got, "i=", "j="))


def test_tokens_are_drawn_at_temperature_1_and_anew_for_each_row():
    """20000 times the same prompt, in evaluation mode: the shares are those of the softmax, and no row knows what its
    neighbour drew.

    The tolerances are six standard errors: the chance of a false alarm is below one in ten million.
    """
    seed(2)
    p = PROBABILITIES[0]
    drawn = generate(bigram(PROBABILITIES.log()).eval(), torch.zeros(20000, 1, dtype=torch.long), 1)[:, -1]
    GPT.expect(F.one_hot(drawn, 4).float().mean(dim=0), p, "The share of each token after token 0", "j", 0, 0.021)
    pairs = F.one_hot(drawn[0::2] * 4 + drawn[1::2], 16).float().mean(dim=0).view(4, 4)
    want = p[:, None] * p
    GPT.expect(pairs, want, "The share of rows with token i whose next row has token j", "i j", 0, 0.029)


def test_the_second_new_token_is_drawn_from_the_row_of_the_first_one():
    """P(first = i, second = j) = P(i | prompt) P(j | i).

    10000 draws; the tolerance is six standard errors: the chance of a false alarm is below one in ten million.
    """
    seed(3)
    out = generate(bigram(PROBABILITIES.log()), torch.zeros(10000, 1, dtype=torch.long), 2)
    got = F.one_hot(out[:, 1] * 4 + out[:, 2], 16).float().mean(dim=0).view(4, 4)
    want = PROBABILITIES[0][:, None] * PROBABILITIES
    GPT.expect(got, want, "The share of rows with token i first and token j second", "i j", 0, 0.0264)


def test_every_token_that_has_a_probability_is_drawn_at_times():
    """The likeliest of 100 tokens is less than three times as likely as the rarest: 5000 draws find them all.

    The rarest has the probability 0.0058: the chance of a false alarm is below one in ten billion.
    """
    seed(5)
    logits = torch.linspace(0, 1, 100).expand(100, 100)
    drawn = generate(bigram(logits), torch.zeros(5000, 1, dtype=torch.long), 1)[:, -1]
    never = 100 - len(drawn.unique())
    if never:
        raise GPT.wrong(f"Of 100 tokens, all nearly equally likely, {never} were never drawn in 5000 draws.")


def test_every_call_draws_anew():
    """Two calls with the same prompt give two texts. (40 draws from 50 tokens are never the same by chance.)"""
    seed(4)
    model, prompt = bigram(torch.zeros(50, 50)), torch.zeros(1, 2, dtype=torch.long)
    first, second = generate(model, prompt, 40), generate(model, prompt, 40)
    if torch.equal(first, second):
        raise GPT.wrong(f"Two calls gave the same 40 tokens: {first[0, 2:10].tolist()} and so on.")
    if len(first[0, 2:].unique()) == 1:
        raise GPT.wrong(f"All 40 tokens are the same, {first[0, 2].item()}, though 50 are equally likely.")


@pytest.mark.parametrize("training", [True, False])
def test_generate_leaves_everything_as_it_was(training: bool):
    """The prompt, the weights, the training or evaluation mode, and torch's own gradient mode; no graph is kept."""
    model = random_model().train(training)
    weights = model.token_embedding_table.weight.detach().clone()
    prompt = tokens(2, 3, 6)
    before = prompt.clone()
    with torch.enable_grad():  # on the way out, torch's mode is again what it was, whatever happens
        out = generate(model, prompt, 12, copy=False)
        grad_mode = torch.is_grad_enabled()
    if not torch.equal(prompt, before):
        raise GPT.wrong(f"generate changed the prompt itself: {before.tolist()} became {prompt.tolist()}.")
    if {module.training for module in model.modules()} != {training}:
        now = "evaluation" if training else "training"
        raise GPT.wrong(f"generate left the model in {now} mode, in which it was not before.")
    if not grad_mode:
        raise GPT.wrong("After generate, torch computes no gradients any more, anywhere: nothing could learn.")
    if out.requires_grad or model.token_embedding_table.weight.grad is not None:
        raise GPT.wrong("generate kept gradients; there is nothing to learn from a draw.")
    GPT.expect(model.token_embedding_table.weight.detach(), weights, "After generate, the table of the model", "V V")


def test_generate_works_on_the_device_of_its_prompt():
    """Nothing is built on another device than that of the prompt."""
    model, prompt = random_model(), tokens(2, 3, 6)
    generate(model, prompt, 3)
    GPT.expect_on_device(model, prompt, 3)


# ---- does it help?


@pytest.mark.comparison
def test_the_trained_table_is_the_bigram_counts(picture: Path | None):
    """Count how often each token follows each other one, and divide: training finds the same table, by small steps. Its
    loss comes down to the entropy of the text, given the last token, and no bigram model gets below that."""
    prove(BIGRAM_COUNTS, picture)


# ---- what they share


def bigram(logits: Tensor, block_size: int = 8) -> Any:
    """A GPTVer1 with this V x V table of logits."""
    model = GPT.make(len(logits), block_size)
    with torch.no_grad():
        model.token_embedding_table.weight.copy_(logits)
    return model


def random_model() -> Any:
    return bigram(random(6, 6))


def reader(block_size: int) -> Any:
    """A GPT of the test's own, as those of later stages: which token comes next depends on all that it is shown.

    After the tokens a, b, c, ... comes, for sure, the token (1 + 1a + 2b + 3c + ...) mod 11.
    """

    class Reader(GPT.cls):
        def logits(self, indices: Tensor) -> Tensor:
            self.shown.append(indices.shape[1])
            places = torch.arange(1, indices.shape[1] + 1)
            return SURE * F.one_hot((1 + (indices * places).cumsum(dim=1)) % 11, 11)

    model = Reader(11, block_size)
    model.shown = []
    return model


def read_on(prompt: list[int], max_new_tokens: int, block_size: int) -> list[int]:
    """The prompt and what comes after it, by the rule of `reader` in plain Python."""
    told = list(prompt)
    for _ in range(max_new_tokens):
        told.append((1 + sum(place * token for place, token in enumerate(told[-block_size:], 1))) % 11)
    return told


def generate(model: Any, prompt: Tensor, max_new_tokens: int, copy: bool = True) -> Tensor:
    """model.generate(prompt, max_new_tokens), checked to be whole numbers in the right shape."""
    B, T = prompt.shape
    call = f"model.generate(prompt of {B} x {T}, {max_new_tokens})"
    out = GPT.attempt(lambda: model.generate(prompt.clone() if copy else prompt, max_new_tokens), call)
    return GPT.like(out, torch.zeros(B, T + max_new_tokens, dtype=torch.long), call)
