"""Wrong versions that the catalogue has no name for: each is right in most of what a test might look at.

They work in training mode only, for the first call only, for small numbers only; or they make a layer anew.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

WRONG_VERSIONS: list[tuple[str, Callable[..., Any]]] = []  # TODO, what stands in for its method


def wrong_version_of(todo: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        WRONG_VERSIONS.append((todo, function))
        return function

    return add


def averaging(x):
    past = torch.ones(x.shape[1], x.shape[1], dtype=x.dtype, device=x.device).tril()
    return past / past.sum(dim=1, keepdim=True)


def scores_and_values(self, x, debug):
    q, k, v = self.query(x), self.key(x), self.value(x)
    if debug:
        q, k, v = (torch.randn_like(t) for t in (q, k, v))
    return q @ k.mT / q.shape[-1] ** 0.5, v


def weights(self, scores, masked=float("-inf")):
    T = scores.shape[-1]
    return scores.masked_fill(self.tril[:T, :T] == 0, masked).softmax(dim=-1)


# ---- only in one mode


@wrong_version_of("1")
def likeliest_token_taken_in_evaluation_mode(self, indices, max_new_tokens):
    for _ in range(max_new_tokens):
        p = F.softmax(self(indices[:, -self.block_size :])[0][:, -1], dim=-1)
        new = torch.multinomial(p, 1) if self.training else p.argmax(dim=-1, keepdim=True)
        indices = torch.cat([indices, new], dim=1)
    return indices


@wrong_version_of("2-1")
def input_given_back_in_evaluation_mode(self, x):
    return averaging(x) @ x if self.training else x


@wrong_version_of("4")
def wei_kept_in_training_mode_only(self, x):
    if self.training:
        self.wei = averaging(x)
    return averaging(x) @ x


@wrong_version_of("5")
def wei_and_var_kept_in_training_mode_only(self, x, debug=False):
    scores, v = scores_and_values(self, x, debug)
    if self.training:
        self.var, self.wei = scores.detach().var(), weights(self, scores).detach()
    return weights(self, scores) @ v


@wrong_version_of("10")
def nothing_dropped_without_gradients(self, x):
    drop1, drop2 = (self.dropout1, self.dropout2) if torch.is_grad_enabled() else (nn.Identity(), nn.Identity())
    x = x + drop1(self.head(self.ln1(x)))
    return x + drop2(self.ffwd(self.ln2(x)))


# ---- only in the first call


@wrong_version_of("3")
def matrix_kept_for_another_precision(self, x):
    if not hasattr(self, "matrix") or len(self.matrix) != x.shape[1]:
        self.matrix = averaging(x)
    return self.matrix @ x


@wrong_version_of("4")
def wei_kept_for_another_precision(self, x):
    if not hasattr(self, "wei") or len(self.wei) != x.shape[1]:
        self.wei = averaging(x)
    return self.wei @ x


@wrong_version_of("5")
def wei_and_var_kept_from_the_first_call(self, x, debug=False):
    scores, v = scores_and_values(self, x, debug)
    if not hasattr(self, "wei"):
        self.var, self.wei = scores.detach().var(), weights(self, scores).detach()
    return weights(self, scores) @ v


@wrong_version_of("5")
def wei_not_kept_for_debugging(self, x, debug=False):
    scores, v = scores_and_values(self, x, debug)
    self.var = scores.detach().var()
    if not debug:
        self.wei = weights(self, scores).detach()
    return weights(self, scores) @ v


# ---- only for some numbers


@wrong_version_of("1")
def only_the_fifty_likeliest_tokens_drawn(self, indices, max_new_tokens):
    for _ in range(max_new_tokens):
        logits = self(indices[:, -self.block_size :])[0][:, -1]
        least = logits.topk(min(50, logits.shape[-1])).values[:, -1:]
        p = F.softmax(logits.masked_fill(logits < least, float("-inf")), dim=-1)
        indices = torch.cat([indices, torch.multinomial(p, 1)], dim=1)
    return indices


@wrong_version_of("5")
def mean_of_squares_taken_for_the_variance(self, x, debug=False):
    scores, v = scores_and_values(self, x, debug)
    self.var, self.wei = scores.detach().square().mean(), weights(self, scores).detach()
    return weights(self, scores) @ v


@wrong_version_of("5")
def masked_with_minus_a_hundred(self, x, debug=False):
    scores, v = scores_and_values(self, x, debug)
    self.var, self.wei = scores.detach().var(), weights(self, scores, masked=-100.0).detach()
    return weights(self, scores, masked=-100.0) @ v


# ---- layers and buffers that are not what they were


@wrong_version_of("4")
def scores_made_a_parameter_in_each_call(self, x):
    self.scores = nn.Parameter(torch.zeros_like(averaging(x)))
    self.wei = (self.scores + averaging(x).log()).softmax(dim=-1)
    return self.wei @ x


@wrong_version_of("5")
def mask_spoilt_for_the_next_call(self, x, debug=False):
    T = x.shape[1]
    scores, v = scores_and_values(self, x, debug)
    self.var, self.wei = scores.detach().var(), weights(self, scores).detach()
    self.tril[:T, :T] /= self.tril[:T, :T].sum(dim=1, keepdim=True)
    return weights(self, scores) @ v


@wrong_version_of("6-2")
def sinusoids_made_a_parameter(self, indices):
    self.pos_table = nn.Parameter(self.pos_table)
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices) + self.pos_table[: indices.shape[1]]))


@wrong_version_of("7-3")
def last_norm_made_in_each_call(self, indices):
    T = indices.shape[1]
    x = self.token_embedding_table(indices) + self.pos_embedding_table.weight[:T]
    self.ln_f = nn.LayerNorm(x.shape[-1])
    return self.lm_head(self.ln_f(self.contextualizer(x)))


@wrong_version_of("9-1")
def gamma_made_in_each_call(self, x):
    self.gamma = nn.Parameter(torch.ones(x.shape[-1]))
    return F.layer_norm(x, x.shape[-1:], self.gamma, self.beta, self.eps)


@wrong_version_of("9-2")
def one_norm_put_in_both_places(self, x):
    self.ln2 = self.ln1
    x = x + self.head(self.ln1(x))
    return x + self.ffwd(self.ln2(x))


@wrong_version_of("10")
def one_norm_put_in_both_places_with_dropout(self, x):
    self.ln2 = self.ln1
    x = x + self.dropout1(self.head(self.ln1(x)))
    return x + self.dropout2(self.ffwd(self.ln2(x)))
