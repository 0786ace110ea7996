"""Stage 6: positions. Your file: gpt/gpt_v3.py (TODO 6-1, TODO 6-2). Chapter: book/en/06-positions.md"""

import cmath
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.experiments.stage_6 import POSITIONS_SHOW_THE_ORDER
from tests.kit import Task, Wrong, load, show, table, tokens
from tests.kit.experiment import prove
from tests.kit.seeds import seed
from tests.kit.standins import PastMean

GIVEN = "block_size token_embedding_table contextualizer lm_head pos_table"


def sinusoids(T: int, C: int) -> Tensor:
    """Each pair of columns is the hand of a clock: (sin, cos) of its angle at time t, i pairs from the fastest one."""
    hands = [[cmath.exp(1j * t / 10000 ** (c // 2 * 2 / C)) for c in range(C)] for t in range(T)]
    return torch.tensor([[hand.real if c % 2 else hand.imag for c, hand in enumerate(row)] for row in hands])


def right_logits(model: Any, indices: Tensor) -> Tensor:
    embedded = F.embedding(indices, model.token_embedding_table.weight)
    mixed = model.contextualizer(embedded + sinusoids(*embedded.shape[1:]))
    return F.linear(mixed, model.lm_head.weight, model.lm_head.bias)


ENCODINGS = Task("6-1", call="GPTVer3.pos_encodings({})", dims="T C")
GPT = Task("6-2", call="GPTVer3(...).logits(indices of {})", dims="B T V", given=GIVEN, right=right_logits)

# ---- TODO 6-1: pos_encodings


def test_the_encodings_of_four_positions_are_as_worked_by_hand():
    """embed_size 4: sin(t), cos(t), sin(t/100), cos(t/100), as 10000^(2/4) = 100. The numbers of the chapter."""
    got = called(4, 4)
    want = torch.tensor([
        [0.0000, 1.0000, 0.0000, 1.0000],
        [0.8415, 0.5403, 0.0100, 0.9999],
        [0.9093, -0.4161, 0.0200, 0.9998],
        [0.1411, -0.9900, 0.0300, 0.9996],
    ])  # fmt: skip
    ENCODINGS.expect(got, want, "GPTVer3.pos_encodings(4, 4)", rtol=0, atol=2e-4)
    show("a row for each position, a column for each sine or cosine:", table(got, "t=", "c="))


@pytest.mark.parametrize(("T", "C"), [(5, 8), (8, 6), (1, 4), (3, 2), (300, 10)])
def test_row_t_has_the_sines_and_cosines_of_t_over_ever_longer_waves(T: int, C: int):
    """PE(t, 2i) = sin(t / 10000^(2i/C)), PE(t, 2i + 1) = cos(t / 10000^(2i/C)), for every t below block_size."""
    expect_encodings(called(T, C), T, C)


@pytest.mark.parametrize(("T", "C"), [(4, 3), (10, 7), (2, 5), (6, 1), (1, 1), (9, 33)])
def test_an_odd_embed_size_ends_with_a_sine(T: int, C: int):
    """An odd C has one sine more than cosines; the formula is the same, with the odd C in it. C = 1 is sin(t) alone."""
    expect_encodings(called(T, C), T, C)


def test_how_alike_two_positions_are_depends_on_their_distance_alone():
    """PE(s) . PE(t) is the sum of cos((s - t) / 10000^(2i/C)) over i: the same for 0 and 2 as for 3 and 5."""
    got = encodings(7, 8)
    likeness = got @ got.T
    apart = torch.tensor([[abs(s - t) for t in range(7)] for s in range(7)])
    want = torch.stack([torch.cos(apart / 10.0**i) for i in range(4)]).sum(dim=0)  # 10000^(2i/8) = 10^i
    ENCODINGS.expect(likeness, want, "PE @ PE.T, where PE = GPTVer3.pos_encodings(7, 8),", "S T", atol=1e-3)
    show("PE @ PE.T: the largest on the diagonal, and the same along each parallel to it:", table(likeness, "t=", "t="))


def test_the_encodings_are_constants_that_do_not_depend_on_the_length():
    """Nothing in them learns or is random, and a longer table begins with the shorter one."""
    long, short = encodings(20, 6), encodings(7, 6)
    if long.requires_grad:
        raise ENCODINGS.wrong(
            "GPTVer3.pos_encodings gives numbers that learn (requires_grad); they are to be constants."
        )
    ENCODINGS.expect(long[:7], short, "GPTVer3.pos_encodings(20, 6)[:7], next to pos_encodings(7, 6),")
    ENCODINGS.expect(encodings(20, 6), long, "GPTVer3.pos_encodings(20, 6), called again,")


def test_gpt_ver_3_keeps_the_encodings_as_the_buffer_pos_table():
    """The constructor, which is given, asks for block_size rows once and for all. They are no parameter."""
    encodings(8, 6)
    model = GPT.make(PastMean(6), vocab_size=11, block_size=8, embed_size=6)
    if "pos_table" not in dict(model.named_buffers()):
        raise Wrong("GPTVer3 has no buffer pos_table. Keep the constructor as it came: it makes this.")
    expect_encodings(model.pos_table, 8, 6)


# ---- TODO 6-2: logits


def test_the_same_token_is_another_thing_at_another_position():
    """Tokens 0, 0 and 1, embedded as (1, 0) and (0, 1), with nothing between the embeddings and the logits.

    The first 0 becomes (1, 0) + (sin 0, cos 0) = (1, 1), the second one (1, 0) + (sin 1, cos 1).
    """
    model = built(nn.Identity(), block_size=3, embed_size=2, vocab_size=2)
    nn.init.eye_(model.token_embedding_table.weight)
    nn.init.eye_(model.lm_head.weight)
    nn.init.zeros_(model.lm_head.bias)
    got = GPT.run(model, torch.tensor([[0, 0, 1]]))
    want = torch.tensor([[[1.0, 1.0], [1.8415, 0.5403], [0.9093, 0.5839]]])
    GPT.expect(got, want, "GPTVer3(...).logits(tokens 0, 0, 1)", rtol=0, atol=2e-4)
    show("token + position, a row for each of the tokens 0, 0, 1:", table(got[0], "t=", "c="))


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 8), (3, 1), (4, 8), (1, 1), (5, 5), (8, 3)])
def test_logits_are_those_of_token_plus_position(B: int, T: int):
    """lm_head(contextualizer(token + position)), for any batch, and for sequences up to block_size tokens long."""
    GPT.expect_right(built(), tokens(B, T, 11))


def test_gpt_ver_1_and_gpt_ver_2_cannot_see_the_order_of_the_past_and_gpt_ver_3_can():
    """Shuffle all tokens but the last: what GPTVer3 expects to come next changes, and nothing else does.

    The contextualizer is a mean, to which all orders are the same. The weights are fixed: no chance is involved.
    """
    past, shuffled = torch.tensor([[3, 0, 10, 1, 4, 2, 6]]), torch.tensor([[1, 3, 2, 0, 10, 4, 6]])
    encodings(8, 6)
    ver_1 = load("gpt_v1.GPTVer1")(vocab_size=11, block_size=8)
    ver_2 = load("gpt_v2.GPTVer2")(PastMean(6), vocab_size=11, block_size=8, embed_size=6)
    ver_3 = GPT.make(PastMean(6), vocab_size=11, block_size=8, embed_size=6)
    expect_encodings(ver_3.pos_table, 8, 6)
    changes = {}
    for model in (ver_1, ver_2, ver_3):
        with torch.no_grad():
            for weights in model.parameters():
                weights.copy_(torch.arange(weights.numel()).pow(2).sin().view_as(weights))
        logits = (lambda x: GPT.result(ver_3, x)) if model is ver_3 else model.logits
        changes[type(model).__name__] = (logits(shuffled) - logits(past))[:, -1].abs().max().item()
    for change, file, test in zip(changes.values(), ("gpt_v1.py", "gpt_v2.py"), (1, 2), strict=False):
        if change > 1e-4:
            raise Wrong(
                f"The past was shuffled, and the last logits changed by {change:.4f}, though nothing here can see the"
                f" order. Something is wrong in gpt/{file}: pytest tests/test_{test}.py"
            )
    if not [*changes.values()][2] > 1e-2:
        raise GPT.wrong("The past of the last token was shuffled, and the logits stayed the same: no order is seen.")
    lines = [f"{name}    {change:.4f}" for name, change in changes.items()]
    show("shuffle the past, and the logits after the last token change by up to", *lines)


def test_no_logits_depend_on_the_tokens_after_them():
    """Change the last two tokens: the logits of the tokens before them stay the same."""
    GPT.expect_blind_to_the_future(built(), tokens(2, 6, 11))


def test_examples_of_a_batch_never_talk_to_each_other():
    """Each example alone gets the logits that it gets in a batch: positions are counted along T, not along B."""
    GPT.expect_examples_apart(built(), tokens(3, 5, 11))


def test_logits_change_nothing_in_the_model():
    """The table, the weights and the tokens stay as they are, so that a long sequence may follow a short one."""
    model, indices = built(), tokens(2, 8, 11)
    before = {name: tensor.clone() for name, tensor in model.state_dict(keep_vars=True).items()}
    before["pos_table"] = model.pos_table.clone()
    GPT.result(model, indices[:, :3])
    after = {**model.state_dict(keep_vars=True), "pos_table": model.pos_table}
    for name, tensor in before.items():
        if not torch.equal(after[name], tensor):
            raise GPT.wrong(f"model.{name} is not the same after a call of logits as before it.")
    GPT.expect_input_kept(model, indices)
    GPT.expect_right(model, indices, ", after a call with 2 x 3,")


def test_logits_are_the_same_in_training_and_in_evaluation_mode():
    """Tokens have positions in both."""
    model = built()
    GPT.expect_right(model.eval(), tokens(2, 5, 11), " in evaluation mode")
    GPT.expect_right(model.train(), tokens(2, 5, 11), " in training mode")


def test_gradients_flow_to_the_embeddings_the_contextualizer_and_lm_head():
    """A layer that gets no gradient never learns. The positions have nothing to learn."""
    GPT.expect_gradients(built(), tokens(2, 5, 11))


def test_it_works_in_the_precision_and_on_the_device_of_the_model():
    """A model in float64 gives float64; and nothing is built on another device than that of the tokens."""
    GPT.expect_right(built().double(), tokens(2, 5, 11), " in float64")
    GPT.expect_on_device(built(), tokens(2, 5, 11))


# ---- does it help?


@pytest.mark.comparison
def test_where_order_decides_gpt_ver_2_cannot_learn_and_gpt_ver_3_can(picture: Path | None):
    """Four letters, then a question mark: which came first? Without positions, log(4) is the best possible loss.
    Shuffle the letters, and one model notices nothing, while the other is sure of the wrong answer."""
    prove(POSITIONS_SHOW_THE_ORDER, picture)


# ---- what they share


def built(
    contextualizer: nn.Module | None = None, block_size: int = 8, embed_size: int = 6, vocab_size: int = 11
) -> Any:
    """The GPTVer3 under test on a table of this file, so that what is wrong in pos_encodings is not seen in logits."""

    class GPTVer3(GPT.cls):
        pos_encodings = staticmethod(sinusoids)

    seed(6)
    return GPTVer3(contextualizer or PastMean(embed_size), vocab_size, block_size, embed_size)


def called(T: int, C: int) -> Any:
    """GPTVer3.pos_encodings(T, C), as it comes."""
    return ENCODINGS.attempt(lambda: ENCODINGS.cls.pos_encodings(T, C), f"GPTVer3.pos_encodings({T}, {C})")


def encodings(T: int, C: int) -> Tensor:
    """The same, checked to be a tensor of the right shape."""
    return ENCODINGS.like(called(T, C), torch.zeros(T, C), f"GPTVer3.pos_encodings({T}, {C})")


def expect_encodings(got: Any, T: int, C: int) -> None:
    ENCODINGS.expect(got, sinusoids(T, C), f"GPTVer3.pos_encodings({T}, {C})", atol=1e-4)
