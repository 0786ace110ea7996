"""Stage 9: LayerNorm keeps gradients alive, and stands a learning rate that nothing else stands."""

import math
from typing import Any

import torch
from torch import nn

from tests.kit.experiment import Arm, Asked, Comparison, Outcome, Text, can_be_trained
from tests.kit.loading import load

from .stage_8 import CONTEXT, WIDTH, block, stack

DEPTH = 8


def plain(normalized: bool) -> Any:
    """Heads, then feed-forward, without residual connections: each as they are, or with a LayerNorm before them."""
    made = block("block_v1.BlockVer1")
    if normalized:
        norm = load("layer_norm.LayerNorm")
        made.head, made.ffwd = nn.Sequential(norm(WIDTH), made.head), nn.Sequential(norm(WIDTH), made.ffwd)
    return made


class Gradients:
    """How large the gradient is that arrives at each block of a stack without residual connections.

    Every layer makes the numbers smaller, and with them the gradients on their way back. A LayerNorm before each
    layer brings the numbers back to size, and divides the gradient by what they had shrunk to.
    """

    name = "test_layer_norm_mitigates_vanishing_gradient"
    stage = 9
    depth = DEPTH
    claim = "through a deep stack without residual connections, gradients vanish; LayerNorm keeps them alive"
    reason = "Does LayerNorm divide by the standard deviation of each token, with a gradient that flows (TODO 9-1)?"

    def measure(self, seed: int, alike: bool = False) -> Outcome:
        stacks = {
            "plain": lambda: plain(False),
            "with LayerNorm": lambda: plain(not alike),
            "with residuals (BlockVer2)": lambda: block("block_v2.BlockVer2"),
        }
        arriving = {name: self.arriving(make, seed + 500_000 * i) for i, (name, make) in enumerate(stacks.items())}
        rows = [["the gradient at the input of", *stacks]]
        for i in range(self.depth):
            sizes = (f"{gradients[i]:.1e}" for gradients in arriving.values())
            rows.append([f"block {i + 1}", *sizes])
        left = {name: gradients[0] / gradients[-1] for name, gradients in arriving.items()}
        rows.append(["first / last", *(f"{share:.1e}" for share in left.values())])
        asked = [
            Asked("first / last, with LayerNorm", left["with LayerNorm"], 0.001, ratio=True),
            Asked("times as much as without it", left["with LayerNorm"] / left["plain"], 1000, ratio=True),
        ]
        curves = {name: [math.log10(g) for g in gradients] for name, gradients in arriving.items()}
        return Outcome(rows, asked, curves, axes=("block", "log10 of the gradient"))

    def arriving(self, make: Any, seed: int) -> list[float]:
        """The norm of the gradient at the input of each block, on its way from a random one at the output."""
        torch.manual_seed(seed)
        blocks = [make() for _ in range(self.depth)]
        x = torch.randn(16, CONTEXT, WIDTH, requires_grad=True)
        with can_be_trained("a deep stack"):
            inputs = [x]
            for each in blocks:
                inputs.append(each(inputs[-1]))
            *inputs, out = inputs
            gradients = torch.autograd.grad((out * torch.randn(out.shape)).sum(), inputs)
        return [max(gradient.norm().item(), 1e-30) for gradient in gradients]


GRADIENTS = Gradients()

LAYER_NORM_HELPS = Comparison(
    name="test_layer_norm_helps_when_network_is_deep",
    stage=9,
    claim=f"{DEPTH} blocks with LayerNorm stand a learning rate of 1e-2, and those without do not",
    task=Text(context=CONTEXT, batch_size=16),
    width=WIDTH,
    before=Arm(f"{DEPTH} x BlockVer2, without", "gpt_v4.GPTVer4", lambda: stack("block_v2.BlockVer2", DEPTH)),
    after=Arm(f"{DEPTH} x BlockVer3, with LayerNorm", "gpt_v4.GPTVer4", lambda: stack("block_v3.BlockVer3", DEPTH)),
    steps=60,
    learning_rate=1e-2,
    pairs=2,
    margin=0.15,
    reason="Does BlockVer3 normalize what the head and the feed-forward layer get, and leave x as it is (TODO 9-2)?",
)
