"""Stage 8: gather, then think."""

from jaxtyping import Float
from torch import Tensor, nn

from .feed_forward import FeedForward


class BlockVer1(nn.Module):
    """A head and a feed-forward layer, one after the other: y = FFN(head(x)).

    head: any module from (B, T, C) to (B, T, C).
    Shapes: (B, T, C) -> (B, T, C).
    """

    def __init__(self, head: nn.Module, embed_size: int):
        super().__init__()
        self.head = head
        self.ffwd = FeedForward(embed_size)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        # TODO 8-2: the head first, then the feed-forward layer
        return self.ffwd(self.head(x))
        # END TODO 8-2
