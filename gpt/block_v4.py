"""Stage 10: forget a little, to remember better."""

from jaxtyping import Float
from torch import Tensor, nn

from .block_v3 import BlockVer3


class BlockVer4(BlockVer3):
    """BlockVer3 with dropout on what each branch adds.

    x1 = x + dropout1(head(ln1(x))),  y = x1 + dropout2(FFN(ln2(x1)))

    dropout: the probability that a number is set to 0 in training mode (the others are divided by 1 - dropout).
    In evaluation mode nothing is dropped.

    Shapes: (B, T, C) -> (B, T, C).
    Source: Srivastava et al. 2014, "Dropout", section 4; its place here is that of Vaswani et al. 2017, section 5.4.
    """

    def __init__(self, head: nn.Module, embed_size: int, dropout: float):
        super().__init__(head, embed_size)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        # TODO 10: as BlockVer3, with dropout1 after the head, dropout2 after the feed-forward layer
        raise NotImplementedError("TODO 10: as BlockVer3, with dropout1 after the head, dropout2 after the feed-forward layer")
        # END TODO 10
