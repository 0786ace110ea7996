"""Right versions of HeadVer3.forward."""

import torch
from torch import nn
from torch.nn import functional as F

from . import right


@right("4")
def with_where(self, x):
    positions = torch.arange(x.shape[1], device=x.device)
    future = positions[None, :] > positions[:, None]
    self.wei = torch.where(future, -torch.inf, 0.0).to(x.dtype).softmax(1)
    return self.wei.matmul(x)


@right("4")
def with_minus_infinity_added(self, x):
    T = x.size(1)
    mask = torch.full((T, T), float("-inf"), dtype=x.dtype, device=x.device).triu(diagonal=1)
    wei = nn.Softmax(dim=-1)(torch.zeros_like(mask) + mask)
    self.wei = wei.detach()
    return torch.einsum("ts,bsc->btc", wei, x)


@right("4")
def with_one_matrix_for_each_example(self, x):
    B, T, _ = x.shape
    scores = x.new_zeros(B, T, T)
    scores[:, x.new_ones(T, T).tril() == 0] = float("-inf")
    self.wei = F.softmax(scores, dim=2)
    return torch.bmm(self.wei, x)


@right("4")
def with_a_leading_dimension_of_one(self, x):
    T = x.shape[1]
    tril = torch.tril(torch.ones(1, T, T, device=x.device))
    self.wei = torch.zeros_like(tril).masked_fill(tril == 0, float("-inf")).softmax(dim=-1).to(x.dtype)
    return self.wei @ x


@right("4")
def with_weights_expanded_to_the_batch(self, x):
    B, T, _ = x.shape
    wei = torch.zeros((T, T), device=x.device, dtype=x.dtype)
    wei.masked_fill_(torch.ones_like(wei).triu(1).bool(), torch.finfo(x.dtype).min)
    self.wei = torch.softmax(wei, -1).expand(B, T, T)
    return self.wei @ x


@right("4")
def with_a_large_negative_number(self, x):
    T = x.shape[1]
    tril = torch.tril(torch.ones(T, T)).to(x)
    self.wei = F.softmax((1 - tril) * -1e9, dim=-1)
    return self.wei @ x


@right("4")
def with_exponentials_and_their_sum(self, x):
    T = x.shape[1]
    scores = torch.ones(T, T, dtype=x.dtype, device=x.device).tril().log()
    exponentials = scores.exp()
    self.register_buffer("wei", exponentials / exponentials.sum(dim=1, keepdim=True), persistent=False)
    return (x.mT @ self.wei.mT).mT


@right("4")
def with_weights_filled_in_row_by_row(self, x):
    T = x.shape[1]
    self.wei = torch.zeros(T, T, dtype=x.dtype, device=x.device)
    for t in range(T):
        self.wei[t, : t + 1] = torch.softmax(torch.zeros(t + 1, dtype=x.dtype, device=x.device), dim=0)
    return self.wei @ x


@right("4")
def with_torchs_own_attention_to_nothing(self, x):
    nothing = torch.zeros_like(x)
    one_for_each = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(x.shape[0], -1, -1)
    self.wei = F.scaled_dot_product_attention(nothing, nothing, one_for_each, is_causal=True)
    return F.scaled_dot_product_attention(nothing, nothing, x, is_causal=True)


@right("4")
def with_equal_scores_that_are_not_zero(self, x):
    T = x.shape[1]
    keep = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
    scores = torch.full((T, T), 3.0, dtype=x.dtype, device=x.device)
    self.wei = scores.masked_fill(keep.logical_not(), -torch.inf).softmax(dim=-1)
    return torch.tensordot(x, self.wei, dims=([1], [1])).transpose(1, 2)
