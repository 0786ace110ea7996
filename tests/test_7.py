"""Stage 7: several heads. Your files: gpt/multi_head_v1.py (TODO 7-1), gpt/multi_head_v2.py (TODO 7-2) and
gpt/gpt_v4.py (TODO 7-3). Chapter: book/en/07-multi-head.md"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.kit import Wrong, expect, expect_same, load, show, table
from tests.kit.failing import explain
from tests.mistakes import named
from tests.mistakes.stage_7 import Logits, looked_up_on_another_device, operations

FILES = {"MultiHeadVer1": "multi_head_v1", "MultiHeadVer2": "multi_head_v2", "GPTVer4": "gpt_v4"}
TODOS = {"MultiHeadVer1": "7-1", "MultiHeadVer2": "7-2", "GPTVer4": "7-3"}
VERSIONS = ["MultiHeadVer1", "MultiHeadVer2"]


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


class MeanOfPast(nn.Module):
    """A contextualizer that needs no other stage: the mean of a layer's output over the present and the past."""

    def __init__(self, embed_size: int):
        super().__init__()
        self.layer = nn.Linear(embed_size, embed_size)

    def forward(self, x: Tensor) -> Tensor:
        counts = torch.arange(1, x.shape[-2] + 1, dtype=x.dtype, device=x.device).unsqueeze(1)
        return self.layer(x).tanh().cumsum(dim=-2) / counts


# --- TODO 7-1 and 7-2: both versions compute the same


@pytest.mark.parametrize("version", VERSIONS)
def test_two_heads_on_three_tokens_are_as_worked_by_hand(version: str):
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
    out = run(version, lambda: layer(x))
    expect(out, want, f"{version}(block_size=3, embed_size=2, n_heads=2)(x)", "B T C", hint(version), 1e-3, 1e-3)
    show("column 0 is what head 0 gives, column 1 what head 1 gives:", table(want[0], "t=", "c="))


@pytest.mark.parametrize(("B", "T", "n_heads"), [(2, 5, 3), (1, 8, 3), (3, 1, 3), (4, 8, 2), (2, 6, 1), (2, 5, 12)])
@pytest.mark.parametrize("version", VERSIONS)
def test_several_heads_are_what_torch_computes_head_by_head(version: str, B: int, T: int, n_heads: int):
    """Attention of each head by itself, the results side by side, then proj; for any batch, length, number of heads."""
    layer = multi_head(version, n_heads)
    x = 3 * torch.randn(B, T, 12)
    call = f"{version}(block_size=8, embed_size=12, n_heads={n_heads})(x of {B} x {T} x 12)"
    expect(run(version, lambda: layer(x)), head_by_head(layer, x), call, "B T C", hint(version))


@pytest.mark.parametrize("version", VERSIONS)
def test_no_token_sees_its_future_in_any_head(version: str):
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    layer = multi_head(version)
    x = torch.randn(2, 6, 12)
    before = result(version, layer, x)
    x[:, 4:] += 10
    after = result(version, layer, x)
    changed = (before - after).abs().amax(dim=(0, 2)) > 1e-5
    if not torch.allclose(before[:, :4], after[:, :4], atol=1e-5):
        token = changed.nonzero()[0].item() if changed.any() else 0
        raise Wrong(with_hint(version, f"Tokens 4 and 5 were changed, and the output of token {token} changed, too."))


@pytest.mark.parametrize("version", VERSIONS)
def test_examples_of_a_batch_keep_to_themselves(version: str):
    """Each example alone gives what it gives in a batch of three."""
    layer = multi_head(version)
    x = 3 * torch.randn(3, 5, 12)
    together = result(version, layer, x)
    for b in range(3):
        if not torch.allclose(result(version, layer, x[b : b + 1]), together[b : b + 1], rtol=1e-4, atol=1e-5):
            raise Wrong(with_hint(version, f"Example {b} gives something else alone than in a batch of three."))


@pytest.mark.parametrize("version", VERSIONS)
def test_gradients_flow_through_every_head_and_the_projection(version: str):
    """A layer that gets no gradient never learns. The gradients are those of torch's own attention."""
    layer = multi_head(version)
    x = (2 * torch.randn(2, 5, 12)).requires_grad_()
    compare_gradients(version, {"x": x, **dict(layer.named_parameters())}, lambda: layer(x), head_by_head(layer, x))


@pytest.mark.parametrize("version", VERSIONS)
def test_one_layer_serves_all_lengths_and_leaves_its_input_alone(version: str):
    """A longer sequence, a shorter one, the longer one again; in training and in evaluation: always as if for the first
    time."""
    layer = multi_head(version)
    for T, train in ((8, True), (3, True), (8, False), (5, True)):
        layer.train(train)
        x = 2 * torch.randn(2, T, 12)
        copy = x.clone()
        call = f"{version}()(x of 2 x {T} x 12), {'in training' if train else 'in evaluation'},"
        expect(run(version, partial(layer, x)), head_by_head(layer, copy), call, "B T C", hint(version))
        if not torch.equal(x, copy):
            raise Wrong(with_hint(version, f"{version}()(x) changes x itself. Write x = x + ..., not x += ..."))


@pytest.mark.parametrize("version", VERSIONS)
def test_heads_work_in_the_precision_and_on_the_device_of_their_input(version: str):
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    layer = multi_head(version).double()
    out = run(version, lambda: layer(x))
    expect(out, head_by_head(layer, x), f"{version}().double()(x.double())", "B T C", hint(version))
    right_device(version, multi_head(version), torch.randn(2, 5, 12))


@pytest.mark.parametrize("version", VERSIONS)
def test_heads_that_do_not_divide_embed_size_are_refused(version: str):
    """This part is given: 12 features cannot be shared out among 5 heads, and the error says both numbers."""
    try:
        learners(version)(8, 12, 5)
    except ValueError as error:
        if "12" in str(error) and "5" in str(error):
            return
        raise Wrong(f"The ValueError should say both numbers, embed_size 12 and n_heads 5. It says: {error}") from None
    raise Wrong(f"{version}(block_size=8, embed_size=12, n_heads=5) should raise a ValueError: 5 does not divide 12.")


# --- TODO 7-1: what several heads cost


@pytest.mark.parametrize("n_heads", [2, 4, 8])
def test_head_ver_4_and_multi_head_ver_1_are_equally_expensive(n_heads: int):
    """H heads of width C/H have as many parameters, and take as many multiplications, as one head of width C. Only the
    projection comes on top."""
    B, T, C = 2, 8, 16
    one = load("head_v4.HeadVer4")(T, C, C)
    several = learners("MultiHeadVer1")(T, C, n_heads)
    sizes = {"one head": parameters(one), "heads": parameters(several.heads), "proj": parameters(several.proj)}
    if sizes["heads"] != sizes["one head"] or sizes["proj"] != C * C + C:
        raise Wrong(
            f"{n_heads} heads have {sizes['heads']} parameters and the projection {sizes['proj']}; expected"
            f" {sizes['one head']}, as many as one head of width {C}, and {C * C + C}. This part is given:"
            " heads = HeadVer4(block_size, embed_size, embed_size // n_heads), n_heads times."
        )
    several.heads = nn.ModuleList(Attention(head) for head in several.heads)
    x = torch.randn(B, T, C)
    cost_of_one, cost = (
        multiplications(lambda: Attention(one)(x)),
        multiplications(lambda: run("MultiHeadVer1", lambda: several(x))),
    )
    proj = B * T * C * C
    if cost > 1.05 * (cost_of_one + proj):
        message = (
            f"{n_heads} heads and the projection take {cost} multiplications; expected {cost_of_one + proj}:"
            f" {cost_of_one} for the heads, as for one head of width {C}, and {proj} for the projection."
            " Run each head once, and project once."
        )
        raise Wrong(with_hint("MultiHeadVer1", message))
    rows = (
        (f"one head of width {C}", cost_of_one),
        (f"{n_heads} heads of width {C // n_heads}", cost - proj),
        ("proj", proj),
    )
    amounts = zip(rows, sizes.values(), strict=True)
    show(*(f"{what:20} {size:4} parameters {products:6} multiplications" for (what, products), size in amounts))


# --- TODO 7-2: the same, without a loop


def test_multi_head_ver_1_and_multi_head_ver_2_are_logically_equal():
    """Copy the weights of the heads of MultiHeadVer1, one below the other, into query, key and value of MultiHeadVer2:
    both give the same."""
    torch.manual_seed(7)
    one, two = learners("MultiHeadVer1")(8, 12, 3), learners("MultiHeadVer2")(8, 12, 3)
    with torch.no_grad():
        for name in ("query", "key", "value"):
            getattr(two, name).weight.copy_(torch.cat([getattr(head, name).weight for head in one.heads]))
    two.proj.load_state_dict(one.proj.state_dict())
    x = 3 * torch.randn(2, 5, 12)
    for head, weights in zip(one.heads, weights_of(one), strict=True):
        if not torch.allclose(head(x), one_head(x, *weights), rtol=1e-4, atol=1e-5):
            raise Wrong(
                "The heads inside are wrong: stage 5 comes first (gpt/head_v4.py; pytest tests/test_5.py -s -vv)."
            )
    want = head_by_head(one, x)
    expect(run("MultiHeadVer1", lambda: one(x)), want, "MultiHeadVer1()(x)", "B T C", hint("MultiHeadVer1"))
    expect(run("MultiHeadVer2", lambda: two(x)), want, "MultiHeadVer2()(x)", "B T C", hint("MultiHeadVer2"))
    expect_same(one(x), two(x), "MultiHeadVer1 and MultiHeadVer2 differ, though their weights are the same.")
    if parameters(one) != parameters(two):
        raise Wrong(
            f"MultiHeadVer1 has {parameters(one)} parameters, and MultiHeadVer2 {parameters(two)}: make them equal."
        )


def test_multi_head_ver_2_is_faster_than_ver_1():
    """Without a loop over the heads, 16 heads take no more operations than 2. (Counted are the operations that torch
    carries out, without those that only look at a tensor in another way, such as view and transpose.)"""
    B, T, C = 2, 6, 32
    x = torch.randn(B, T, C)
    layers = {version: [multi_head(version, H, T, C) for H in (2, 16)] for version in VERSIONS}
    counts = {
        version: [operations(partial(run, version, partial(m, x))) for m in layers[version]] for version in VERSIONS
    }
    few, many = counts["MultiHeadVer2"]
    if many > 1.5 * few:
        message = (
            f"MultiHeadVer2 takes {few} operations for 2 heads, and {many} for 16: it works on one head after another."
            " All heads have to be attended to at once, in one (B, n_heads, T, head_size) tensor."
        )
        raise Wrong(with_hint("MultiHeadVer2", message))
    one, two = layers["MultiHeadVer1"][1], layers["MultiHeadVer2"][1]
    rows = [(seconds(lambda: one(x)), seconds(lambda: two(x))) for _ in range(7)]
    times = [sorted(column)[3] * 1e6 for column in zip(*rows, strict=True)]
    show(
        "operations       2 heads  16 heads   time for 16, here and now",
        *(f"{v:16} {a:7} {b:9} {t:11.0f} us" for (v, (a, b)), t in zip(counts.items(), times, strict=True)),
    )


# --- TODO 7-3: learned positions


def test_the_same_token_at_two_places_has_two_meanings():
    """Token 0 twice, with the embeddings of its two places: [1, 0, 0] + [0, 0, 0] and [1, 0, 0] + [0, 0, 1]. Then ln_f.
    (The contextualizer and lm_head change nothing here.)"""
    model = learners("GPTVer4")(nn.Identity(), vocab_size=3, block_size=4, embed_size=3)
    with torch.no_grad():
        model.token_embedding_table.weight.copy_(torch.eye(3))
        model.pos_embedding_table.weight.copy_(torch.tensor([[0.0, 0, 0], [0, 0, 1], [5, 0, 0], [0, 5, 0]]))
        model.lm_head.weight.copy_(torch.eye(3))
        model.lm_head.bias.zero_()
    want = torch.tensor([[[1.4142, -0.7071, -0.7071], [0.7071, -1.4142, 0.7071]]])
    got = run("GPTVer4", lambda: model.logits(torch.tensor([[0, 0]])))
    expect(got, want, "GPTVer4(...).logits([[0, 0]])", "B T V", hint("GPTVer4"), 1e-3, 1e-3)
    show("the logits of token 0 at place 0 and at place 1:", table(want[0], "t=", "v="))


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (8, 8), (6, 3)])
def test_logits_come_from_tokens_and_positions_contextualized_and_normalized(B: int, T: int):
    """lm_head(ln_f(contextualizer(token embeddings + position embeddings))), for sequences as long as the context or
    shorter."""
    model, indices = gpt(), torch.randint(7, (B, T))
    call = f"GPTVer4(..., vocab_size=7, block_size=8, embed_size=6).logits(indices of {B} x {T})"
    want = step_by_step(model, indices)
    expect(run("GPTVer4", lambda: model.logits(indices)), want, call, "B T V", hint("GPTVer4"))


def test_gradients_reach_both_embedding_tables_and_every_layer_of_the_gpt():
    """The positions are learned: their table, like all else, needs a gradient."""
    model, indices = gpt(), torch.randint(7, (3, 5))
    want = step_by_step(model, indices)
    compare_gradients("GPTVer4", dict(model.named_parameters()), lambda: model.logits(indices), want)


def test_the_gpt_gives_the_same_again_and_leaves_the_indices_alone():
    """One model for long and short sequences, in training and in evaluation."""
    model = gpt()
    for T, train in ((8, True), (3, True), (8, False), (5, True)):
        model.train(train)
        indices = torch.randint(7, (2, T))
        copy = indices.clone()
        call = f"logits(indices of 2 x {T}), {'in training' if train else 'in evaluation'},"
        want = step_by_step(model, copy)
        expect(run("GPTVer4", partial(model.logits, indices)), want, call, "B T V", hint("GPTVer4"))
        if not torch.equal(indices, copy):
            raise Wrong(with_hint("GPTVer4", "GPTVer4(...).logits(indices) changes indices itself. Make a new tensor."))


def test_the_gpt_works_in_the_precision_and_on_the_device_of_its_weights():
    """A model in float64 gives logits in float64; and the positions are built on the device of the indices."""
    model, indices = gpt().double(), torch.randint(7, (2, 5))
    got = run("GPTVer4", lambda: model.logits(indices))
    expect(got, step_by_step(model, indices), "GPTVer4(...).double().logits(indices)", "B T V", hint("GPTVer4"))
    right_device("GPTVer4", Logits(gpt()), indices)


# --- what the tests share


def learners(name: str) -> Any:
    return load(f"{FILES[name]}.{name}")


def hint(name: str) -> Callable[[], str | None]:
    return lambda: named(TODOS[name], learners(name))


def with_hint(name: str, message: str) -> str:
    known = hint(name)()
    return f"{message}\n\n{known}" if known else message


def multi_head(version: str, n_heads: int = 3, block_size: int = 8, embed_size: int = 12) -> Any:
    torch.manual_seed(7)
    layer = learners(version)(block_size, embed_size, n_heads)
    if version == "MultiHeadVer1":
        layer.heads = nn.ModuleList(Attention(head) for head in layer.heads)
    return layer


def weights_of(layer: Any) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The weights of query, key and value, (D, C) each, of one head after another."""
    if hasattr(layer, "heads"):
        return ((head.query.weight, head.key.weight, head.value.weight) for head in layer.heads)
    rows = layer.query.weight.shape[0] // layer.n_heads
    return zip(*(getattr(layer, name).weight.split(rows) for name in ("query", "key", "value")), strict=True)


def one_head(x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(F.linear(x, query), F.linear(x, key), F.linear(x, value), is_causal=True)


def head_by_head(layer: Any, x: Tensor) -> Tensor:
    """Torch's own attention with the weights of each head, joined and projected."""
    joined = torch.cat([one_head(x, *weights) for weights in weights_of(layer)], dim=-1)
    return F.linear(joined, layer.proj.weight, layer.proj.bias)


def gpt() -> Any:
    torch.manual_seed(7)
    model = learners("GPTVer4")(MeanOfPast(6), vocab_size=7, block_size=8, embed_size=6)
    nn.init.normal_(model.ln_f.weight)
    nn.init.normal_(model.ln_f.bias)
    return model


def step_by_step(model: Any, indices: Tensor) -> Tensor:
    x = F.embedding(indices, model.token_embedding_table.weight) + model.pos_embedding_table.weight[: indices.shape[1]]
    x = model.contextualizer(x)
    x = F.layer_norm(x, (x.shape[-1],), model.ln_f.weight, model.ln_f.bias)
    return F.linear(x, model.lm_head.weight, model.lm_head.bias)


def run(name: str, call: Callable[[], Any]) -> Any:
    """What the call gives. An error on the way gets the name of the known mistake, where it is one."""
    try:
        return call()
    except (NotImplementedError, Wrong):
        raise
    except Exception as error:
        known = hint(name)()
        if known is None:
            raise
        raise Wrong(f"{explain(error) or f'{type(error).__name__}: {error}'}\n\n{known}") from error


def result(version: str, layer: Any, x: Tensor) -> Tensor:
    """layer(x), checked to be a tensor of the shape of x."""
    out = run(version, lambda: layer(x))
    same_shape = torch.zeros_like(out) if isinstance(out, Tensor) else out
    expect(same_shape, torch.zeros_like(x), f"{version}()(x)", "B T C", hint(version))
    return out


def compare_gradients(name: str, leaves: dict[str, Tensor], call: Callable[[], Any], want: Tensor) -> None:
    """Raise Wrong unless the gradients of all leaves are those that `want` has."""
    factors = torch.randn_like(want)
    right = torch.autograd.grad((want * factors).sum(), [*leaves.values()])
    out = run(name, call)
    expect(out, want, f"{name}", "B T C", hint(name))
    if not out.requires_grad:
        raise Wrong(with_hint(name, "The output is cut off from the graph: no gradient reaches any layer."))
    try:
        got = torch.autograd.grad((out * factors).sum(), [*leaves.values()], allow_unused=True)
    except RuntimeError as error:
        reason = str(error).split(":")[0]
        message = f"The gradients cannot be computed: {reason}. Is a tensor changed in place (+=, masked_fill_)?"
        raise Wrong(with_hint(name, message)) from error
    for leaf, theirs, ours in zip(leaves, got, right, strict=True):
        if theirs is None:
            raise Wrong(with_hint(name, f"No gradient reaches {leaf}."))
        expect(theirs, ours, f"the gradient of {leaf}", {1: "C", 2: "N C", 3: "B T C"}[ours.dim()], hint(name))


def right_device(name: str, module: nn.Module, x: Tensor) -> None:
    try:
        looked_up_on_another_device(module, x)
    except Wrong as wrong:
        raise Wrong(with_hint(name, str(wrong))) from None


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def multiplications(call: Callable[[], Any]) -> int:
    """How many numbers are multiplied in the matrix products of a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() // 2


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
