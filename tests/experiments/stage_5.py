"""Stage 5: weights that are learned beat weights that are all alike; and why the scores are scaled."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from tests.kit import Wrong
from tests.kit.experiment import FIRST, Arm, Asked, Comparison, Outcome, Text
from tests.kit.loading import load

CONTEXT, WIDTH = 16, 32

ATTENTION_BEATS_THE_AVERAGE = Comparison(
    name="test_attention_beats_the_average",
    stage=5,
    claim="attention beats the plain average of the past",
    task=Text(context=CONTEXT),
    width=WIDTH,
    before=Arm("the average of the past", "gpt_v2.GPTVer2", lambda: load("head_v3.HeadVer3")()),
    after=Arm("attention", "gpt_v2.GPTVer2", lambda: load("head_v4.HeadVer4")(CONTEXT, WIDTH, WIDTH)),
    beside=(Arm("the last token alone", "gpt_v2.GPTVer2", nn.Identity),),
    steps=200,
    learning_rate=1e-2,
    pairs=3,
    margin=0.2,
    note="The average forgets which token came last, and that one knows most about the next.",
    reason="Do queries, keys and values all learn (TODO 5)? Weights that stay alike are an average.",
)


class Saturation:
    """How decided the weights are, by head_size: their entropy, log(T) for an average and 0 for a single token.

    Queries and keys have variance 1. A query that is sqrt(head_size) times as long undoes the scaling.
    """

    name = "test_without_scaling_softmax_saturates"
    stage = 5
    claim = "divided by sqrt(head_size), the scores leave softmax undecided; without that, it saturates"
    reason = "Are the scores divided by sqrt(head_size), before the softmax, and are the final weights in head.wei?"
    context = 32
    sizes = (4, 16, 64, 256)

    def measure(self, seed: int, alike: bool = False) -> Outcome:
        most = math.log(self.context)
        rows = [["head_size", "variance of scores", "entropy of wei", "without scaling:", "variance", "entropy"]]
        scaled = unscaled = 0.0
        for size in self.sizes:
            with torch.no_grad():
                scaled, var = self.entropy(size, seed, factor=math.sqrt(size) if alike else 1.0)
                unscaled, var_without = self.entropy(size, seed, factor=math.sqrt(size))
            rows.append([str(size), f"{var:.2f}", f"{scaled:.2f}", "", f"{var_without:.1f}", f"{unscaled:.2f}"])
        asked = [
            Asked(f"entropy of wei for head_size {self.sizes[-1]}", scaled, 0.75 * most),
            Asked("the same without scaling", unscaled, 0.25 * most, at_most=True),
        ]
        note = f"An average of {self.context} tokens has the entropy {most:.2f}, a single token 0."
        return Outcome(rows, asked, notes=[note])

    def entropy(self, size: int, seed: int, factor: float) -> tuple[float, float]:
        """The mean entropy of the last token's weights, and the variance of the scores."""
        torch.manual_seed(seed)
        head = load("head_v4.HeadVer4")(self.context, size, size)
        for layer, times in ((head.query, factor), (head.key, 1.0)):
            nn.init.normal_(layer.weight, std=times / math.sqrt(size))
        head(torch.randn(64, self.context, size))
        weights = kept(head, "wei", dims=3)[:, -1]
        return -torch.special.xlogy(weights, weights).sum(dim=-1).mean().item(), kept(head, "var", dims=0).item()


def kept(head: Any, name: str, dims: int) -> Tensor:
    if not hasattr(head, name):
        raise Wrong(f"After head(x), head.{name} should be there. Keep it: self.{name} = ...")
    value = torch.as_tensor(getattr(head, name)).detach()
    if value.dim() != dims:
        raise Wrong(f"After head(x), head.{name} should have {dims} dimensions, not {value.dim()}.\n{FIRST}")
    return value


SATURATION = Saturation()
