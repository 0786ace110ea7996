"""Stage 9: keep the numbers in hand."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Normalize the C features of each token to mean 0 and variance 1, then scale and shift them.

    y = gamma (x - mean) / sqrt(var + eps) + beta          (torch.rsqrt(z) is 1 / sqrt(z))

    mean and var are taken over the last dimension, of each token by itself; var is the biased variance (divided
    by C, not by C - 1). gamma and beta, (C,) each, are learned.

    Shapes: (..., C) -> (..., C).
    Source: Ba et al. 2016, "Layer Normalization", section 3.
    """

    def __init__(self, embed_size: int, eps: float = 1e-5):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(embed_size))
        self.beta = nn.Parameter(torch.zeros(embed_size))
        self.eps = eps

    def forward(self, x: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        # TODO 9-1: subtract the mean, divide by the standard deviation, scale, shift
        centered = x - x.mean(dim=-1, keepdim=True)  # (..., C) - (..., 1)
        var = (centered * centered).mean(dim=-1, keepdim=True)  # (..., 1)
        return self.gamma * (centered * torch.rsqrt(var + self.eps)) + self.beta
        # END TODO 9-1
