"""Right versions of GPTVer3.pos_encodings and GPTVer3.logits."""

import math

import torch
from torch.nn import functional as F

from . import right


@right("6-1")
def with_loops_and_math(block_size, embed_size):
    encodings = torch.zeros(block_size, embed_size)
    for t in range(block_size):
        for i in range(0, embed_size, 2):
            angle = t / math.pow(10000, i / embed_size)
            encodings[t, i] = math.sin(angle)
            if i + 1 < embed_size:
                encodings[t, i + 1] = math.cos(angle)
    return encodings


@right("6-1")
def with_an_exponential_and_pairs(block_size, embed_size):
    t = torch.arange(block_size, dtype=torch.float32)
    frequencies = torch.exp(-math.log(10000.0) / embed_size * torch.arange(0, embed_size, 2))
    angles = torch.outer(t, frequencies)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).reshape(block_size, -1)[:, :embed_size].contiguous()


@right("6-1")
def with_a_shifted_sine_in_float64(block_size, embed_size):
    t = torch.arange(block_size, dtype=torch.float64)[:, None]
    c = torch.arange(embed_size)
    odd = c % 2
    return torch.sin(t * 10000.0 ** (-(c - odd).double() / embed_size) + odd * math.pi / 2).float()


@right("6-1")
def with_rotating_hands(block_size, embed_size):
    pairs = math.ceil(embed_size / 2)
    angles = 10000 ** (-2 * torch.arange(pairs, dtype=torch.float64) / embed_size)
    turn = torch.polar(torch.ones_like(angles), angles).expand(block_size, pairs).clone()
    turn[0] = 1
    hands = turn.cumprod(dim=0)
    return torch.view_as_real(hands).flip(-1).flatten(1)[:, :embed_size].to(torch.get_default_dtype())


@right("6-1")
def with_a_choice_for_each_column(block_size, embed_size):
    columns = torch.arange(embed_size)
    angles = torch.einsum("t,c->tc", torch.arange(block_size).float(), 1e4 ** -(columns // 2 * 2 / embed_size))
    return torch.where(columns % 2 == 1, torch.cos(angles), torch.sin(angles))


@right("6-1")
def column_by_column(block_size, embed_size):
    t = torch.linspace(0, block_size - 1, block_size)
    waves = [(torch.cos if c & 1 else torch.sin)(t / 10000 ** ((c - (c & 1)) / embed_size)) for c in range(embed_size)]
    return torch.column_stack(waves)


@right("6-2")
def with_encodings_made_anew_on_the_right_device(self, indices):
    x = self.token_embedding_table(indices)
    x = x + self.pos_encodings(x.shape[1], x.shape[2]).to(x)
    return self.lm_head(self.contextualizer(x))


@right("6-2")
def with_a_lookup_and_an_addition_in_place(self, indices):
    x = self.token_embedding_table(indices)
    x += F.embedding(torch.arange(indices.size(1), device=indices.device), self.pos_table)
    return self.lm_head(self.contextualizer(x))


@right("6-2")
def position_by_position(self, indices):
    columns = [self.token_embedding_table(indices[:, t]) + self.pos_table[t] for t in range(indices.shape[1])]
    return self.lm_head(self.contextualizer(torch.stack(columns, dim=1)))


@right("6-2")
def with_matrix_products_and_counted_positions(self, indices):
    weight = self.token_embedding_table.weight
    tokens = (indices.unsqueeze(-1) == torch.arange(weight.shape[0], device=indices.device)).to(weight.dtype) @ weight
    positions = self.pos_table[torch.ones_like(indices).cumsum(dim=1) - 1]
    return F.linear(self.contextualizer(torch.add(positions, tokens)), self.lm_head.weight, self.lm_head.bias)


@right("6-2")
def with_the_whole_table_made_anew_and_cut(self, indices):
    pos = type(self).pos_encodings(self.block_size, self.lm_head.in_features).to(indices.device)
    pos = pos.unsqueeze(0).narrow(1, 0, indices.shape[-1]).expand(len(indices), -1, -1)
    return self.lm_head(self.contextualizer(pos + self.token_embedding_table(indices)))
