"""Known mistakes of stage 2: HeadVer1.forward (TODO 2-1) and GPTVer2.logits (TODO 2-2)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.devices import placement
from tests.kit.seeds import seed

from . import Outcome, mistake, place

# ---- TODO 2-1: HeadVer1.forward


@place("2-1", "head_v1.HeadVer1", "forward")
def observe_head(cls: type) -> Outcome:
    """Outputs, gradients and what becomes of the input, for several sizes; the precision, and the device."""
    outcome: Outcome = {}
    for B, T, C in ((2, 5, 3), (1, 4, 2), (3, 2, 4), (2, 1, 3)):
        values = torch.randn(B, T, C, generator=torch.Generator().manual_seed(T))
        x = values.clone()
        outcome[f"out {T}"] = _ended(lambda x=x: _kept(cls()(x)))
        outcome[f"x {T}"] = x
        leaf = values.clone().requires_grad_()
        outcome[f"gradient {T}"] = _ended(lambda leaf=leaf: _gradient(cls()(leaf), leaf))
        inner = values.clone().requires_grad_()
        outcome[f"inner gradient {T}"] = _ended(lambda inner=inner: _gradient(cls()(inner * 1), inner))
    double = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outcome["precision"] = _ended(lambda: str(cls()(double).dtype))
    outcome["device"] = _ended(lambda: placement(cls(), double))
    return outcome


def _kept(out: Any) -> Any:
    return out.detach().clone() if isinstance(out, Tensor) else str(type(out))


def _gradient(out: Any, leaf: Tensor) -> Any:
    if not isinstance(out, Tensor) or not out.requires_grad:
        return None
    factors = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((out * factors).sum(), leaf, allow_unused=True)
    return gradient


def _ended(look: Callable[[], Any]) -> Any:
    """What `look` gives, or the first line of the error that it ends with: many mistakes end with one."""
    try:
        return look()
    except Exception as error:
        if str(error).startswith("TODO"):
            raise
        return f"{type(error).__name__}: {error}".splitlines()[0]


def averages(x, average):
    """Two loops with everything right but `average`, which gets x, b and t."""
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            out[b, t] = average(x, b, t)
    return out


@mistake("2-1")
def present_left_out(self, x):
    """x[b, :t] ends before token t: a slice does not include its end. The present belongs to the average: :t + 1. (The
    mean of nothing, of the first token's past, is NaN.)"""
    return averages(x, lambda x, b, t: x[b, :t].mean(dim=0))


@mistake("2-1")
def present_left_out_except_for_the_first_token(self, x):
    """The average of each token but the first is that of its past without the present. The present belongs to it:
    :t + 1."""
    return averages(x, lambda x, b, t: x[b, : max(t, 1)].mean(dim=0))


@mistake("2-1")
def one_token_of_the_future_seen(self, x):
    """The slice goes one token too far: each token also sees the one after it. Up to t, with t, is :t + 1."""
    return averages(x, lambda x, b, t: x[b, : t + 2].mean(dim=0))


@mistake("2-1")
def whole_sequence_averaged(self, x):
    """Each token becomes the average of the whole sequence, its future included. Only the tokens up to t count."""
    return averages(x, lambda x, b, t: x[b].mean(dim=0))


@mistake("2-1")
def future_averaged_instead_of_the_past(self, x):
    """x[b, t:] is the present and the *future*. The present and the past are x[b, :t + 1]."""
    return averages(x, lambda x, b, t: x[b, t:].mean(dim=0))


@mistake("2-1")
def sum_not_divided(self, x):
    """The present and the past are summed up, but the sum is not divided by the number of tokens in it."""
    return averages(x, lambda x, b, t: x[b, : t + 1].sum(dim=0))


@mistake("2-1")
def divided_by_t(self, x):
    """The sum is divided by t. Counting starts at 0, so that t + 1 tokens are in it (and the first one is divided
    by 0)."""
    return averages(x, lambda x, b, t: x[b, : t + 1].sum(dim=0) / t)


@mistake("2-1")
def divided_by_t_or_by_1_at_first(self, x):
    """The sum is divided by t, and by 1 for the first token. Counting starts at 0: the sum up to token t has t + 1
    tokens in it."""
    return averages(x, lambda x, b, t: x[b, : t + 1].sum(dim=0) / max(t, 1))


@mistake("2-1")
def divided_by_the_length_of_the_sequence(self, x):
    """The sum up to token t is divided by T, the length of the whole sequence. There are t + 1 tokens in it."""
    return averages(x, lambda x, b, t: x[b, : t + 1].sum(dim=0) / x.shape[1])


@mistake("2-1")
def averaged_over_everything(self, x):
    """.mean() without a dim averages over time and over the C numbers of a token, which become all the same. Average
    over time only: dim=0 of x[b, :t + 1]."""
    return averages(x, lambda x, b, t: x[b, : t + 1].mean())


@mistake("2-1")
def averaged_over_the_embedding(self, x):
    """The mean is taken over the C numbers of each token. In x[b, :t + 1], which is (t + 1, C), time is dim 0."""
    return averages(x, lambda x, b, t: x[b, : t + 1].mean(dim=-1))


@mistake("2-1")
def averaged_over_the_batch_too(self, x):
    """The average runs over all examples of the batch. They have nothing to do with each other: x[b, :t + 1]."""
    return averages(x, lambda x, b, t: x[:, : t + 1].mean(dim=(0, 1)))


@mistake("2-1")
def averaged_over_the_batch_instead_of_time(self, x):
    """Token t becomes the average of token t of the examples up to b: batch and time are taken for each other. x is
    (B, T, C)."""
    return averages(x, lambda x, b, t: x[: b + 1, t].mean(dim=0))


@mistake("2-1")
def first_example_taken_for_all(self, x):
    """Every example gets the averages of the first one, x[0]. It has to be x[b]."""
    return averages(x, lambda x, b, t: x[0, : t + 1].mean(dim=0))


@mistake("2-1")
def present_given_half_the_weight(self, x):
    """Each output is the mean of the present token and the output before it. So the present always counts half, and
    the past fades; all tokens up to t count alike."""
    rows = [x[:, 0]]
    for t in range(1, x.shape[1]):
        rows.append((rows[-1] + x[:, t]) / 2)
    return torch.stack(rows, dim=1)


@mistake("2-1")
def only_two_tokens_averaged(self, x):
    """Each token is averaged with the one before it, and with no other. The whole past counts."""
    return averages(x, lambda x, b, t: x[b, max(0, t - 1) : t + 1].mean(dim=0))


@mistake("2-1")
def sum_carried_over_to_the_next_example(self, x):
    """The running sum is not set back to zero at the start of each example, so that each one gets the sum of those
    before it."""
    out = torch.zeros_like(x)
    total = torch.zeros_like(x[0, 0])
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            total = total + x[b, t]
            out[b, t] = total / (t + 1)
    return out


@mistake("2-1")
def largest_taken_instead_of_the_mean(self, x):
    """max gives the largest number of the present and the past. The average is asked for: mean."""
    return averages(x, lambda x, b, t: x[b, : t + 1].amax(dim=0))


@mistake("2-1")
def averages_written_into_the_input(self, x):
    """The averages are written into x itself (out = x is no copy), so that later ones are averages of averages, and
    the input is gone. Write them into a new tensor."""
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            x[b, t] = x[b, : t + 1].mean(dim=0)
    return x


@mistake("2-1")
def averages_written_into_the_input_from_the_end(self, x):
    """The numbers are right, but they are written into x itself, which the caller still needs, and whose gradient is
    lost so. Write them into a new tensor."""
    for b in range(x.shape[0]):
        for t in reversed(range(x.shape[1])):
            x[b, t] = x[b, : t + 1].mean(dim=0)
    return x


@mistake("2-1")
def result_detached(self, x):
    """The right numbers, but cut off from the graph (detach, .data, no_grad, or .item() and a new tensor): no gradient
    flows back to x, and nothing before this head can learn."""
    return averages(x.detach(), lambda x, b, t: x[b, : t + 1].mean(dim=0))


@mistake("2-1")
def past_detached(self, x):
    """The right numbers, but the running sum of the past is cut off from the graph: only the present token gets a
    gradient."""
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        total = torch.zeros_like(x[b, 0])
        for t in range(x.shape[1]):
            total = total.detach() + x[b, t]
            out[b, t] = total / (t + 1)
    return out


@mistake("2-1")
def result_always_float32_on_the_cpu(self, x):
    """torch.zeros(B, T, C) is float32 and on the CPU, whatever x is. torch.zeros_like(x) is like x."""
    out = torch.zeros(x.shape)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            out[b, t] = x[b, : t + 1].mean(dim=0)
    return out


@mistake("2-1")
def result_always_on_the_cpu(self, x):
    """The tensor for the result has the dtype of x, but not its device: it is on the CPU. torch.zeros_like(x) has
    both."""
    out = torch.zeros(x.shape, dtype=x.dtype)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            out[b, t] = x[b, : t + 1].mean(dim=0)
    return out


@mistake("2-1")
def returned_after_the_first_example(self, x):
    """The `return` stands inside the loop over the batch, so that only the first example is averaged. Move it to the
    left, behind both loops."""
    out = torch.zeros_like(x)
    out[0] = averages(x[:1], lambda x, b, t: x[b, : t + 1].mean(dim=0))[0]
    return out


@mistake("2-1")
def returned_after_the_first_token(self, x):
    """The `return` stands inside the inner loop, so that the first token of the first example is all that is averaged.
    Move it to the left, behind both loops."""
    out = torch.zeros_like(x)
    out[0, 0] = x[0, 0]
    return out


@mistake("2-1")
def first_token_forgotten(self, x):
    """The loop starts at 1, and so the first token stays zero. It is its own average."""
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(1, x.shape[1]):
            out[b, t] = x[b, : t + 1].mean(dim=0)
    return out


@mistake("2-1")
def last_token_forgotten(self, x):
    """The loop ends one token early (range(T - 1)), and so the last token stays zero."""
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1] - 1):
            out[b, t] = x[b, : t + 1].mean(dim=0)
    return out


@mistake("2-1")
def nothing_returned(self, x):
    """The averages are computed, but there is no `return`, and so the head gives None."""
    averages(x, lambda x, b, t: x[b, : t + 1].mean(dim=0))


@mistake("2-1")
def input_given_back(self, x):
    """x comes back as it is: no token sees its past."""
    return x


# ---- TODO 2-2: GPTVer2.logits


class Curved(nn.Module):
    """Stands in for the contextualizer. It takes tokens of any size, and is not linear, so that its place matters."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))
        self.inner = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x.cumsum(dim=1) * self.weight) + 0.3 * x.square().cumsum(dim=1)


@place("2-2", "gpt_v2.GPTVer2", "logits")
def observe_gpt(cls: type) -> Outcome:
    """Logits, gradients and modes, for several sizes."""
    outcome: Outcome = {}
    state = torch.random.get_rng_state()
    for B, T in ((2, 4), (1, 6), (3, 1)):
        seed(T)
        model: Any = cls(Curved(), 7, 6, 5)
        indices = torch.arange(B * T).view(B, T) * 3 % 7
        out = _ended(lambda model=model, indices=indices: model.logits(indices))
        outcome[f"logits {T}"] = _kept(out) if not isinstance(out, str) else out
        outcome[f"type {T}"] = type(out).__name__
        outcome[f"graph {T}"] = isinstance(out, Tensor) and out.requires_grad
        for name, parameter in model.named_parameters():
            gradient = _ended(lambda out=out, parameter=parameter: _retained_gradient(out, parameter))
            outcome[f"gradient of {name} {T}"] = gradient
        outcome[f"modes {T}"] = [module.training for module in model.modules()]
    outcome["device"] = _ended(lambda: placement(cls(Curved(), 7, 6, 5), indices, "logits"))
    torch.random.set_rng_state(state)
    return outcome


def _retained_gradient(out: Any, parameter: Tensor) -> Any:
    if not isinstance(out, Tensor) or not out.requires_grad:
        return None
    factors = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((out * factors).sum(), parameter, allow_unused=True, retain_graph=True)
    return gradient


@mistake("2-2")
def contextualizer_left_out(self, indices):
    """The embeddings go straight to lm_head; the contextualizer is not used, and no token sees its past."""
    return self.lm_head(self.token_embedding_table(indices))


@mistake("2-2")
def lm_head_left_out(self, indices):
    """What comes out of the contextualizer is returned, with embed_size numbers a token. lm_head maps it to
    vocab_size logits."""
    return self.contextualizer(self.token_embedding_table(indices))


@mistake("2-2")
def only_the_embeddings_returned(self, indices):
    """The embeddings come back as they are, as in GPTVer1, where they were the logits. Here they are embed_size wide,
    and the contextualizer and lm_head come after them."""
    return self.token_embedding_table(indices)


@mistake("2-2")
def indices_not_embedded(self, indices):
    """The contextualizer is given the indices themselves. First token_embedding_table turns each one into a vector."""
    return self.lm_head(self.contextualizer(indices.float()))


@mistake("2-2")
def contextualizer_after_lm_head(self, indices):
    """lm_head comes before the contextualizer, which then mixes logits. The order is: embed, contextualize, lm_head."""
    return self.contextualizer(self.lm_head(self.token_embedding_table(indices)))


@mistake("2-2")
def contextualizer_applied_twice(self, indices):
    """The contextualizer is applied to its own output once more. Once is enough."""
    return self.lm_head(self.contextualizer(self.contextualizer(self.token_embedding_table(indices))))


@mistake("2-2")
def embeddings_added_to_the_context(self, indices):
    """The embeddings are added to the output of the contextualizer. That is a residual connection, which comes in
    stage 8; here lm_head gets the contextualizer's output alone."""
    x = self.token_embedding_table(indices)
    return self.lm_head(x + self.contextualizer(x))


@mistake("2-2")
def probabilities_returned(self, indices):
    """A softmax is taken at the end. Logits are asked for, as lm_head gives them: the loss and generate take the
    softmax themselves."""
    return F.softmax(self.lm_head(self.contextualizer(self.token_embedding_table(indices))), dim=-1)


@mistake("2-2")
def log_probabilities_returned(self, indices):
    """A log_softmax is taken at the end. Logits are asked for, as lm_head gives them: the loss takes the log_softmax
    itself."""
    return F.log_softmax(self.lm_head(self.contextualizer(self.token_embedding_table(indices))), dim=-1)


@mistake("2-2")
def relu_at_the_end(self, indices):
    """A ReLU is taken at the end, so that no logit can be negative. The logits are what lm_head gives."""
    return F.relu(self.lm_head(self.contextualizer(self.token_embedding_table(indices))))


@mistake("2-2")
def relu_before_lm_head(self, indices):
    """A ReLU stands between contextualizer and lm_head. lm_head gets the contextualizer's output as it is."""
    return self.lm_head(F.relu(self.contextualizer(self.token_embedding_table(indices))))


@mistake("2-2")
def only_the_last_place_returned(self, indices):
    """Only the logits of the last place come back, (B, V). All T places are needed, (B, T, V): each one is trained to
    predict its next token."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices)))[:, -1]


@mistake("2-2")
def only_the_last_place_kept_in_time(self, indices):
    """Only the logits of the last place come back, (B, 1, V). All T places are needed, (B, T, V): each one is trained
    to predict its next token."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices))[:, -1:])


@mistake("2-2")
def batch_and_time_flattened(self, indices):
    """The logits come back as (B * T, V). They have to stay (B, T, V); forward flattens them for the loss."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices))).flatten(0, 1)


@mistake("2-2")
def vocabulary_before_time(self, indices):
    """The logits come back transposed, (B, V, T). They have to be (B, T, V)."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices))).transpose(1, 2)


@mistake("2-2")
def pair_returned(self, indices):
    """A pair, (logits, None), comes back. `logits` gives the logits alone; `forward` makes the pair."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices))), None


@mistake("2-2")
def contextualizer_given_time_before_batch(self, indices):
    """The contextualizer gets its input as (T, B, C), so that the examples of the batch see each other and the tokens
    do not. It has to be (B, T, C)."""
    x = self.contextualizer(self.token_embedding_table(indices).transpose(0, 1))
    return self.lm_head(x.transpose(0, 1))


@mistake("2-2")
def contextualizer_given_one_token_at_a_time(self, indices):
    """The contextualizer gets each token as a sequence of its own, and so none sees its past. It has to get all T
    tokens at once, (B, T, C)."""
    x = self.token_embedding_table(indices)
    return self.lm_head(self.contextualizer(x.reshape(-1, 1, x.shape[-1])).reshape(x.shape))


@mistake("2-2")
def batch_taken_for_one_long_sequence(self, indices):
    """The examples of the batch are joined to one sequence before the contextualizer, and so each sees those before
    it. It has to be (B, T, C)."""
    x = self.token_embedding_table(indices)
    return self.lm_head(self.contextualizer(x.reshape(1, -1, x.shape[-1])).reshape(x.shape))


@mistake("2-2")
def table_used_in_place_of_lm_head(self, indices):
    """The output of the contextualizer is multiplied with the token embeddings (weight tying, as in GPT-2). Here
    lm_head is a layer of its own."""
    return self.contextualizer(self.token_embedding_table(indices)) @ self.token_embedding_table.weight.T


@mistake("2-2")
def bias_of_lm_head_left_out(self, indices):
    """Only the weight of lm_head is used, not its bias. Call the layer: self.lm_head(...)."""
    return self.contextualizer(self.token_embedding_table(indices)) @ self.lm_head.weight.T


@mistake("2-2")
def embeddings_scaled_by_the_root_of_embed_size(self, indices):
    """The embeddings are multiplied by sqrt(embed_size), as in the first transformer. Here they are used as they
    are."""
    x = self.token_embedding_table(indices)
    return self.lm_head(self.contextualizer(x * x.shape[-1] ** 0.5))


@mistake("2-2")
def embeddings_detached(self, indices):
    """The right numbers, but the embeddings are cut off from the graph: the token table gets no gradient, and never
    learns."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices).detach()))


@mistake("2-2")
def context_detached(self, indices):
    """The right numbers, but the output of the contextualizer is cut off from the graph: of all layers only lm_head
    learns."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices)).detach())


@mistake("2-2")
def logits_detached(self, indices):
    """The right numbers, but the logits are cut off from the graph (detach, .data or no_grad): no layer gets a
    gradient, and nothing learns."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices))).detach()


@mistake("2-2")
def contextualizer_put_into_evaluation_mode(self, indices):
    """self.contextualizer.eval() switches its dropout off for good, in training, too. The mode is the caller's
    business."""
    self.contextualizer.eval()
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices)))


@mistake("2-2")
def no_logits_returned(self, indices):
    """The logits are computed, but there is no `return`, and so the method gives None."""
    self.lm_head(self.contextualizer(self.token_embedding_table(indices)))
