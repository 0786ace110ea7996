"""What a ladder is made of: a rung for each stage, and the two yardsticks beside them."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Rung:
    """What a stage came to. The loss is that on the validation text, in nats a character."""

    stage: int
    title: str
    parameters: int
    steps: int
    tokens_per_second: float
    loss: float
    sample: str

    @property
    def bits(self) -> float:
        return self.loss / math.log(2)


@dataclass(frozen=True)
class Ladder:
    """bits_blindly: where all characters are equally likely. bits_of_pairs: the least that a bigram model needs."""

    seconds: float
    bits_blindly: float
    bits_of_pairs: float
    rungs: list[Rung]


def bits_of_pairs(tokens: "Tensor") -> float:
    """The conditional entropy of a text in bits: the mean of -log2 of count(a, b) / count(a) over its pairs."""
    import torch

    size = int(tokens.max()) + 1
    counts = torch.bincount(tokens[:-1] * size + tokens[1:], minlength=size * size).view(size, size).double()
    given = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return -(torch.special.xlogy(counts, given).sum() / counts.sum()).item() / math.log(2)
