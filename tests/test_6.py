"""Stage 6: positions. Your file: gpt/gpt_v3.py (TODO 6-1, TODO 6-2). Chapter: book/en/06-positions.md"""

import cmath
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit import Wrong, expect, expect_same, load, on_another_device, show, table
from tests.kit.failing import place_of_error
from tests.mistakes import named


def gpt() -> Any:
    return load("gpt_v3.GPTVer3")


def encodings_hint() -> str | None:
    return named("6-1", gpt())


def logits_hint() -> str | None:
    return named("6-2", gpt())


def no_hint() -> None:
    return None


def test_the_encodings_of_four_positions_are_as_worked_by_hand():
    """embed_size 4: sin(t), cos(t), sin(t/100), cos(t/100), as 10000^(2/4) = 100. The numbers of the chapter."""
    got = called(4, 4)
    want = torch.tensor([
        [0.0000, 1.0000, 0.0000, 1.0000],
        [0.8415, 0.5403, 0.0100, 0.9999],
        [0.9093, -0.4161, 0.0200, 0.9998],
        [0.1411, -0.9900, 0.0300, 0.9996],
    ])  # fmt: skip
    expect(got, want, "GPTVer3.pos_encodings(4, 4)", "T C", encodings_hint, rtol=0, atol=2e-4)
    show("a row for each position, a column for each sine or cosine:", table(got, "t=", "c="))


@pytest.mark.parametrize(("T", "C"), [(5, 8), (8, 6), (1, 4), (3, 2), (300, 10)])
def test_row_t_has_the_sines_and_cosines_of_t_over_ever_longer_waves(T: int, C: int):
    """PE(t, 2i) = sin(t / 10000^(2i/C)), PE(t, 2i + 1) = cos(t / 10000^(2i/C)), for every t below block_size."""
    expect(called(T, C), sinusoids(T, C), f"GPTVer3.pos_encodings({T}, {C})", "T C", encodings_hint, atol=1e-4)


@pytest.mark.parametrize(("T", "C"), [(4, 3), (10, 7), (2, 5), (6, 1), (1, 1), (9, 33)])
def test_an_odd_embed_size_ends_with_a_sine(T: int, C: int):
    """An odd C has one sine more than cosines; the formula is the same, with the odd C in it. C = 1 is sin(t) alone."""
    expect(called(T, C), sinusoids(T, C), f"GPTVer3.pos_encodings({T}, {C})", "T C", encodings_hint, atol=1e-4)


def test_how_alike_two_positions_are_depends_on_their_distance_alone():
    """PE(s) . PE(t) is the sum of cos((s - t) / 10000^(2i/C)) over i: the same for 0 and 2 as for 3 and 5."""
    got = encodings(7, 8)
    likeness = got @ got.T
    apart = torch.tensor([[abs(s - t) for t in range(7)] for s in range(7)])
    want = torch.stack([torch.cos(apart / 10.0**i) for i in range(4)]).sum(dim=0)  # 10000^(2i/8) = 10^i
    expect(likeness, want, "PE @ PE.T, where PE = GPTVer3.pos_encodings(7, 8),", "T T", encodings_hint, atol=1e-3)
    show("PE @ PE.T: the largest on the diagonal, and the same along each parallel to it:", table(likeness, "t=", "t="))


def test_the_encodings_are_constants_that_do_not_depend_on_the_length():
    """Nothing in them learns or is random, and a longer table begins with the shorter one."""
    long, short = encodings(20, 6), encodings(7, 6)
    if long.requires_grad:
        claim = "GPTVer3.pos_encodings gives numbers that learn (requires_grad is True); they are to be constants."
        raise Wrong(with_hint(claim, encodings_hint))
    expect(long[:7], short, "GPTVer3.pos_encodings(20, 6)[:7], next to pos_encodings(7, 6),", "T C", encodings_hint)
    expect(encodings(20, 6), long, "GPTVer3.pos_encodings(20, 6), called again,", "T C", encodings_hint)


def test_gpt_ver_3_keeps_the_encodings_as_the_buffer_pos_table():
    """The constructor, which is given, asks for block_size rows once and for all. They are no parameter."""
    encodings(8, 6)
    torch.manual_seed(6)
    model = gpt()(MeanOfThePast(6), vocab_size=11, block_size=8, embed_size=6)
    if "pos_table" not in dict(model.named_buffers()):
        raise Wrong(
            "GPTVer3 has no buffer pos_table. Its constructor is given; git diff gpt/gpt_v3.py shows the changes."
        )
    expect(model.pos_table, sinusoids(8, 6), "model.pos_table", "T C", encodings_hint, atol=1e-4)


def test_the_same_token_is_another_thing_at_another_position():
    """Tokens 0, 0 and 1, embedded as (1, 0) and (0, 1), with nothing between the embeddings and the logits.

    The first 0 becomes (1, 0) + (sin 0, cos 0) = (1, 1), the second one (1, 0) + (sin 1, cos 1).
    """
    model = built(block_size=3, embed_size=2, vocab_size=2, contextualizer=nn.Identity())
    nn.init.eye_(model.token_embedding_table.weight)
    nn.init.eye_(model.lm_head.weight)
    nn.init.zeros_(model.lm_head.bias)
    got = scored(model, torch.tensor([[0, 0, 1]]))
    want = torch.tensor([[[1.0, 1.0], [1.8415, 0.5403], [0.9093, 0.5839]]])
    expect(got, want, "GPTVer3.logits(tokens 0, 0, 1)", "B T V", logits_hint, rtol=0, atol=2e-4)
    show("token + position, a row for each of the tokens 0, 0, 1:", table(got[0], "t=", "c="))


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (4, 8), (1, 1), (5, 5), (8, 3)])
def test_logits_are_those_of_token_plus_position(B: int, T: int):
    """lm_head(contextualizer(token + position)), for any batch, and for sequences up to block_size tokens long."""
    expect_right(built(), tokens(B, T))


def test_gpt_ver_1_and_gpt_ver_2_cannot_see_the_order_of_the_past_and_gpt_ver_3_can():
    """Shuffle all tokens but the last: what GPTVer3 expects to come next changes, and nothing else does.

    The contextualizer is a mean, to which all orders are the same. The weights are fixed: no chance is involved.
    """
    ver_1 = load("gpt_v1.GPTVer1")(vocab_size=11, block_size=8)
    ver_2 = load("gpt_v2.GPTVer2")(MeanOfThePast(6), vocab_size=11, block_size=8, embed_size=6)
    encodings(8, 6)
    ver_3 = gpt()(MeanOfThePast(6), vocab_size=11, block_size=8, embed_size=6)
    expect(ver_3.pos_table, sinusoids(8, 6), "model.pos_table", "T C", encodings_hint, atol=1e-4)
    past = torch.tensor([[3, 0, 10, 1, 4, 2, 6]])
    shuffled = torch.tensor([[1, 3, 2, 0, 10, 4, 6]])
    changes = {}
    for model in (ver_1, ver_2, ver_3):
        with torch.no_grad():
            for weights in model.parameters():
                weights.copy_(torch.arange(weights.numel()).pow(2).sin().view_as(weights))
        hint = logits_hint if model is ver_3 else no_hint
        before, after = (scored(model, indices, (1, 7, 11), hint) for indices in (past, shuffled))
        changes[type(model).__name__] = (after - before)[:, -1].abs().max().item()
    for change, file, test in zip(changes.values(), ("gpt_v1.py", "gpt_v2.py"), (1, 2), strict=False):
        if change > 1e-4:
            raise Wrong(
                f"The past was shuffled, and the last logits changed by {change:.4f}, though nothing here can see the"
                f" order. Something is wrong in gpt/{file}: pytest tests/test_{test}.py"
            )
    if not [*changes.values()][2] > 1e-2:
        claim = "The past of the last token was shuffled, and the logits of GPTVer3 stayed the same: it sees no order."
        raise Wrong(with_hint(claim, logits_hint))
    lines = [f"{name}    {change:.4f}" for name, change in changes.items()]
    show("shuffle the past, and the logits after the last token change by up to", *lines)


def test_no_logits_depend_on_the_tokens_after_them():
    """Change the last two tokens: the logits of the tokens before them stay the same."""
    model, indices = built(), tokens(2, 6)
    changed = torch.cat([indices[:, :4], (indices[:, 4:] + 5) % 11], dim=1)
    before, after = scored(model, indices, (2, 6, 11)), scored(model, changed, (2, 6, 11))
    claim = "The last two of six tokens were changed, and the logits of the tokens before them changed, too."
    same_or_wrong(after[:, :4], before[:, :4], claim)
    if torch.allclose(after[:, 4:], before[:, 4:], atol=1e-4):
        claim = "The last two of six tokens were changed, and their own logits stayed the same."
        raise Wrong(with_hint(claim, logits_hint))


def test_examples_of_a_batch_never_talk_to_each_other():
    """Each example alone gets the logits that it gets in a batch: positions are counted along T, not along B."""
    model, indices = built(), tokens(3, 5)
    together = scored(model, indices, (3, 5, 11))
    for b in range(3):
        alone = scored(model, indices[b : b + 1], (1, 5, 11))
        same_or_wrong(alone, together[b : b + 1], f"Example {b} gets other logits alone than in a batch of three.")


def test_logits_change_nothing_in_the_model():
    """The table, the weights and the tokens stay as they are, so that a long sequence may follow a short one."""
    model, indices = built(), tokens(2, 8)
    before = {name: tensor.clone() for name, tensor in model.state_dict(keep_vars=True).items()}
    before["pos_table"] = model.pos_table.clone()
    scored(model, indices[:, :3])
    after = {**model.state_dict(keep_vars=True), "pos_table": model.pos_table}
    for name, tensor in before.items():
        if not torch.equal(after[name], tensor):
            raise Wrong(with_hint(f"model.{name} is not the same after a call of logits as before it.", logits_hint))
    same_or_wrong(indices, tokens(2, 8), "GPTVer3.logits(indices) changed the indices.")
    expect_right(model, indices, ", after a call with 2 x 3,")


def test_logits_are_the_same_in_training_and_in_evaluation_mode():
    """Tokens have positions in both."""
    model = built()
    expect_right(model.eval(), tokens(2, 5), " in evaluation mode")
    expect_right(model.train(), tokens(2, 5), " in training mode")


def test_gradients_flow_to_the_embeddings_the_contextualizer_and_lm_head():
    """A layer that gets no gradient never learns. The positions have nothing to learn."""
    model, indices = built(), tokens(2, 5)
    factors = torch.randn(2, 5, 11)
    leaves = dict(model.named_parameters())
    want = torch.autograd.grad((wanted(model, indices) * factors).sum(), [*leaves.values()])
    out = scored(model, indices, (2, 5, 11))
    if not out.requires_grad:
        raise Wrong(with_hint("The logits are cut off from the graph: no gradient reaches any layer.", logits_hint))
    got = torch.autograd.grad((out * factors).sum(), [*leaves.values()], allow_unused=True)
    for name, theirs, right in zip(leaves, got, want, strict=True):
        if theirs is None:
            raise Wrong(with_hint(f"No gradient reaches {name}.", logits_hint))
        dims = "V" if right.dim() == 1 else "rows columns"
        expect(theirs, right, f"the gradient of {name}", dims, logits_hint)


def test_it_works_in_the_precision_and_on_the_device_of_the_model():
    """A model in float64 gives float64; and nothing is built on another device than that of the tokens."""
    expect_right(built().double(), tokens(2, 5), " in float64")
    try:
        on_another_device(built(), tokens(2, 5))
    except Wrong as error:
        raise Wrong(with_hint(str(error), logits_hint)) from None


class MeanOfThePast(nn.Module):
    """Stands in for a head: the mean of tanh(W x) over the present and the past, which is blind to their order.

    Without the tanh it would stay blind when positions are added: a sum of tokens and positions has no order.
    """

    def __init__(self, embed_size: int):
        super().__init__()
        self.proj = nn.Linear(embed_size, embed_size)

    def forward(self, x: Tensor) -> Tensor:
        counts = torch.arange(1, x.shape[1] + 1, device=x.device).unsqueeze(1)
        return torch.tanh(self.proj(x)).cumsum(dim=1) / counts


def sinusoids(T: int, C: int) -> Tensor:
    """Each pair of columns is the hand of a clock: (sin, cos) of its angle at time t, i pairs from the fastest one."""
    hands = [[cmath.exp(1j * t / 10000 ** (c // 2 * 2 / C)) for c in range(C)] for t in range(T)]
    return torch.tensor([[hand.real if c % 2 else hand.imag for c, hand in enumerate(row)] for row in hands])


def built(
    block_size: int = 8, embed_size: int = 6, vocab_size: int = 11, contextualizer: nn.Module | None = None
) -> Any:
    """The GPTVer3 under test on a table of this file, so that what is wrong in pos_encodings is not seen in logits."""

    class GPTVer3(gpt()):
        pos_encodings = staticmethod(sinusoids)

    torch.manual_seed(6)
    return GPTVer3(contextualizer or MeanOfThePast(embed_size), vocab_size, block_size, embed_size)


def tokens(B: int, T: int) -> Tensor:
    """Tokens from 0 to 10, with repetitions; those of two examples differ."""
    return (7 * torch.arange(B * T) ** 2 + 3 * torch.arange(B * T) + 9).reshape(B, T) % 11


def wanted(model: Any, indices: Tensor) -> Tensor:
    """The right logits, from the model's weights."""
    embedded = F.embedding(indices, model.token_embedding_table.weight)
    mixed = model.contextualizer(embedded + sinusoids(*embedded.shape[1:]))
    return F.linear(mixed, model.lm_head.weight, model.lm_head.bias)


def expect_right(model: Any, indices: Tensor, when: str = "") -> None:
    call = f"GPTVer3.logits(indices of {indices.shape[0]} x {indices.shape[1]}){when}"
    expect(scored(model, indices), wanted(model, indices), call, "B T V", logits_hint)


def called(T: int, C: int) -> Any:
    """GPTVer3.pos_encodings(T, C), as it comes."""
    return named_error(lambda: gpt().pos_encodings(T, C), f"GPTVer3.pos_encodings({T}, {C})", encodings_hint)


def encodings(T: int, C: int) -> Tensor:
    """The same, checked to be a tensor of the right shape."""
    return shaped(called(T, C), (T, C), f"GPTVer3.pos_encodings({T}, {C})", "T C", encodings_hint)


def scored(
    model: Any,
    indices: Tensor,
    sizes: tuple[int, ...] | None = None,
    hint: Callable[[], str | None] = logits_hint,
) -> Any:
    """model.logits(indices) as it comes, or, where sizes are given, checked to be a tensor of that shape."""
    call = f"{type(model).__name__}.logits(indices of {indices.shape[0]} x {indices.shape[1]})"
    got = named_error(lambda: model.logits(indices), call, hint)
    return shaped(got, sizes, call, "B T V", hint) if sizes else got


def shaped(got: Any, sizes: tuple[int, ...], call: str, dims: str, hint: Callable[[], str | None]) -> Tensor:
    want = torch.zeros(sizes)
    if isinstance(got, Tensor):
        expect(torch.zeros_like(got), want.to(got), call, dims, hint)
    else:
        expect(got, want, call, dims, hint)
    return got


def named_error(call: Callable[[], Any], what: str, hint: Callable[[], str | None]) -> Any:
    """The result; an error on the way gets the name of the known mistake that ends so, if it is one."""
    try:
        return call()
    except NotImplementedError:
        raise
    except Exception as error:
        known = hint()
        if known is None:
            raise
        place = place_of_error(error)
        raise Wrong(f"{what} ends with an error{place}:\n{type(error).__name__}: {error}\n\n{known}") from None


def same_or_wrong(got: Tensor, want: Tensor, claim: str) -> None:
    try:
        expect_same(got, want, claim)
    except Wrong as error:
        raise Wrong(with_hint(str(error), logits_hint)) from None


def with_hint(message: str, hint: Callable[[], str | None]) -> str:
    known = hint()
    return f"{message}\n\n{known}" if known else message
