"""Stage 5: self-attention. Your file: gpt/head_v4.py (TODO 5). Chapter: book/en/05-attention.md"""

import pytest
import torch
from torch.nn import functional as F

from tests.kit import Wrong, expect, expect_close, expect_same, load, on_another_device, show, table
from tests.mistakes import named


def head(block_size: int = 8, embed_size: int = 6, head_size: int = 4, seed: int = 5):
    torch.manual_seed(seed)
    return load("head_v4.HeadVer4")(block_size, embed_size, head_size)


def hint() -> str | None:
    return named("5", load("head_v4.HeadVer4"))


def test_attention_on_three_tokens_is_as_worked_by_hand():
    """Three tokens, with queries, keys and values equal to the tokens themselves: the numbers of the chapter."""
    attention = head(block_size=3, embed_size=2, head_size=2)
    for layer in (attention.query, attention.key, attention.value):
        torch.nn.init.eye_(layer.weight)
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    out = attention(x)
    wei = torch.tensor([[[1.0, 0.0, 0.0], [0.3302, 0.6698, 0.0], [0.2483, 0.2483, 0.5035]]])
    expect(out, torch.tensor([[[1.0, 0.0], [0.3302, 0.6698], [0.7517, 0.7517]]]), "head(x)", "B T D", hint, 1e-3, 1e-3)
    expect(kept(attention, "wei"), wei, "head.wei", "B T T", hint, 1e-3, 1e-3)
    show("the weights, a row for each token that asks, a column for each one that answers:", table(wei[0], "t=", "t="))


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (4, 8)])
def test_attention_is_what_torch_computes_with_the_same_queries_keys_and_values(B: int, T: int):
    """For any batch, and for sequences as long as the context or shorter."""
    attention = head()
    x = 2 * torch.randn(B, T, 6)
    q, k, v = (F.linear(x, getattr(attention, name).weight) for name in ("query", "key", "value"))
    want = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    expect(attention(x), want, f"HeadVer4(block_size=8, embed_size=6, head_size=4)(x of {B} x {T} x 6)", "B T D", hint)


def test_no_token_attends_to_its_future():
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    attention = head()
    x = torch.randn(2, 6, 6)
    before = result(attention, x)
    x[:, 4:] += 10
    after = result(attention, x)
    if not torch.allclose(before[:, :4], after[:, :4], atol=1e-5):
        first = (before - after).abs().amax(dim=(0, 2)).gt(1e-5).nonzero()[0].item()
        raise Wrong(with_hint(f"Tokens 4 and 5 were changed, and the output of token {first} changed, too."))


def test_each_row_of_wei_sums_to_one_and_the_future_has_no_weight():
    """head.wei holds the final weights, (B, T, T): how much of each token's value every token takes."""
    attention = head()
    attention(torch.randn(2, 5, 6))
    wei = kept(attention, "wei")
    expect(wei.sum(dim=-1), torch.ones(2, 5), "head.wei.sum(dim=-1)", "B T", hint)
    expect(wei.triu(1), torch.zeros(2, 5, 5), "the part of head.wei above its diagonal", "B T T", hint)


def test_wei_and_var_are_those_of_the_scores_over_the_root_of_head_size():
    """wei = softmax of the masked scores q k^T / sqrt(head_size); var = the variance of the scores after scaling."""
    attention = head()
    x = 2 * torch.randn(2, 5, 6)
    attention(x)
    q, k = F.linear(x, attention.query.weight), F.linear(x, attention.key.weight)
    scores = torch.einsum("btd,bsd->bts", q, k) / 2  # sqrt(4)
    past = torch.ones(5, 5, dtype=torch.bool).tril()
    weights = scores.exp() * past
    expect(kept(attention, "wei"), weights / weights.sum(dim=-1, keepdim=True), "head.wei", "B T T", hint)
    var = float(torch.as_tensor(kept(attention, "var")))
    allowed = scores.var().item(), scores.var(correction=0).item()
    if all(abs(var - v) > 1e-4 * v for v in allowed):
        expect_close(var, allowed[0], "head.var, the variance of all scores after scaling,", 1e-4, hint)


@pytest.mark.parametrize("head_size", [4, 64, 256])
def test_the_variance_of_wei_after_scaling_is_1(head_size: int):
    """With queries and keys of variance 1 (debug=True), the scores have variance 1, whatever head_size is.

    64 x 32 x 32 scores; the standard error of their variance is below 0.02, the tolerance 0.15.
    """
    attention = head(block_size=32, embed_size=6, head_size=head_size)
    attention(torch.randn(64, 32, 6), debug=True)
    var = float(torch.as_tensor(kept(attention, "var")))
    expect_close(var, 1.0, f"The variance of the scores for head_size {head_size}", 0.15, hint)
    show(f"head_size {head_size}: variance {var:.3f} after scaling; without it, it would be {var * head_size:.1f}")


def test_attention_has_no_notion_of_space():
    """Shuffle the past of the last token: it takes the same values with the same weights, and gives the same."""
    attention = head()
    x = torch.randn(1, 7, 6)
    shuffled = x[:, [3, 0, 5, 1, 4, 2, 6]]
    expect_same(
        result(attention, shuffled)[:, -1],
        result(attention, x)[:, -1],
        with_hint("The past of the last token was shuffled, and its output changed."),
    )


def test_examples_of_a_batch_never_talk_to_each_other():
    """Each example alone gives what it gives in a batch."""
    attention = head()
    x = torch.randn(3, 5, 6)
    together = result(attention, x)
    for b in range(3):
        claim = with_hint(f"Example {b} gives something else alone than in a batch of three.")
        expect_same(result(attention, x[b : b + 1]), together[b : b + 1], claim)


def test_gradients_flow_to_query_key_value_and_input():
    """A layer that gets no gradient never learns. The gradients are those of torch's own attention."""
    attention = head()
    x = torch.randn(2, 5, 6, requires_grad=True)
    factors = torch.randn(2, 5, 4)
    leaves = {"x": x, **{f"{n}.weight": getattr(attention, n).weight for n in ("query", "key", "value")}}
    q, k, v = (F.linear(x, leaves[f"{n}.weight"]) for n in ("query", "key", "value"))
    want = torch.autograd.grad(
        (F.scaled_dot_product_attention(q, k, v, is_causal=True) * factors).sum(), [*leaves.values()]
    )
    out = result(attention, x)
    if not out.requires_grad:
        raise Wrong(with_hint("The output is cut off from the graph: no gradient reaches any layer."))
    got = torch.autograd.grad((out * factors).sum(), [*leaves.values()], allow_unused=True)
    for name, theirs, right in zip(leaves, got, want, strict=True):
        if theirs is None:
            raise Wrong(with_hint(f"No gradient reaches {name}."))
        expect(theirs, right, f"the gradient of {name}", "B T C" if name == "x" else "D C", hint)


def test_it_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    attention = head().double()
    want = F.scaled_dot_product_attention(attention.query(x), attention.key(x), attention.value(x), is_causal=True)
    expect(attention(x), want, "head.double()(x.double())", "B T D", hint)
    on_another_device(head(), torch.randn(2, 5, 6))


def result(attention, x: torch.Tensor) -> torch.Tensor:
    """attention(x), checked to be a tensor of the right shape."""
    out = attention(x)
    expect(torch.zeros_like(out) if isinstance(out, torch.Tensor) else out, torch.zeros(*x.shape[:2], 4).to(x),
           "head(x)", "B T D", hint)  # fmt: skip
    return out


def kept(attention, name: str) -> torch.Tensor:
    if not hasattr(attention, name):
        raise Wrong(with_hint(f"After head(x), head.{name} should be there. Keep it: self.{name} = ..."))
    return torch.as_tensor(getattr(attention, name)).detach()


def with_hint(message: str) -> str:
    known = hint()
    return f"{message}\n\n{known}" if known else message
