"""Stage 8: the feed-forward layer, and what lets a stack be deep."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.kit.experiment import Arm, Comparison, Text
from tests.kit.loading import load

CONTEXT, WIDTH, DEPTH = 16, 32, 4


class Nothing(nn.Module):
    """In the place of a feed-forward layer: adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def block(path: str) -> Any:
    head = load("multi_head_v2.MultiHeadVer2")(CONTEXT, WIDTH, 4)
    return load(path)(head, WIDTH)


def without_feed_forward() -> nn.Module:
    made = block("block_v2.BlockVer2")
    made.ffwd = Nothing()
    return made


def stack(path: str, depth: int = DEPTH) -> nn.Module:
    return nn.Sequential(*(block(path) for _ in range(depth)))


FFN_HELPS = Comparison(
    name="test_ffn_helps",
    stage=8,
    claim="the feed-forward layer helps",
    task=Text(context=CONTEXT),
    width=WIDTH,
    before=Arm("heads alone", "gpt_v4.GPTVer4", without_feed_forward),
    after=Arm("heads, then feed-forward", "gpt_v4.GPTVer4", lambda: block("block_v2.BlockVer2")),
    steps=250,
    margin=0.045,
    note="Both have residual connections.",
    reason="Has the layer a ReLU and both biases (TODO 8-1), and is what it makes added (TODO 8-3)?",
)

RESIDUAL_HELPS = Comparison(
    name="test_residual_conn_helps_when_network_is_deep",
    stage=8,
    claim=f"{DEPTH} blocks learn with residual connections, and hardly anything without",
    task=Text(context=CONTEXT, batch_size=16),
    width=WIDTH,
    before=Arm(f"{DEPTH} x BlockVer1, without", "gpt_v4.GPTVer4", lambda: stack("block_v1.BlockVer1")),
    after=Arm(f"{DEPTH} x BlockVer2, with residuals", "gpt_v4.GPTVer4", lambda: stack("block_v2.BlockVer2")),
    steps=100,
    margin=0.3,
    reason="Does BlockVer2 add to x what the head and the feed-forward layer make of it (TODO 8-3)?",
)
