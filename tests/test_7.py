"""Stage 7: several heads. Your files: gpt/multi_head_v1.py (TODO 7-1), gpt/multi_head_v2.py (TODO 7-2) and
gpt/gpt_v4.py (TODO 7-3). Chapter: book/en/07-multi-head.md"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.experiments.stage_7 import LEARNED_POSITIONS, MULTI_HEAD_HELPS
from tests.kit import Task, Wrong, load, random, show, table, tokens
from tests.kit.costs import best_seconds, counted
from tests.kit.experiment import prove
from tests.kit.standins import PastMean


def one_head(x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(F.linear(x, query), F.linear(x, key), F.linear(x, value), is_causal=True)


def weights_of(layer: Any) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The weights of query, key and value, (D, C) each, of one head after another."""
    if hasattr(layer, "heads"):
        return ((head.query.weight, head.key.weight, head.value.weight) for head in layer.heads)
    rows = layer.query.weight.shape[0] // layer.n_heads
    return zip(*(getattr(layer, name).weight.split(rows) for name in ("query", "key", "value")), strict=True)


def head_by_head(layer: Any, x: Tensor) -> Tensor:
    """Torch's own attention with the weights of each head, joined and projected."""
    joined = torch.cat([one_head(x, *weights) for weights in weights_of(layer)], dim=-1)
    return F.linear(joined, layer.proj.weight, layer.proj.bias)


def step_by_step(model: Any, indices: Tensor) -> Tensor:
    """Tokens plus positions, contextualized, normalized by torch's own function, and mapped to the vocabulary."""
    x = F.embedding(indices, model.token_embedding_table.weight) + model.pos_embedding_table.weight[: indices.shape[1]]
    x = model.contextualizer(x)
    x = F.layer_norm(x, (x.shape[-1],), model.ln_f.weight, model.ln_f.bias)
    return F.linear(x, model.lm_head.weight, model.lm_head.bias)


VER_1 = Task("7-1", call="MultiHeadVer1(...)(x of {})", given="heads proj", right=head_by_head)
VER_2 = Task(
    "7-2",
    call="MultiHeadVer2(...)(x of {})",
    given="block_size n_heads query key value proj tril",
    right=head_by_head,
)
GPT = Task(
    "7-3",
    call="GPTVer4(...).logits(indices of {})",
    dims="B T V",
    given="block_size token_embedding_table contextualizer lm_head pos_embedding_table ln_f",
    right=step_by_step,
)
both_versions = pytest.mark.parametrize("version", [VER_1, VER_2], ids=repr)

# ---- TODO 7-1 and 7-2: both versions compute the same


@both_versions
def test_two_heads_on_three_tokens_are_as_worked_by_hand(version: Task):
    """Head 0 sees only feature 0, head 1 only feature 1: two heads, each of width 1, looking for different things."""
    layer = multi_head(version, n_heads=2, block_size=3, embed_size=2)
    with torch.no_grad():
        for h, weights in enumerate(weights_of(layer)):
            for weight in weights:
                weight.copy_(torch.eye(2)[h : h + 1])
        layer.proj.weight.copy_(torch.eye(2))
        layer.proj.bias.zero_()
    x = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    want = torch.tensor([[[1.0, 0.0], [0.5, 0.7311], [0.8446, 0.8446]]])
    out = version.run(layer, x)
    version.expect(out, want, f"{version.name}(block_size=3, embed_size=2, n_heads=2)(x)", rtol=0, atol=1e-3)
    show("column 0 is what head 0 gives, column 1 what head 1 gives:", table(want[0], "t=", "c="))


@pytest.mark.parametrize(("B", "T", "n_heads"), [(2, 5, 3), (1, 8, 3), (3, 1, 3), (4, 8, 2), (2, 6, 1), (2, 5, 12)])
@both_versions
def test_several_heads_are_what_torch_computes_head_by_head(version: Task, B: int, T: int, n_heads: int):
    """Attention of each head by itself, the results side by side, then proj; for any batch, length, number of heads."""
    version.expect_right(multi_head(version, n_heads), random(B, T, 12), f", with {n_heads} heads,")


@both_versions
def test_no_token_sees_its_future_in_any_head(version: Task):
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    version.expect_blind_to_the_future(multi_head(version), random(2, 6, 12))


@both_versions
def test_examples_of_a_batch_keep_to_themselves(version: Task):
    """Each example alone gives what it gives in a batch of three."""
    version.expect_examples_apart(multi_head(version), random(3, 5, 12))


@both_versions
def test_gradients_flow_through_every_head_and_the_projection(version: Task):
    """A layer that gets no gradient never learns. The gradients are those of torch's own attention."""
    version.expect_gradients(multi_head(version), random(2, 5, 12))


@both_versions
def test_one_layer_serves_all_lengths_and_leaves_its_input_alone(version: Task):
    """A longer sequence, a shorter one, the longer one again; in training and in evaluation: always as if for the first
    time."""
    version.expect_all_lengths(multi_head(version), lambda T: random(2, T, 12))


@both_versions
def test_heads_work_in_the_precision_and_on_the_device_of_x(version: Task):
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    version.expect_precise(multi_head(version), random(2, 5, 12))
    version.expect_on_device(multi_head(version), random(2, 5, 12))


@both_versions
def test_heads_that_do_not_divide_embed_size_are_refused(version: Task):
    """This part is given: 12 features cannot be shared out among 5 heads, and the error says both numbers."""
    try:
        version.cls(8, 12, 5)
    except ValueError as error:
        if "12" in str(error) and "5" in str(error):
            return
        raise Wrong(f"The ValueError should say both numbers, embed_size 12 and n_heads 5. It says: {error}") from None
    raise Wrong(
        f"{version.name}(block_size=8, embed_size=12, n_heads=5) should raise a ValueError: 5 does not divide 12."
    )


# ---- TODO 7-1: what several heads cost


@pytest.mark.parametrize("n_heads", [2, 4, 8])
def test_head_ver_4_and_multi_head_ver_1_are_equally_expensive(n_heads: int):
    """H heads of width C/H have as many parameters, and take as many multiplications, as one head of width C. Only the
    projection comes on top."""
    B, T, C = 2, 8, 16
    one = load("head_v4.HeadVer4")(T, C, C)
    several = VER_1.make(T, C, n_heads)
    sizes = {"one head": parameters(one), "heads": parameters(several.heads), "proj": parameters(several.proj)}
    if sizes["heads"] != sizes["one head"] or sizes["proj"] != C * C + C:
        raise Wrong(
            f"{n_heads} heads have {sizes['heads']} parameters and the projection {sizes['proj']}; expected"
            f" {sizes['one head']}, as many as one head of width {C}, and {C * C + C}. This part is given:"
            " heads = HeadVer4(block_size, embed_size, embed_size // n_heads), n_heads times."
        )
    several.heads = nn.ModuleList(Attention(head) for head in several.heads)
    x = random(B, T, C)
    cost_of_one = counted(lambda: Attention(one)(x)).multiplications
    cost = counted(lambda: VER_1.run(several, x)).multiplications
    proj = B * T * C * C
    if cost > 1.05 * (cost_of_one + proj):
        raise VER_1.wrong(
            f"{n_heads} heads and the projection take {cost} multiplications; expected {cost_of_one + proj}:"
            f" {cost_of_one} for the heads, as for one head of width {C}, and {proj} for the projection."
            " Run each head once, and project once."
        )
    rows = (
        (f"one head of width {C}", cost_of_one),
        (f"{n_heads} heads of width {C // n_heads}", cost - proj),
        ("proj", proj),
    )
    amounts = zip(rows, sizes.values(), strict=True)
    show(*(f"{what:20} {size:4} parameters {products:6} multiplications" for (what, products), size in amounts))


# ---- TODO 7-2: the same, without a loop


def test_multi_head_ver_1_and_multi_head_ver_2_are_logically_equal():
    """Copy the weights of the heads of MultiHeadVer1, one below the other, into query, key and value of MultiHeadVer2:
    both give the same."""
    one, two = VER_1.make(8, 12, 3), VER_2.make(8, 12, 3)
    with torch.no_grad():
        for name in ("query", "key", "value"):
            getattr(two, name).weight.copy_(torch.cat([getattr(head, name).weight for head in one.heads]))
    two.proj.load_state_dict(one.proj.state_dict())
    x = random(2, 5, 12)
    for head, weights in zip(one.heads, weights_of(one), strict=True):
        if not torch.allclose(head(x), one_head(x, *weights), rtol=1e-4, atol=1e-5):
            raise Wrong(
                "The heads inside are wrong: stage 5 comes first (gpt/head_v4.py; pytest tests/test_5.py -s -vv)."
            )
    VER_1.expect_right(one, x)
    VER_2.expect(VER_2.run(two, x), head_by_head(one, x), VER_2.says(x) + " with the weights of a MultiHeadVer1")
    if parameters(one) != parameters(two):
        raise Wrong(
            f"MultiHeadVer1 has {parameters(one)} parameters, and MultiHeadVer2 {parameters(two)}: make them equal."
        )


def test_multi_head_ver_2_is_faster_than_ver_1():
    """Without a loop over the heads, 16 heads take no more operations than 2. (Counted are the operations that torch
    carries out, without those that only look at a tensor in another way, such as view and transpose.)"""
    B, T, C = 2, 6, 32
    x = random(B, T, C)
    layers = {version: [multi_head(version, H, T, C) for H in (2, 16)] for version in (VER_1, VER_2)}
    counts = {v: [counted(partial(v.run, layer, x)).operations for layer in pair] for v, pair in layers.items()}
    few, many = counts[VER_2]
    if many > 1.5 * few:
        raise VER_2.wrong(
            f"MultiHeadVer2 takes {few} operations for 2 heads, and {many} for 16: it works on one head after another."
            " All heads have to be attended to at once, in one (B, n_heads, T, head_size) tensor."
        )
    times = best_seconds({v.name: partial(pair[1], x) for v, pair in layers.items()}, turns=3)
    show(
        "operations       2 heads  16 heads   time for 16, here and now",
        *(f"{v.name:16} {a:7} {b:9} {times[v.name] * 1e6:11.0f} us" for v, (a, b) in counts.items()),
    )


# ---- TODO 7-3: learned positions


def test_the_same_token_at_two_places_has_two_meanings():
    """Token 0 twice, with the embeddings of its two places: [1, 0, 0] + [0, 0, 0] and [1, 0, 0] + [0, 0, 1]. Then ln_f.
    (The contextualizer and lm_head change nothing here.)"""
    model = GPT.make(nn.Identity(), vocab_size=3, block_size=4, embed_size=3)
    with torch.no_grad():
        model.token_embedding_table.weight.copy_(torch.eye(3))
        model.pos_embedding_table.weight.copy_(torch.tensor([[0.0, 0, 0], [0, 0, 1], [5, 0, 0], [0, 5, 0]]))
        model.lm_head.weight.copy_(torch.eye(3))
        model.lm_head.bias.zero_()
    want = torch.tensor([[[1.4142, -0.7071, -0.7071], [0.7071, -1.4142, 0.7071]]])
    got = GPT.run(model, torch.tensor([[0, 0]]))
    GPT.expect(got, want, "GPTVer4(...).logits([[0, 0]])", rtol=0, atol=1e-3)
    show("the logits of token 0 at place 0 and at place 1:", table(want[0], "t=", "v="))


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (8, 8), (6, 3)])
def test_logits_come_from_tokens_and_positions_normalized_at_the_end(B: int, T: int):
    """lm_head(ln_f(contextualizer(token embeddings + position embeddings))), for sequences as long as the context or
    shorter."""
    GPT.expect_right(gpt(), tokens(B, T))


def test_gradients_reach_both_embedding_tables_and_every_layer_of_the_gpt():
    """The positions are learned: their table, like all else, needs a gradient."""
    GPT.expect_gradients(gpt(), tokens(3, 5))


def test_the_gpt_gives_the_same_again_and_leaves_the_indices_alone():
    """One model for long and short sequences, in training and in evaluation."""
    GPT.expect_all_lengths(gpt(), lambda T: tokens(2, T))


def test_the_gpt_works_in_the_precision_and_on_the_device_of_its_weights():
    """A model in float64 gives logits in float64; and the positions are built on the device of the indices."""
    GPT.expect_precise(gpt(), tokens(2, 5))
    GPT.expect_on_device(gpt(), tokens(2, 5))


# ---- does it help?


@pytest.mark.comparison
def test_multi_head_helps(picture: Path | None):
    """One head of width 64 against four of width 16: with the same parameters, multiplications and batches."""
    prove(MULTI_HEAD_HELPS, picture)


@pytest.mark.comparison
def test_learned_positions_do_at_least_as_well_as_sinusoids(picture: Path | None):
    """The puzzle of stage 6 again. Allowed is a loss that is 0.3 higher; without positions it is 1.4 higher."""
    prove(LEARNED_POSITIONS, picture)


# ---- what they share


class Attention(nn.Module):
    """Stage 5 done right, with the weights of the given head: whatever fails with it inside is not the head's fault."""

    def __init__(self, head: Any):
        super().__init__()
        self.block_size = len(head.tril)
        self.query, self.key, self.value = head.query, head.key, head.value
        self.register_buffer("tril", torch.ones_like(head.tril).tril(), persistent=False)

    def forward(self, x: Tensor, debug: bool = False) -> Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        if debug:
            q, k, v = torch.randn_like(q), torch.randn_like(k), torch.randn_like(v)
        past = self.tril[: x.shape[-2], : x.shape[-2]] == 1
        scores = q @ k.mT / q.shape[-1] ** 0.5
        return scores.masked_fill(~past, float("-inf")).softmax(dim=-1) @ v


def multi_head(version: Task, n_heads: int = 3, block_size: int = 8, embed_size: int = 12) -> Any:
    layer = version.make(block_size, embed_size, n_heads)
    if version is VER_1:
        layer.heads = nn.ModuleList(Attention(head) for head in layer.heads)
    return layer


def gpt() -> Any:
    model = GPT.make(PastMean(6), vocab_size=7, block_size=8, embed_size=6)
    nn.init.normal_(model.ln_f.weight)
    nn.init.normal_(model.ln_f.bias)
    return model


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
