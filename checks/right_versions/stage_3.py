"""Right versions of HeadVer2.forward."""

import torch
from torch.nn import functional as F

from . import right


@right("3")
def with_running_sums(self, x):
    counts = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)
    return torch.cumsum(x, dim=-2) / counts[:, None]


@right("3")
def with_einsum_and_counts(self, x):
    T = x.size(1)
    positions = torch.arange(T, device=x.device)
    W = (positions[:, None] >= positions).to(x.dtype) / (positions + 1).unsqueeze(1)
    return torch.einsum("ts,bsc->btc", W.to(x.dtype), x)


@right("3")
def with_a_float32_matrix_cast_to_x(self, x):
    T = x.shape[1]
    W = torch.tril(torch.ones(T, T))
    W = W / W.sum(1, keepdim=True)
    return W.to(x) @ x


@right("3")
def with_a_batch_of_matrices(self, x):
    B, T, _ = x.shape
    W = x.new_ones(B, T, T).tril()
    return torch.bmm(F.normalize(W, p=1, dim=2), x)


@right("3")
def with_rows_filled_in_a_loop(self, x):
    T = x.shape[1]
    W = torch.zeros(T, T, dtype=x.dtype, device=x.device)
    for t in range(T):
        W[t, : t + 1] = 1 / (t + 1)
    return W @ x


@right("3")
def with_entries_filled_in_two_loops(self, x):
    T = x.shape[1]
    W = torch.zeros(T, T, dtype=x.dtype)
    for i in range(T):
        for j in range(i + 1):
            W[i, j] = 1 / (i + 1)
    return W.to(x.device).matmul(x)


@right("3")
def with_a_list_of_lists(self, x):
    T = x.shape[1]
    rows = [[1 / (t + 1) if s <= t else 0.0 for s in range(T)] for t in range(T)]
    return torch.tensor(rows, dtype=x.dtype, device=x.device) @ x


@right("3")
def with_time_last(self, x):
    T = x.shape[1]
    columns = torch.triu(torch.ones((T, T), device=x.device, dtype=x.dtype))
    columns = columns / columns.sum(dim=0)
    return (x.transpose(1, 2) @ columns).transpose(1, 2)


@right("3")
def with_the_sum_divided_after_the_product(self, x):
    T = x.shape[1]
    mask = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
    return (mask.to(x.dtype) @ x) / mask.sum(-1, keepdim=True)


@right("3")
def with_torchs_own_attention_to_nothing(self, x):
    nothing = torch.zeros_like(x)
    return F.scaled_dot_product_attention(nothing, nothing, x, is_causal=True)


@right("3")
def with_a_softmax(self, x):
    T = x.shape[1]
    return torch.full((T, T), -torch.inf, dtype=x.dtype, device=x.device).triu(1).softmax(1) @ x


@right("3")
def with_a_matrix_kept_while_it_fits(self, x):
    T = x.shape[1]
    W = getattr(self, "W", None)
    if W is None or W.shape[0] != T or W.dtype != x.dtype or W.device != x.device:
        W = torch.tril(torch.ones(T, T, dtype=x.dtype, device=x.device))
        self.W = W = W / W.sum(dim=1, keepdim=True)
    return W @ x


@right("3")
def with_sums_of_doubled_reach(self, x):
    total, reach = x, 1
    while reach < x.shape[1]:
        total = total + F.pad(total, (0, 0, reach, 0))[:, : x.shape[1]]
        reach *= 2
    return total / torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype).view(1, -1, 1)
