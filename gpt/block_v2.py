"""Stage 8: add what was learned to what was known."""

from jaxtyping import Float
from torch import Tensor

from .block_v1 import BlockVer1


class BlockVer2(BlockVer1):
    """BlockVer1 with two residual connections: x1 = x + head(x), y = x1 + FFN(x1).

    The derivative of y with respect to x has the identity in it, so that gradients reach the first layer of a
    deep stack.

    Shapes: (B, T, C) -> (B, T, C).
    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 3.1.
    """

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        # TODO 8-3: add to x what the head makes of it, then what the feed-forward layer makes
        raise NotImplementedError("TODO 8-3: add to x what the head makes of it, then what the feed-forward layer makes")
        # END TODO 8-3
