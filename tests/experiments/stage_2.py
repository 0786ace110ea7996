"""Stage 2: the past has something to say, even if only its average is heard."""

import math
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.experiment import Arm, Comparison
from tests.kit.loading import load


class BagOfLetters:
    """The game of the chapter: some letters, each an a or a b, and a question mark. Which of the two came more often?

        b a a b a a b ?  ->  a

    Whoever sees the last token alone sees a question mark every time. Both answers are equally frequent, so that their
    loss is log(2) at best. How often each letter came is in the average, and nothing else is needed.
    """

    said = 7
    vocab_size = 3
    context = said + 1
    best_from_the_last = math.log(2)

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.asked(torch.randint(2, (16, self.said), generator=generator))

    def asked(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        question_marks = torch.full((len(letters), 1), 2)
        return torch.cat([letters, question_marks], dim=1), (2 * letters.sum(dim=1) > self.said).long()

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x)[0][:, -1], y)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Over all 128 texts."""
        return {"loss": self.loss(model, *self.asked(torch.tensor([*product((0, 1), repeat=self.said)]))).item()}


GAME = BagOfLetters()

AVERAGE_BEATS_THE_LAST_TOKEN = Comparison(
    name="test_an_average_of_the_past_beats_the_last_token_alone",
    stage=2,
    claim="where the answer is in the past, its average knows what the last token alone cannot",
    task=GAME,
    width=8,
    before=Arm("the last token alone", "gpt_v2.GPTVer2", nn.Identity),
    after=Arm("the average of the past", "gpt_v2.GPTVer2", lambda: load("head_v1.HeadVer1")()),
    steps=80,
    learning_rate=1e-1,
    figure="loss",
    margin=0.3,
    level=("the best from the last token alone, log(2)", GAME.best_from_the_last),
    note="Seven letters, then a question mark: which came more often?  b a a b a a b ?  ->  a",
    reason="Does each token see its past (TODO 2-1), and do the logits come from what it saw (TODO 2-2)?",
)
