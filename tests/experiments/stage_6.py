"""Stage 6: a puzzle that only the order can solve. Stage 7 uses it again."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.experiment import Arm, Asked, Comparison
from tests.kit.loading import load

WIDTH = 64


class WhichCameFirst:
    """Four different letters of eight, in any order, and a question mark: the answer is the letter that came first.

        f a h c ?  ->  f

    Who cannot see the order finds each of the four equally likely, and so has a loss of log(4) at best: the mean of
    -log p over the four is least where all p are 1/4. Attention without positions cannot see it: the question mark,
    which asks, gets a sum over all that was said, and sums have no order.
    """

    letters = 8
    said = 4
    vocab_size = letters + 1  # and the question mark
    context = said + 1
    best_without_order = math.log(said)

    def __init__(self, batch_size: int):
        self.batch_size = batch_size

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        letters = torch.rand(self.batch_size, self.letters, generator=generator).argsort(dim=1)
        return self.asked(letters[:, : self.said])

    def asked(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        question_marks = torch.full((len(letters), 1), self.letters)
        return torch.cat([letters, question_marks], dim=1), letters[:, 0]

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x)[0][:, -1], y)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Over all 1,680 questions; then with the letters turned round behind the model's back."""
        x, y = self.asked(torch.tensor([*permutations(range(self.letters), self.said)]))
        shuffled = torch.cat([x[:, :-1].flip(1), x[:, -1:]], dim=1)
        return {"loss": self.loss(model, x, y).item(), "if shuffled": self.loss(model, shuffled, y).item()}


@dataclass(frozen=True)
class Order(Comparison):
    """Shuffling the letters changes nothing for the model that is blind to their order, and much for the other one."""

    def asks(self, before: dict[str, float], after: dict[str, float]) -> list[Asked]:
        blind = abs(before["if shuffled"] - before["loss"])
        seeing = after["if shuffled"] - after["loss"]
        return [
            *super().asks(before, after),
            Asked(f"{self.before.name}: difference that shuffling makes", blind, 1e-3, at_most=True, fact=True),
            Asked(f"{self.after.name}: difference that shuffling makes", seeing, 1.0),
        ]


PUZZLE = WhichCameFirst(batch_size=32)
LEVEL = ("the best without order, log(4)", PUZZLE.best_without_order)


def attention() -> nn.Module:
    return load("head_v4.HeadVer4")(PUZZLE.context, WIDTH, WIDTH)


def arm(name: str, gpt: str, contextualizer: Callable[[], nn.Module] = attention) -> Arm:
    return Arm(name, gpt, contextualizer)


POSITIONS_SHOW_THE_ORDER = Order(
    name="test_where_order_decides_gpt_ver_2_cannot_learn_and_gpt_ver_3_can",
    stage=6,
    claim="where the order decides, GPTVer3 learns what GPTVer2 cannot",
    task=PUZZLE,
    width=WIDTH,
    before=arm("GPTVer2, without positions", "gpt_v2.GPTVer2"),
    after=arm("GPTVer3, with positions", "gpt_v3.GPTVer3"),
    steps=250,
    learning_rate=3e-3,
    figure="loss",
    pairs=2,
    margin=0.5,
    level=LEVEL,
    note="Four of eight letters, then a question mark: which came first?  f a h c ?  ->  f",
    reason="Are the positions in the logits (TODO 6-2), and does each position have an encoding of its own (TODO 6-1)?",
)
