"""Stages 3 and 4: the same average, without a loop, many times as fast."""

from dataclasses import dataclass

import torch

from tests.kit.averages import two_loops
from tests.kit.costs import best_seconds, counted
from tests.kit.experiment import Asked, Outcome
from tests.kit.loading import load
from tests.kit.task import random


@dataclass(frozen=True)
class Speed:
    """The time of an averaging head and of two loops, in turns: the best of many, so that a busy machine is no matter.

    Where the time goes is in the table, too: the loops start a few operations for each of the 512 tokens.
    """

    name: str
    stage: int
    head: str
    claim: str
    reason: str
    margin: float = 3.0

    def measure(self, seed: int, alike: bool = False) -> Outcome:
        x = random(32, 16, 8, seed=seed)
        head = load(self.head)()
        calls = {"two loops": lambda: two_loops(x), "your head": lambda: two_loops(x) if alike else head(x)}
        with torch.no_grad():
            operations = {name: counted(call).operations for name, call in calls.items()}
            best = best_seconds(calls, turns=15)
        rows = [["32 x 16 tokens", "operations", "ms"]]
        rows += [[name, str(operations[name]), f"{1000 * best[name]:.3f}"] for name in calls]
        ratio = best["two loops"] / best["your head"]
        note = "Each operation has to be called from Python and started in torch; for few numbers, that is its time."
        return Outcome(rows, [Asked("times as fast", ratio, self.margin, ratio=True)], notes=[note])


MATRIX_PRODUCT_IS_FASTER = Speed(
    name="test_head_ver_2_is_many_times_faster_than_two_loops",
    stage=3,
    head="head_v2.HeadVer2",
    claim="one matrix product is many times as fast as two loops",
    reason="Is there a loop in it still, over tokens or over examples? A matrix product needs none.",
)
