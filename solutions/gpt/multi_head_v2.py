"""Stage 7: all heads at once."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class MultiHeadVer2(nn.Module):
    """MultiHeadVer1 without the loop: one query, key and value layer for all heads, taken apart by a reshape.

    Columns h*D to (h+1)*D of the queries, keys and values belong to head h.

    Shapes: B batch, T time (at most block_size), C embed_size, H n_heads, D = C / H; (B, T, C) -> (B, T, C).
    Raises ValueError if n_heads does not divide embed_size, or T exceeds block_size.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2.
    """

    tril: Float[Tensor, "block_size block_size"]

    def __init__(self, block_size: int, embed_size: int, n_heads: int):
        super().__init__()
        if embed_size % n_heads:
            raise ValueError(f"embed_size = {embed_size} is not divisible by n_heads = {n_heads}")
        self.block_size = block_size
        self.n_heads = n_heads
        self.query = nn.Linear(embed_size, embed_size, bias=False)
        self.key = nn.Linear(embed_size, embed_size, bias=False)
        self.value = nn.Linear(embed_size, embed_size, bias=False)
        self.proj = nn.Linear(embed_size, embed_size)
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)), persistent=False)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        B, T, C = x.shape
        if T > self.block_size:
            raise ValueError(f"the input has T = {T} tokens, but block_size is {self.block_size}")
        # TODO 7-2: split into heads, attend in all of them at once, join, and project
        H, D = self.n_heads, C // self.n_heads
        q = self.query(x).view(B, T, H, D).transpose(1, 2)  # (B, T, C) -> (B, H, T, D)
        k = self.key(x).view(B, T, H, D).transpose(1, 2)
        v = self.value(x).view(B, T, H, D).transpose(1, 2)
        scores = (q / D**0.5) @ k.transpose(2, 3)  # (B, H, T, D) @ (B, H, D, T) -> (B, H, T, T)
        scores = scores.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        out = F.softmax(scores, dim=-1) @ v  # (B, H, T, T) @ (B, H, T, D) -> (B, H, T, D)
        out = out.transpose(1, 2).reshape(B, T, C)  # the heads side by side
        return self.proj(out)
        # END TODO 7-2
