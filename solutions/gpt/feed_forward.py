"""Stage 8: think about what was gathered."""

from jaxtyping import Float
from torch import Tensor, nn


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them, applied to each token by itself.

    FFN(x) = max(0, x W1 + b1) W2 + b2, with a hidden width of 4 C.

    Shapes: (B, T, C) -> (B, T, C).
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.3.
    """

    net: nn.Module

    def __init__(self, embed_size: int):
        super().__init__()
        # TODO 8-1: make self.net: linear to 4 x embed_size, ReLU, linear back to embed_size
        self.net = nn.Sequential(
            nn.Linear(embed_size, 4 * embed_size),
            nn.ReLU(),
            nn.Linear(4 * embed_size, embed_size),
        )
        # END TODO 8-1

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return self.net(x)
