"""Right versions of GPTVer1.generate."""

import random

import torch
from torch.distributions import Categorical
from torch.nn import functional as F

from . import right


@right("1")
def with_gumbel_noise(self, indices, max_new_tokens):
    for _ in range(max_new_tokens):
        logits = self.logits(indices[:, -self.block_size :])[:, -1, :]
        noise = -torch.empty_like(logits).exponential_().log()
        indices = torch.cat((indices, (logits + noise).argmax(dim=-1, keepdim=True)), dim=-1)
    return indices


@right("1")
def with_categorical_and_room_made_first(self, indices, max_new_tokens):
    B, T = indices.shape
    out = torch.empty(B, T + max_new_tokens, dtype=indices.dtype, device=indices.device)
    out[:, :T] = indices
    for end in range(T, T + max_new_tokens):
        start = max(0, end - self.block_size)
        logits, _ = self.forward(out[:, start:end])
        out[:, end] = Categorical(logits=logits[:, -1], validate_args=False).sample()
    return out


@right("1")
def with_the_inverse_of_the_cumulated_probabilities(self, indices, max_new_tokens):
    tokens = list(indices.unbind(dim=1))
    for _ in range(max_new_tokens):
        context = torch.stack(tokens[-self.block_size :], dim=1)
        exponentials = torch.exp(self(context)[0][:, -1].double())
        cumulated = exponentials.cumsum(dim=-1)
        uniform = torch.rand_like(cumulated[:, :1]) * cumulated[:, -1:]
        tokens.append((cumulated <= uniform).sum(dim=-1))
    return torch.stack(tokens, dim=1)


@right("1")
def with_one_sequence_after_another(self, indices, max_new_tokens):
    was_training = self.training
    self.eval()
    sequences = []
    for sequence in indices:
        for _ in range(max_new_tokens):
            logits = self(sequence[-self.block_size :].unsqueeze(0))[0][0, -1]
            sequence = torch.cat([sequence, torch.multinomial(logits.softmax(0), 1)])
        sequences.append(sequence)
    self.train(was_training)
    return torch.stack(sequences)


@right("1")
def by_recursion(self, indices, max_new_tokens):
    if max_new_tokens == 0:
        return indices
    logits = F.log_softmax(self(indices[..., -self.block_size :])[0], dim=2)[:, -1]
    token = torch.multinomial(logits.exp(), 1, replacement=True)
    return type(self).generate(self, torch.hstack([indices, token]), max_new_tokens - 1)


@right("1")
def with_pythons_own_random_numbers(self, indices, max_new_tokens):
    rows = indices.tolist()
    vocabulary = None
    for _ in range(max_new_tokens):
        context = torch.tensor([row[-self.block_size :] for row in rows], device=indices.device)
        probabilities = self.logits(context)[:, -1].softmax(dim=-1)
        vocabulary = vocabulary or range(probabilities.shape[-1])
        for row, weights in zip(rows, probabilities.tolist(), strict=True):
            row.extend(random.choices(vocabulary, weights))
    return torch.tensor(rows, dtype=indices.dtype, device=indices.device)
