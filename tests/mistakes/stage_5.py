"""Known mistakes of stage 5: HeadVer4.forward."""

import warnings

import torch
from torch.nn import functional as F

from tests.kit.seeds import seed

from . import Outcome, mistake, observed, place


@place("5", "head_v4.HeadVer4", "forward")
def observe(cls: type) -> Outcome:
    """Outputs, wei, var and gradients for sequences shorter than the context and as long, and a batch of one."""
    outcome: Outcome = {}
    biased = observed(lambda: divides_by_n(cls)) is True  # either is right, and no part of the mistake
    for B, T in ((2, 5), (1, 8), (3, 1)):
        seed(5)
        head = cls(block_size=8, embed_size=6, head_size=4)
        x = (2 * torch.randn(B, T, 6)).requires_grad_()
        outcome[f"out {T}"] = out = observed(lambda head=head, x=x: head(x))
        for name in ("wei", "var"):
            value = observed(lambda head=head, name=name: torch.as_tensor(getattr(head, name)).detach())
            n = B * T * T
            if name == "var" and biased and isinstance(value, torch.Tensor):
                value = value * n / (n - 1)
            outcome[f"{name} {T}"] = value
        if isinstance(out, torch.Tensor) and out.requires_grad:
            factors = torch.randn(out.shape)
            (out * factors).sum().backward()
        for name, tensor in (("x", x), *head.named_parameters()):
            outcome[f"gradient of {name} {T}"] = tensor.grad
    return outcome


def divides_by_n(cls: type) -> bool:
    """Whether self.var is the variance divided by n: that of a single score is then 0; divided by n - 1, it is not."""
    head = cls(block_size=8, embed_size=6, head_size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a division by n - 1 = 0
        head(torch.zeros(1, 1, 6))
    return float(head.var) == 0.0


def qkv(self, x):
    return self.query(x), self.key(x), self.value(x)


def finish(self, x, scores, v, dim=-1):
    """From scaled scores on, everything right."""
    T = x.shape[1]
    self.var = scores.detach().var()
    weights = F.softmax(scores.masked_fill(self.tril[:T, :T] == 0, float("-inf")), dim=dim)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def scores_divided_by_the_root_of_embed_size(self, x, debug=False):
    """The scores are divided by sqrt(embed_size). A score is a sum over head_size products, so that its variance is
    head_size: divide by sqrt(head_size)."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / x.shape[-1] ** 0.5, v)


@mistake("5")
def scores_not_scaled(self, x, debug=False):
    """The scores are not divided by sqrt(head_size)."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2), v)


@mistake("5")
def scores_divided_by_head_size_without_the_root(self, x, debug=False):
    """The scores are divided by head_size; it has to be its square root."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / q.shape[-1], v)


@mistake("5")
def scores_multiplied_instead_of_divided(self, x, debug=False):
    """The scores are multiplied by sqrt(head_size); they have to be divided by it."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) * q.shape[-1] ** 0.5, v)


@mistake("5")
def scores_divided_by_the_root_of_the_number_of_tokens(self, x, debug=False):
    """The scores are divided by sqrt(T), the number of tokens; it has to be sqrt(head_size)."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / x.shape[1] ** 0.5, v)


@mistake("5")
def scores_divided_by_the_root_of_block_size(self, x, debug=False):
    """The scores are divided by sqrt(block_size). A score is a sum over head_size products, whatever the number of
    tokens: divide by sqrt(head_size)."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / self.block_size**0.5, v)


@mistake("5")
def scores_divided_by_twice_head_size(self, x, debug=False):
    """/ D ** 1 / 2 divides by D and then by 2, since ** comes before /. The root is D ** 0.5 or D ** (1 / 2)."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 1 / 2, v)


@mistake("5")
def keys_viewed_instead_of_transposed(self, x, debug=False):
    """k.view(B, D, T) puts the numbers of the keys into another order. k.transpose(1, 2) exchanges the dimensions."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.reshape(k.shape[0], k.shape[2], k.shape[1]) / q.shape[-1] ** 0.5, v)


@mistake("5")
def keys_ask_and_queries_answer(self, x, debug=False):
    """The scores are key times query: row t holds how well the *key* of t fits all queries. It has to be
    query @ key^T, so that row t belongs to the query of t."""
    q, k, v = qkv(self, x)
    return finish(self, x, k @ q.transpose(1, 2) / q.shape[-1] ** 0.5, v)


@mistake("5")
def keys_taken_for_values(self, x, debug=False):
    """The weights are multiplied with the keys; it has to be the values."""
    q, k, _ = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, k)


@mistake("5")
def values_not_projected(self, x, debug=False):
    """The weights are multiplied with x itself, so that the output is embed_size wide; it has to be value(x)."""
    q, k, _ = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, x)


@mistake("5")
def future_not_masked(self, x, debug=False):
    """Nothing is masked: each token attends to the tokens after it, which it should predict."""
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    weights = F.softmax(scores, dim=-1)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def past_masked_instead_of_the_future(self, x, debug=False):
    """The mask is upside down: each token attends to itself and its future. Mask where tril is 0."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    weights = F.softmax(scores.masked_fill(self.tril[:T, :T].T == 0, float("-inf")), dim=-1)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def mask_one_too_far(self, x, debug=False):
    """The mask is off by one: each token also attends to the one right after it."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    ones = torch.ones(T, T, device=x.device)
    weights = F.softmax(scores.masked_fill(torch.tril(ones, diagonal=1) == 0, float("-inf")), dim=-1)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def token_may_not_attend_to_itself(self, x, debug=False):
    """The mask is off by one: it hides the token itself, too. The first token then has nothing to attend to: NaN."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    ones = torch.ones(T, T, device=x.device)
    weights = F.softmax(scores.masked_fill(torch.tril(ones, diagonal=-1) == 0, float("-inf")), dim=-1)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def mask_of_zeros_instead_of_minus_infinity(self, x, debug=False):
    """Scores of the future are set to 0, and exp(0) = 1 is no small weight. Set them to minus infinity."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    weights = F.softmax(scores.masked_fill(self.tril[:T, :T] == 0, 0.0), dim=-1)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def masked_after_the_softmax(self, x, debug=False):
    """The weights of the future are set to 0 after the softmax, so that the others do not sum to 1. Mask the scores,
    before the softmax."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    weights = F.softmax(scores, dim=-1).masked_fill(self.tril[:T, :T] == 0, 0.0)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def softmax_over_the_queries(self, x, debug=False):
    """The softmax runs down the columns (dim=1), over the queries. Each *row* has to sum to 1: dim=-1."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, v, dim=1)


@mistake("5")
def softmax_over_the_batch(self, x, debug=False):
    """The softmax runs over the batch (dim=0), so that examples talk to each other. Each row has to sum to 1:
    dim=-1."""
    q, k, v = qkv(self, x)
    return finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, v, dim=0)


@mistake("5")
def softmax_twice(self, x, debug=False):
    """The softmax is taken twice, which makes all weights nearly equal and gives the future weight again."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    weights = F.softmax(scores.masked_fill(self.tril[:T, :T] == 0, float("-inf")), dim=-1)
    weights = F.softmax(weights, dim=-1)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def no_softmax(self, x, debug=False):
    """The masked scores are used as weights as they are, without a softmax."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    weights = scores.masked_fill(self.tril[:T, :T] == 0, 0.0)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def scaled_after_the_softmax(self, x, debug=False):
    """The weights are divided by sqrt(head_size) after the softmax, so that they do not sum to 1. Scale the scores."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2)
    self.var = scores.detach().var()
    weights = F.softmax(scores.masked_fill(self.tril[:T, :T] == 0, float("-inf")), dim=-1) / q.shape[-1] ** 0.5
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def mask_not_cut_to_the_sequence(self, x, debug=False):
    """The whole (block_size, block_size) mask is used, which fits only sequences of full length. Cut it to the T
    tokens that are there: self.tril[:T, :T]."""
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    self.var = scores.detach().var()
    weights = F.softmax(scores.masked_fill(self.tril == 0, float("-inf")), dim=-1)
    self.wei = weights.detach()
    return weights @ v


@mistake("5")
def wei_not_kept(self, x, debug=False):
    """The output is right, but the final weights are not kept in self.wei."""
    out = finish(self, x, self.query(x) @ self.key(x).transpose(1, 2) / self.query.out_features**0.5, self.value(x))
    del self.wei
    return out


@mistake("5")
def var_not_kept(self, x, debug=False):
    """The output is right, but the variance of the scaled scores is not kept in self.var."""
    out = finish(self, x, self.query(x) @ self.key(x).transpose(1, 2) / self.query.out_features**0.5, self.value(x))
    del self.var
    return out


@mistake("5")
def scores_kept_as_wei(self, x, debug=False):
    """self.wei holds the masked scores; it has to hold the final weights, after the softmax."""
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    out = finish(self, x, scores, v)
    self.wei = scores.detach().masked_fill(self.wei == 0, float("-inf"))
    return out


@mistake("5")
def var_of_the_scores_before_scaling(self, x, debug=False):
    """self.var is the variance of the scores *before* they are divided by sqrt(head_size); keep the one after."""
    q, k, v = qkv(self, x)
    out = finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, v)
    self.var = (q @ k.transpose(1, 2)).detach().var()
    return out


@mistake("5")
def var_of_the_masked_scores(self, x, debug=False):
    """self.var is taken after the mask has put -infinity among the scores, and so is no number. Keep it before."""
    q, k, v = qkv(self, x)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    out = finish(self, x, scores, v)
    self.var = scores.detach().masked_fill(self.wei == 0, float("-inf")).var()
    return out


@mistake("5")
def standard_deviation_kept_as_var(self, x, debug=False):
    """self.var is the standard deviation of the scores; keep their variance, which is its square."""
    q, k, v = qkv(self, x)
    out = finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, v)
    self.var = self.var.sqrt()
    return out


@mistake("5")
def var_of_the_weights(self, x, debug=False):
    """self.var is the variance of the weights after the softmax; keep that of the scaled scores."""
    q, k, v = qkv(self, x)
    out = finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, v)
    self.var = self.wei.var()
    return out


@mistake("5")
def weights_detached(self, x, debug=False):
    """The right numbers, but the weights are detached from the graph: no gradient reaches query and key, and they
    never learn. Detach only what is kept in self.wei and self.var."""
    q, k, v = qkv(self, x)
    finish(self, x, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, v)
    return self.wei @ v
