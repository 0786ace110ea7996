"""Stage 7: several heads, one after another."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .head_v4 import HeadVer4


class MultiHeadVer1(nn.Module):
    """H small heads, each with its own queries, keys and values, joined and projected.

    MultiHead(x) = Concat(head_1(x), ..., head_H(x)) W

    Each head is C / H wide, so that H of them cost as much as one of width C.

    Shapes: B batch, T time (at most block_size), C embed_size, H n_heads, D = C / H; (B, T, C) -> (B, T, C).
    Raises ValueError if n_heads does not divide embed_size.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2.
    """

    def __init__(self, block_size: int, embed_size: int, n_heads: int):
        super().__init__()
        if embed_size % n_heads:
            raise ValueError(f"embed_size = {embed_size} is not divisible by n_heads = {n_heads}")
        head_size = embed_size // n_heads
        self.heads = nn.ModuleList(HeadVer4(block_size, embed_size, head_size) for _ in range(n_heads))
        self.proj = nn.Linear(embed_size, embed_size)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        # TODO 7-1: run each head on x, concatenate along the last dimension, and project
        out = torch.cat([head(x) for head in self.heads], dim=-1)  # H times (B, T, D) -> (B, T, C)
        return self.proj(out)
        # END TODO 7-1
