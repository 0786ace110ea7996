"""Stage 4: the same average, through a mask and a softmax."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class HeadVer3(nn.Module):
    """The mean of the present and the past, where the weights are the softmax of masked scores.

    All scores are 0; those of the future are set to minus infinity, so that their weight is exp(-inf) = 0:
    softmax([0, 0, -inf, -inf]) = [1/2, 1/2, 0, 0]. From stage 5 on, the scores are learned.

    Shapes: (B, T, C) -> (B, T, C). The (T, T) weights are kept in `wei`.
    """

    wei: Float[Tensor, "T T"]

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        # TODO 4: mask zero scores with -inf, softmax each row, keep self.wei, multiply
        raise NotImplementedError("TODO 4: mask zero scores with -inf, softmax each row, keep self.wei, multiply")
        # END TODO 4
