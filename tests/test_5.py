"""Stage 5: self-attention. Your file: gpt/head_v4.py (TODO 5). Chapter: book/en/05-attention.md"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.experiments.stage_5 import ATTENTION_BEATS_THE_AVERAGE, SATURATION
from tests.kit import Task, random, show, table
from tests.kit.experiment import prove
from tests.kit.showing import by


def right(head: Any, x: Tensor) -> Tensor:
    """Torch's own attention, with the weights of the head."""
    q, k, v = (F.linear(x, getattr(head, name).weight) for name in ("query", "key", "value"))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


HEAD = Task(
    "5",
    call="HeadVer4(block_size=8, embed_size=6, head_size=4)(x of {})",
    dims="B T D",
    given="block_size query key value tril",
    right=right,
)


def test_attention_on_three_tokens_is_as_worked_by_hand():
    """Three tokens, with queries, keys and values equal to the tokens themselves: the numbers of the chapter."""
    head = HEAD.make(block_size=3, embed_size=2, head_size=2)
    for layer in (head.query, head.key, head.value):
        nn.init.eye_(layer.weight)
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    out = HEAD.run(head, x)
    wei = torch.tensor([[[1.0, 0.0, 0.0], [0.3302, 0.6698, 0.0], [0.2483, 0.2483, 0.5035]]])
    HEAD.expect(out, torch.tensor([[[1.0, 0.0], [0.3302, 0.6698], [0.7517, 0.7517]]]), "head(x)", rtol=0, atol=1e-3)
    HEAD.expect(kept(head, "wei"), wei, "head.wei", "B T T", rtol=0, atol=1e-3)
    show("the weights, a row for each token that asks, a column for each one that answers:", table(wei[0], "t=", "t="))


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (4, 8)])
def test_attention_is_what_torch_computes_with_the_same_weights(B: int, T: int):
    """For any batch, and for sequences as long as the context or shorter."""
    HEAD.expect_right(made(), random(B, T, 6))


def test_no_token_attends_to_its_future():
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    HEAD.expect_blind_to_the_future(made(), random(2, 6, 6))


def test_each_row_of_wei_sums_to_one_and_the_future_has_no_weight():
    """head.wei holds the final weights, (B, T, T): how much of each token's value every token takes."""
    head, x = made(), random(2, 5, 6)
    HEAD.run(head, x)
    wei = HEAD.like(kept(head, "wei"), right_wei(head, x), "head.wei", "B T T")
    HEAD.expect(wei.sum(dim=-1), torch.ones(2, 5), "head.wei.sum(dim=-1)", "B T")
    HEAD.expect(wei.triu(1), torch.zeros(2, 5, 5), "the part of head.wei above its diagonal", "B T T")


def test_wei_and_var_are_those_of_the_scores_over_the_root_of_head_size():
    """wei = softmax of the masked scores q k^T / sqrt(head_size); var = the variance of the scores after scaling.

    They are those of the last call, in training and in evaluation, and also where the scores are far from 0.
    """
    head = made()
    for training, x in ((True, random(2, 5, 6)), (False, random(2, 3, 6)), (True, 3 + random(3, 3, 6))):
        HEAD.run(head.train(training), x)
        HEAD.expect(kept(head, "wei"), right_wei(head, x), "head.wei", "B T T")
        var, scores = variance(head), right_scores(head, x)
        allowed = scores.var().item(), scores.var(correction=0).item()
        if all(not abs(var - v) <= 1e-4 * v for v in allowed):
            HEAD.expect_number(var, allowed[0], "head.var, the variance of all scores after scaling,", 1e-4)


def test_the_mask_holds_however_large_the_scores_are():
    """A token that fits itself badly has a score of -170 here. -infinity is less than that; -100 is not."""
    head = made().double()
    with torch.no_grad():
        head.key.weight.copy_(-head.query.weight)
    HEAD.expect_right(head, 7 * random(2, 8, 6).double(), ", its numbers being large,")


@pytest.mark.parametrize("head_size", [4, 64, 256])
def test_the_variance_of_wei_after_scaling_is_1(head_size: int):
    """With queries and keys of variance 1 (debug=True), the scores have variance 1, whatever head_size is.

    64 x 32 x 32 scores; the standard error of their variance is below 0.02, the tolerance 0.15.
    """
    head = HEAD.make(block_size=32, embed_size=6, head_size=head_size)
    call = f"HeadVer4(32, 6, {head_size})(x, debug=True)"
    HEAD.attempt(lambda: head(random(64, 32, 6), debug=True), call)
    var = variance(head)
    what = f"After {call}, for which queries and keys are noise of variance 1, head.var"
    HEAD.expect_number(var, 1.0, what, 0.15)
    HEAD.expect(kept(head, "wei").sum(dim=-1), torch.ones(64, 32), f"After {call}, head.wei.sum(dim=-1)", "B T")
    show(f"head_size {head_size}: variance {var:.3f} after scaling; without it, it would be {var * head_size:.1f}")


def test_attention_has_no_notion_of_space():
    """Shuffle the past of the last token: it takes the same values with the same weights, and gives the same."""
    head, x = made(), random(1, 7, 6)
    before, after = HEAD.result(head, x), HEAD.result(head, x[:, [3, 0, 5, 1, 4, 2, 6]])
    what = "The output of the last token, its past being shuffled,"
    HEAD.expect(after[:, -1].detach(), before[:, -1].detach(), what, "B D")


def test_examples_of_a_batch_never_talk_to_each_other():
    """Each example alone gives what it gives in a batch."""
    HEAD.expect_examples_apart(made(), random(3, 5, 6))


def test_one_head_serves_all_lengths_and_leaves_its_input_as_it_was():
    """A longer sequence, a shorter one, the longer one again, in training and in evaluation."""
    HEAD.expect_all_lengths(made(), lambda T: random(2, T, 6))


def test_gradients_flow_to_query_key_value_and_input():
    """A layer that gets no gradient never learns. The gradients are those of torch's own attention."""
    HEAD.expect_gradients(made(), random(2, 5, 6))


def test_it_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    HEAD.expect_precise(made(), random(2, 5, 6))
    HEAD.expect_on_device(made(), random(2, 5, 6))


# ---- does it help?


@pytest.mark.comparison
def test_attention_beats_the_average(picture: Path | None):
    """Two models read the same text in the same batches: one averages the past, the other learns where to look."""
    prove(ATTENTION_BEATS_THE_AVERAGE, picture)


@pytest.mark.comparison
def test_without_scaling_softmax_saturates(picture: Path | None):
    """Scores that grow with head_size leave nearly all the weight to one token, and hardly a gradient to learn from."""
    prove(SATURATION, picture)


# ---- what they share


def made() -> Any:
    return HEAD.make(block_size=8, embed_size=6, head_size=4)


def right_scores(head: Any, x: Tensor) -> Tensor:
    q, k = F.linear(x, head.query.weight), F.linear(x, head.key.weight)
    return torch.einsum("btd,bsd->bts", q, k).detach() / q.shape[-1] ** 0.5


def right_wei(head: Any, x: Tensor) -> Tensor:
    weights = right_scores(head, x).exp().tril()
    return weights / weights.sum(dim=-1, keepdim=True)


def kept(head: Any, name: str) -> Tensor:
    if getattr(head, name, None) is None:
        raise HEAD.wrong(f"After head(x), head.{name} should be there. Keep it: self.{name} = ...")
    value = getattr(head, name)
    return value.detach() if isinstance(value, Tensor) else value


def variance(head: Any) -> float:
    """head.var, which may be a tensor of one number, or a number."""
    value = kept(head, "var")
    if isinstance(value, Tensor) and value.numel() != 1:
        raise HEAD.wrong(f"head.var is a tensor of {by(value)} numbers. It is to be one, the variance of all scores.")
    return HEAD.attempt(lambda: float(value), "float(head.var)")
