"""Stage 10: dropout, where data is scarce."""

from dataclasses import dataclass

from torch import nn

from tests.kit.experiment import Arm, Asked, Comparison, Text
from tests.kit.loading import load

CONTEXT, WIDTH = 16, 64


def block(dropout: float) -> nn.Module:
    head = load("multi_head_v2.MultiHeadVer2")(CONTEXT, WIDTH, 4)
    return load("block_v4.BlockVer4")(head, WIDTH, dropout)


@dataclass(frozen=True)
class Overfitting(Comparison):
    """What is learned by heart is of no use elsewhere: worse on the training text, better on the validation text."""

    def asks(self, before: dict[str, float], after: dict[str, float]) -> list[Asked]:
        worse = after["training"] - before["training"]
        return [*super().asks(before, after), Asked("loss on the training text that it costs", worse, 0.15)]


DROPOUT_HELPS = Overfitting(
    name="test_dropout_helps",
    stage=10,
    claim="with little text, dropout makes the loss worse on what was read, and better on what was not",
    task=Text(training=500, context=CONTEXT, batch_size=16),
    width=WIDTH,
    before=Arm("without dropout", "gpt_v4.GPTVer4", lambda: block(0.0)),
    after=Arm("dropout 0.5", "gpt_v4.GPTVer4", lambda: block(0.5)),
    steps=300,
    learning_rate=5e-3,
    pairs=2,
    margin=0.15,
    note="500 characters to learn from, one block. In the table, nothing is dropped: eval mode.",
    reason="Does it drop in train mode only, and both what the head and what feed-forward makes (TODO 10)?",
)
