"""Stage 2: let each token see its past, by two loops."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class HeadVer1(nn.Module):
    """The mean of the present and the past: out[b, t] = (x[b, 0] + ... + x[b, t]) / (t + 1).

    Examples of a batch never see each other, and no token sees its future.

    Shapes: (B, T, C) -> (B, T, C). For B = C = 1:

    >>> HeadVer1()(torch.tensor([[[2.0], [4.0], [9.0]]])).flatten()
    tensor([2., 3., 5.])
    """

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        # TODO 2-1: average the present and the past of each token, with two nested loops
        raise NotImplementedError("TODO 2-1: average the present and the past of each token, with two nested loops")
        # END TODO 2-1
