"""Stage 7: several heads see more than one, at the same cost; learned positions are as good as sinusoids."""

from torch import nn

from tests.kit.experiment import Arm, Comparison, Text
from tests.kit.loading import load

from .stage_6 import PUZZLE

CONTEXT, WIDTH = 16, 64


def heads(n: int) -> nn.Module:
    return load("multi_head_v2.MultiHeadVer2")(CONTEXT, WIDTH, n)


MULTI_HEAD_HELPS = Comparison(
    name="test_multi_head_helps",
    stage=7,
    claim="four heads beat one that is as wide as all four",
    task=Text(context=CONTEXT, batch_size=16),
    width=WIDTH,
    before=Arm("1 head of width 64", "gpt_v3.GPTVer3", lambda: heads(1)),
    after=Arm("4 heads of width 16", "gpt_v3.GPTVer3", lambda: heads(4)),
    steps=200,
    learning_rate=1e-2,
    pairs=4,
    margin=0.075,
    note="Both have the same number of parameters, and multiply as many numbers.",
    reason="Does each head see all of x and have weights of its own, and does proj join what they found (TODO 7-2)?",
)


def puzzle_heads() -> nn.Module:
    return load("multi_head_v2.MultiHeadVer2")(PUZZLE.context, 32, 4)


LEARNED_POSITIONS = Comparison(
    name="test_learned_positions_do_at_least_as_well_as_sinusoids",
    stage=7,
    claim="where the order decides, learned positions do as well as sinusoids",
    task=PUZZLE,
    width=32,
    before=Arm("GPTVer3, sinusoids", "gpt_v3.GPTVer3", puzzle_heads),
    after=Arm("GPTVer4, learned", "gpt_v4.GPTVer4", puzzle_heads),
    broken=Arm("GPTVer2, no positions", "gpt_v2.GPTVer2", puzzle_heads),
    steps=250,
    learning_rate=3e-3,
    figure="loss",
    margin=-0.3,
    note="The puzzle of stage 6; the best without order is log(4) = 1.3863.",
    reason="Are the position embeddings added to those of the tokens (TODO 7-3)?",
)
