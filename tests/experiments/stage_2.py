"""Stage 2: the past has something to say, even if only its average is heard."""

import math
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.experiment import Arm, Comparison
from tests.kit.loading import load


class LoadedCoins:
    """Each sequence is thrown with one of two coins: one falls on heads nine times out of ten, the other on tails.

    Which of them it is, the past tells: the more of it, the surer. How often heads came is all there is to know.
    """

    vocab_size = 2
    context = 8
    batch_size = 16
    loaded = 0.9

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        coin = torch.randint(2, (self.batch_size, 1), generator=generator)
        as_loaded = torch.rand(self.batch_size, self.context + 1, generator=generator) < self.loaded
        throws = torch.where(as_loaded, coin, 1 - coin)
        return throws[:, :-1], throws[:, 1:]

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return model(x, y)[1]

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """The exact mean loss: over all 2^9 sequences, each with its probability."""
        throws = torch.tensor([*product((0, 1), repeat=self.context + 1)])
        heads = throws.sum(dim=1)
        p, n = self.loaded, self.context + 1
        chance = (p**heads * (1 - p) ** (n - heads) + p ** (n - heads) * (1 - p) ** heads) / 2
        logits = model(throws[:, :-1])[0]
        losses = F.cross_entropy(logits.transpose(1, 2), throws[:, 1:], reduction="none").mean(dim=1)
        return {"loss": (chance * losses).sum().item()}

    @property
    def best_from_the_last(self) -> float:
        """The entropy of a throw, where the throw before it is known: both are alike with chance p^2 + (1 - p)^2."""
        alike = self.loaded**2 + (1 - self.loaded) ** 2
        return -alike * math.log(alike) - (1 - alike) * math.log(1 - alike)


COINS = LoadedCoins()

AVERAGE_BEATS_THE_LAST_TOKEN = Comparison(
    name="test_an_average_of_the_past_beats_the_last_token_alone",
    stage=2,
    claim="where the past counts, its average tells more than the last token alone",
    task=COINS,
    width=8,
    before=Arm("the last token alone", "gpt_v2.GPTVer2", nn.Identity),
    after=Arm("the average of the past", "gpt_v2.GPTVer2", lambda: load("head_v1.HeadVer1")()),
    steps=80,
    learning_rate=5e-2,
    figure="loss",
    margin=0.05,
    level=("the best that the last token alone can do", COINS.best_from_the_last),
    reason="Does each token see its past (TODO 2-1), and do the logits come from what it saw (TODO 2-2)?",
)
