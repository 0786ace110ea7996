"""Right versions of HeadVer1.forward (2-1) and GPTVer2.logits (2-2)."""

import torch
from torch.nn import functional as F

from . import right


@right("2-1")
def with_running_sums(self, x):
    counts = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)
    return torch.cumsum(x, dim=-2) / counts[:, None]


@right("2-1")
def with_a_triangle_and_einsum(self, x):
    T = x.size(1)
    weights = torch.tril(x.new_ones(T, T)) / torch.arange(1, T + 1, device=x.device).unsqueeze(-1)
    return torch.einsum("ts,bsc->btc", weights.to(x.dtype), x)


@right("2-1")
def with_lists_and_a_running_total(self, x):
    examples = []
    for example in x:
        total, rows = 0, []
        for count, token in enumerate(example, start=1):
            total = total + token
            rows.append(total / count)
        examples.append(torch.stack(rows))
    return torch.stack(examples)


@right("2-1")
def with_the_average_before_this_one(self, x):
    rows = [x[:, 0]]
    for t in range(1, x.shape[1]):
        rows.append(rows[-1] + (x[:, t] - rows[-1]) / (t + 1))
    return torch.stack(rows, 1)


@right("2-1")
def with_loops_into_a_copy_from_the_end(self, x):
    B, T = x.shape[:2]
    out = x.clone()
    for t in range(T - 1, -1, -1):
        for b in range(B):
            out[b, t] = sum(x[b, i] for i in range(t + 1)) / (t + 1)
    return out


@right("2-1")
def with_torchs_own_attention_to_nothing(self, x):
    nothing = torch.zeros_like(x)
    return F.scaled_dot_product_attention(nothing, nothing, x, is_causal=True)


@right("2-2")
def in_one_line(self, indices):
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices)))


@right("2-2")
def with_functions_of_torch(self, indices):
    x = F.embedding(indices, self.token_embedding_table.weight)
    x = self.contextualizer.forward(x)
    return F.linear(x, self.lm_head.weight, self.lm_head.bias)


@right("2-2")
def with_one_hot_vectors_and_einsum(self, indices):
    table = self.token_embedding_table.weight
    vocabulary = torch.arange(table.shape[0], device=indices.device)
    one_hot = (indices.unsqueeze(-1) == vocabulary).to(table.dtype)
    x = self.contextualizer(one_hot @ table)
    return torch.einsum("btc,vc->btv", x, self.lm_head.weight) + self.lm_head.bias


@right("2-2")
def one_example_after_another(self, indices):
    out = []
    for example in indices:
        x = self.contextualizer(self.token_embedding_table(example)[None])
        out.append(self.lm_head(x)[0])
    return torch.stack(out)


@right("2-2")
def with_the_table_looked_up_and_tokens_flattened_for_lm_head(self, indices):
    B, T = indices.shape
    x = self.contextualizer(self.token_embedding_table.weight[indices])
    return self.lm_head(x.reshape(B * T, -1)).reshape(B, T, self.lm_head.out_features)
