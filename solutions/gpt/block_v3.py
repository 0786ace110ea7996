"""Stage 9: normalize before each step."""

from jaxtyping import Float
from torch import Tensor, nn

from .block_v2 import BlockVer2
from .layer_norm import LayerNorm


class BlockVer3(BlockVer2):
    """BlockVer2 with a LayerNorm on the input of each branch (pre-norm).

    x1 = x + head(ln1(x)),  y = x1 + FFN(ln2(x1))

    Shapes: (B, T, C) -> (B, T, C).
    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture", section 3.
    """

    def __init__(self, head: nn.Module, embed_size: int):
        super().__init__(head, embed_size)
        self.ln1 = LayerNorm(embed_size)
        self.ln2 = LayerNorm(embed_size)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        # TODO 9-2: as BlockVer2, with ln1 before the head and ln2 before the feed-forward layer
        x = x + self.head(self.ln1(x))
        return x + self.ffwd(self.ln2(x))
        # END TODO 9-2
