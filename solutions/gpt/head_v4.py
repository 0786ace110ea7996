"""Stage 5: attention. The scores are learned."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class HeadVer4(nn.Module):
    """One head of scaled, masked self-attention.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(D)) V, where no token attends to its future.

    Each token asks a question (query), offers a label (key) and holds an answer (value). How well its query
    fits another's key decides how much of that other's value it takes. Scores of unit-variance queries and keys
    have variance D; divided by sqrt(D), they have variance 1 whatever D is.

    Shapes: B batch, T time (at most block_size), C embed_size, D head_size; (B, T, C) -> (B, T, D).
    Kept for looking at, without gradients: `var`, the variance of the scores after scaling, and `wei`, the
    final weights, (B, T, T).
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1.
    """

    tril: Float[Tensor, "block_size block_size"]
    var: Float[Tensor, ""]
    wei: Float[Tensor, "B T T"]

    def __init__(self, block_size: int, embed_size: int, head_size: int):
        super().__init__()
        self.block_size = block_size
        self.query = nn.Linear(embed_size, head_size, bias=False)
        self.key = nn.Linear(embed_size, head_size, bias=False)
        self.value = nn.Linear(embed_size, head_size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)), persistent=False)

    def forward(self, x: Float[Tensor, "B T C"], debug: bool = False) -> Float[Tensor, "B T D"]:
        """debug=True replaces queries, keys and values by noise of unit variance, to look at `var`.

        Raises ValueError if T exceeds block_size.
        """
        T = x.shape[1]
        if T > self.block_size:
            raise ValueError(f"the input has T = {T} tokens, but block_size is {self.block_size}")
        q, k, v = self.query(x), self.key(x), self.value(x)  # (B, T, D) each
        if debug:
            q, k, v = torch.randn_like(q), torch.randn_like(k), torch.randn_like(v)
        # TODO 5: score, scale, keep self.var, mask, softmax, keep self.wei, sum the values
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5  # (B, T, D) @ (B, D, T) -> (B, T, T)
        self.var = scores.detach().var(unbiased=False)
        scores = scores.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        weights = F.softmax(scores, dim=-1)
        self.wei = weights.detach()
        return weights @ v  # (B, T, T) @ (B, T, D) -> (B, T, D)
        # END TODO 5
