"""Right versions of MultiHeadVer1.forward, MultiHeadVer2.forward and GPTVer4.logits."""

import functools
import math

import torch
from torch.nn import functional as F

from . import right


@right("7-1")
def with_a_loop_that_fills_a_tensor(self, x):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    start = 0
    for head in self.heads:
        answer = head(x)
        out[:, :, start : start + answer.shape[2]] = answer
        start += answer.shape[2]
    return self.proj(out)


@right("7-1")
def with_a_slice_of_the_projection_for_each_head(self, x):
    width = x.shape[-1] // len(self.heads)
    out = self.proj.bias
    for h, head in enumerate(self.heads):
        out = out + head(x) @ self.proj.weight[:, h * width : (h + 1) * width].T
    return out


@right("7-1")
def with_stack_and_permute(self, x):
    B, T, C = x.shape
    stacked = torch.stack([head(x) for head in self.heads])
    return self.proj(stacked.permute(1, 2, 0, 3).reshape(B, T, C))


@right("7-1")
def with_one_more_head_joined_each_time(self, x):
    return self.proj(functools.reduce(lambda a, b: torch.cat((a, b), 2), (head(x) for head in self.heads)))


@right("7-1")
def with_the_weights_of_all_heads_stacked(self, x):
    B, T, C = x.shape
    q, k, v = (
        F.linear(x, torch.cat([getattr(head, name).weight for head in self.heads])).unflatten(-1, (len(self.heads), -1))
        for name in ("query", "key", "value")
    )
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
    return self.proj(out.transpose(1, 2).reshape(B, T, C))


@right("7-1")
def with_one_example_after_another(self, x):
    return torch.stack([self.proj(torch.hstack([head(example[None])[0] for head in self.heads])) for example in x])


@right("7-2")
def with_einsum_only(self, x):
    q, k, v = (
        torch.einsum("btc,hdc->bhtd", x, layer.weight.unflatten(0, (self.n_heads, -1)))
        for layer in (self.query, self.key, self.value)
    )
    T = x.shape[1]
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / math.sqrt(q.shape[-1])
    exponentials = torch.exp(scores - scores.amax(-1, keepdim=True).detach()) * self.tril[:T, :T]
    weights = exponentials / exponentials.sum(-1, keepdim=True)
    out = torch.einsum("bhts,bhsd,ehd->bte", weights, v, self.proj.weight.unflatten(1, (self.n_heads, -1)))
    return out + self.proj.bias


@right("7-2")
def with_torchs_own_attention_for_all_heads(self, x):
    q, k, v = (
        layer(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
    )
    return self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


@right("7-2")
def with_the_heads_in_the_batch(self, x):
    B, T, C = x.shape
    D = C // self.n_heads
    q, k, v = (torch.cat(layer(x).split(D, dim=-1)) for layer in (self.query, self.key, self.value))
    scores = torch.bmm(q, k.mT) * D**-0.5
    scores += torch.full((T, T), -torch.inf, device=x.device, dtype=x.dtype).triu(1)
    return self.proj(torch.cat(torch.bmm(scores.softmax(2), v).chunk(self.n_heads), dim=-1))


@right("7-2")
def with_torchs_multi_head_attention(self, x):
    T, C = x.shape[1:]
    out, _ = F.multi_head_attention_forward(
        x.transpose(0, 1), x.transpose(0, 1), x.transpose(0, 1), C, self.n_heads, None, None, None, None, False, 0.0,
        self.proj.weight, self.proj.bias, need_weights=False, attn_mask=self.tril[:T, :T] == 0,
        use_separate_proj_weight=True, q_proj_weight=self.query.weight, k_proj_weight=self.key.weight,
        v_proj_weight=self.value.weight,
    )  # fmt: skip
    return out.transpose(0, 1)


@right("7-2")
def with_one_product_for_queries_keys_and_values(self, x):
    B, T, C = x.shape
    weight = torch.cat([self.query.weight, self.key.weight, self.value.weight])
    q, k, v = F.linear(x, weight).view(B, T, 3, self.n_heads, C // self.n_heads).permute(2, 0, 3, 1, 4)
    positions = torch.arange(T, device=x.device)
    scores = torch.where(positions > positions[:, None], -torch.inf, q @ k.mT / math.sqrt(C / self.n_heads))
    return self.proj((scores.softmax(-1) @ v).permute(0, 2, 1, 3).contiguous().view(B, T, C))


@right("7-2")
def with_slices_listed_and_stacked(self, x):
    D = x.shape[-1] // self.n_heads
    q, k, v = (
        torch.stack([y[..., h * D : (h + 1) * D] for h in range(self.n_heads)], dim=1)
        for y in (self.query(x), self.key(x), self.value(x))
    )
    T = x.size(1)
    weights = F.softmax((q @ k.mT * D**-0.5).masked_fill(self.tril[:T, :T] < 0.5, -1e30), dim=3)
    return self.proj(torch.cat((weights @ v).unbind(1), dim=-1))


@right("7-3")
def with_rows_of_the_table(self, indices):
    x = self.pos_embedding_table.weight[: indices.size(1)] + self.token_embedding_table.weight[indices]
    return self.lm_head(self.ln_f(self.contextualizer(x)))


@right("7-3")
def with_torchs_functions(self, indices):
    positions = torch.ones_like(indices).cumsum(dim=1) - 1
    x = F.embedding(indices, self.token_embedding_table.weight)
    x = x + F.embedding(positions, self.pos_embedding_table.weight)
    x = self.contextualizer(x)
    x = F.layer_norm(x, self.ln_f.normalized_shape, self.ln_f.weight, self.ln_f.bias, self.ln_f.eps)
    return torch.einsum("btc,vc->btv", x, self.lm_head.weight) + self.lm_head.bias


@right("7-3")
def with_one_hot_tokens(self, indices):
    tokens = F.one_hot(indices, self.token_embedding_table.num_embeddings).to(self.lm_head.weight.dtype)
    positions = torch.eye(self.block_size, device=indices.device, dtype=tokens.dtype)[: indices.shape[1]]
    x = tokens @ self.token_embedding_table.weight + positions @ self.pos_embedding_table.weight
    return self.lm_head(self.ln_f(self.contextualizer(x)))


@right("7-3")
def with_one_sequence_after_another(self, indices):
    rows = []
    for row in indices:
        positions = torch.tensor(range(len(row)), device=indices.device)
        x = self.token_embedding_table(row) + self.pos_embedding_table(positions)
        rows.append(self.lm_head(self.ln_f(self.contextualizer(x[None]))))
    return torch.cat(rows, dim=0)


@right("7-3")
def with_positions_expanded_to_the_batch(self, indices):
    positions = torch.arange(0, indices.shape[-1], dtype=torch.int32, device=indices.device).expand_as(indices)
    x = torch.add(self.token_embedding_table(indices), self.pos_embedding_table(positions))
    out = self.contextualizer(x)
    centered = out - out.mean(-1, keepdim=True)
    normalized = centered / (out.var(-1, correction=0, keepdim=True) + self.ln_f.eps).sqrt()
    return self.lm_head(normalized * self.ln_f.weight + self.ln_f.bias)
