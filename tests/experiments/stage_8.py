"""Stage 8: the feed-forward layer, and what lets a stack be deep."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.experiment import Arm, Comparison, Text
from tests.kit.loading import load

CONTEXT, WIDTH, DEPTH = 16, 32, 4


class Clock:
    """The time on a clock, some hours, and a question mark: what time will it be?

        9 5 ?  ->  2        (9 o'clock, and 5 hours later it is 2 o'clock)

    A head can fetch both numbers, but what it gives is a weighted sum of them, and lm_head weighs once more: no way to
    turn back at twelve. For that, something has to be made of what was gathered.
    """

    hours = 12
    vocab_size = hours + 1  # and the question mark
    context = 3

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """All 144 questions, each time."""
        one, other = torch.arange(self.hours).repeat_interleave(self.hours), torch.arange(self.hours).repeat(self.hours)
        return torch.stack([one, other, torch.full_like(one, self.hours)], dim=1), (one + other) % self.hours

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x)[0][:, -1], y)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"loss": self.loss(model, *self.batch(torch.Generator())).item()}


def clock_head() -> nn.Module:
    return load("head_v4.HeadVer4")(Clock.context, 48, 48)


FFN_HELPS = Comparison(
    name="test_ffn_helps",
    stage=8,
    claim="what a head alone only gathers, a feed-forward layer can think about",
    task=Clock(),
    width=48,
    before=Arm("a head alone", "gpt_v2.GPTVer2", clock_head),
    after=Arm("BlockVer1: then feed-forward", "gpt_v2.GPTVer2", lambda: load("block_v1.BlockVer1")(clock_head(), 48)),
    steps=150,
    learning_rate=1e-2,
    figure="loss",
    pairs=2,
    margin=1.2,
    note="The time, some hours, and a question mark: what time will it be?  9 5 ?  ->  2",
    reason="Has the layer a ReLU and both biases (TODO 8-1), and does it get what the head gives (TODO 8-2)?",
)


def block(path: str) -> Any:
    head = load("multi_head_v2.MultiHeadVer2")(CONTEXT, WIDTH, 4)
    return load(path)(head, WIDTH)


def stack(path: str, depth: int = DEPTH) -> nn.Module:
    return nn.Sequential(*(block(path) for _ in range(depth)))


RESIDUAL_HELPS = Comparison(
    name="test_residual_conn_helps_when_network_is_deep",
    stage=8,
    claim=f"{DEPTH} blocks learn with residual connections, and hardly anything without",
    task=Text(context=CONTEXT, batch_size=16),
    width=WIDTH,
    before=Arm(f"{DEPTH} x BlockVer1, without", "gpt_v4.GPTVer4", lambda: stack("block_v1.BlockVer1")),
    after=Arm(f"{DEPTH} x BlockVer2, with residuals", "gpt_v4.GPTVer4", lambda: stack("block_v2.BlockVer2")),
    steps=100,
    pairs=2,
    margin=0.3,
    reason="Does BlockVer2 add to x what the head and the feed-forward layer make of it (TODO 8-3)?",
)
