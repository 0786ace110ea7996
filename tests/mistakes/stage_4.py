"""Known mistakes of stage 4: HeadVer3.forward."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import Outcome, mistake, place
from .stage_3 import ended, observe_average


@place("4", "head_v3.HeadVer3", "forward")
def observe(cls: type) -> Outcome:
    """What is observed of HeadVer2, and wei for several sizes, and after a second call."""
    outcome = observe_average(cls)
    for B, T, C in ((2, 5, 3), (1, 4, 2), (3, 2, 4), (2, 1, 3), (4, 4, 4)):
        x = 2 * torch.randn(B, T, C, generator=torch.Generator().manual_seed(T))
        head: Any = cls()
        ended(lambda head=head, x=x: head(x))
        outcome[f"wei {B} {T} {C}"] = _wei(head)
        ended(lambda head=head: head(torch.ones(2, 6, 3)))
        outcome[f"wei {B} {T} {C}, then 2 6 3"] = _wei(head)
    return outcome


def _wei(head: Any) -> Any:
    """head.wei, (T, T) where it is the same for all examples."""
    wei = getattr(head, "wei", "missing")
    if not isinstance(wei, Tensor):
        return str(wei)
    wei = wei.detach().clone()
    if wei.dim() == 3 and torch.equal(wei.nan_to_num(7.0), wei[:1].nan_to_num(7.0).expand_as(wei)):
        return wei[0]
    return wei


def zeros(x, size=None):
    size = x.shape[1] if size is None else size
    return torch.zeros(size, size, dtype=x.dtype, device=x.device)


def past(x, diagonal=0, size=None):
    """True on and below the diagonal, False above it."""
    return torch.ones_like(zeros(x, size), dtype=torch.bool).tril(diagonal)


def masked(x, mask=None, value=float("-inf")):
    """Zero scores with `value` where the mask is False: in the future, if no other mask is given."""
    mask = past(x) if mask is None else mask
    return torch.zeros_like(mask, dtype=x.dtype).masked_fill(~mask, value)


def finish(self, x, weights):
    """From the weights on, everything right."""
    self.wei = weights
    return self.wei @ x


@mistake("4")
def future_not_masked(self, x):
    """The scores of the future are 0 like all others (not masked, or masked with 0, or with a tiny number such as
    -1e-9), and exp(0) = 1 is no small weight: each token averages the whole sequence. Mask with minus infinity."""
    return finish(self, x, zeros(x).softmax(dim=-1))


@mistake("4")
def softmax_of_ones_and_zeros(self, x):
    """The softmax is taken of a triangle of ones, where the future has the score 0 (or of zeros, with -1 there). It
    gets less weight so, but not none: exp(0) is 1. The score of the future has to be minus infinity."""
    return finish(self, x, past(x).to(x.dtype).softmax(dim=-1))


@mistake("4")
def past_masked_instead_of_the_future(self, x):
    """The mask is upside down: each token averages itself and its *future*. Minus infinity belongs above the diagonal,
    where tril is 0."""
    return finish(self, x, masked(x, past(x).T).softmax(dim=-1))


@mistake("4")
def present_masked_along_with_the_past(self, x):
    """Minus infinity is set where tril is 1, and it has to be where tril is 0. So each token sees its future alone, and
    the last one sees nothing at all, which gives NaN."""
    return finish(self, x, masked(x, ~past(x)).softmax(dim=-1))


@mistake("4")
def mask_one_too_far(self, x):
    """The mask begins one too late: each token also takes from the one right after it. Minus infinity begins just
    above the diagonal."""
    return finish(self, x, masked(x, past(x, diagonal=1)).softmax(dim=-1))


@mistake("4")
def token_itself_masked(self, x):
    """The mask hides the token itself, too. The first token then has nothing to take from, and the softmax of nothing
    but minus infinity is NaN. The diagonal stays open."""
    return finish(self, x, masked(x, past(x, diagonal=-1)).softmax(dim=-1))


@mistake("4")
def masked_with_plus_infinity(self, x):
    """The future is masked with plus infinity, and the softmax of that is NaN. exp(-inf) is 0: it needs the minus."""
    return finish(self, x, masked(x, value=float("inf")).softmax(dim=-1))


@mistake("4")
def mask_multiplied_with_infinity(self, x):
    """A mask of ones and zeros is multiplied with minus infinity, and 0 times infinity is NaN. Set the scores to
    minus infinity where the mask says so: masked_fill."""
    return finish(self, x, ((~past(x)).to(x.dtype) * float("-inf")).softmax(dim=-1))


@mistake("4")
def masked_after_the_softmax(self, x):
    """The weights of the future are set to 0 after the softmax, so that those that are left do not sum to 1. Mask the
    scores, and take the softmax then."""
    return finish(self, x, zeros(x).softmax(dim=-1) * past(x))


@mistake("4")
def softmax_down_the_columns(self, x):
    """The softmax runs down the columns, over the first of the two dimensions of T. Row t holds what token t takes from
    each token: the *rows* have to sum to 1, dim=-1."""
    return finish(self, x, masked(x).softmax(dim=0))


@mistake("4")
def softmax_over_the_batch(self, x):
    """The scores are (B, T, T), and the softmax runs over the batch (dim=0), where it gives 1 / B, or NaN. It has to
    run along each row, dim=-1."""
    return finish(self, x, masked(x).expand(x.shape[0], -1, -1).softmax(dim=0))


@mistake("4")
def softmax_over_the_whole_matrix(self, x):
    """The softmax is taken of all entries together, which then sum to 1 as a whole. Each *row* has to sum to 1:
    dim=-1."""
    return finish(self, x, masked(x).flatten().softmax(dim=0).view(x.shape[1], x.shape[1]))


@mistake("4")
def softmax_twice(self, x):
    """The softmax is taken twice. The second one takes the weights for scores, and gives the future weight again."""
    return finish(self, x, masked(x).softmax(dim=-1).softmax(dim=-1))


@mistake("4")
def softmax_left_out(self, x):
    """The masked scores are multiplied with x as they are, zeros and minus infinities. Take the softmax of each row
    first."""
    return finish(self, x, masked(x))


@mistake("4")
def log_softmax_for_softmax(self, x):
    """log_softmax gives the logarithms of the weights. The weights themselves are needed: softmax."""
    return finish(self, x, masked(x).log_softmax(dim=-1))


@mistake("4")
def exponentials_not_divided_by_their_sum(self, x):
    """exp of the masked scores makes ones and zeros, whose rows do not sum to 1. A softmax also divides each row by its
    sum."""
    return finish(self, x, masked(x).exp())


@mistake("4")
def weights_divided_by_the_number_of_tokens(self, x):
    """The weights of the softmax are divided by the number of tokens once more. They sum to 1 already, and so their
    product with x is the mean."""
    return finish(self, x, masked(x).softmax(dim=-1) / past(x).sum(dim=-1, keepdim=True))


@mistake("4")
def scores_made_of_x(self, x):
    """The scores are products of tokens, x @ x^T. In this stage, all scores are 0, so that the result is a plain mean;
    from stage 5 on they are learned."""
    scores = x @ x.transpose(1, 2)
    return finish(self, x, scores.masked_fill(~past(x), float("-inf")).softmax(dim=-1))


@mistake("4")
def scores_of_the_size_of_the_embedding(self, x):
    """The scores are C x C; they have to be T x T, one for each pair of tokens. x is (B, T, C): T is x.shape[1]."""
    return finish(self, x, masked(x, past(x, size=x.shape[2])).softmax(dim=-1))


@mistake("4")
def scores_of_the_size_of_the_batch(self, x):
    """The scores are B x B; they have to be T x T, one for each pair of tokens. x is (B, T, C): T is x.shape[1]."""
    return finish(self, x, masked(x, past(x, size=x.shape[0])).softmax(dim=-1))


@mistake("4")
def factors_swapped(self, x):
    """x @ wei multiplies along the embedding, and fits only where T is C. The weights come first: wei @ x."""
    self.wei = masked(x).softmax(dim=-1)
    return x @ self.wei


@mistake("4")
def weights_transposed_before_the_product(self, x):
    """The weights in self.wei are right, but the product is taken with their transpose, in which row t is what token t
    *gives*. It is wei @ x."""
    self.wei = masked(x).softmax(dim=-1)
    return self.wei.T @ x


@mistake("4")
def first_example_taken_for_all(self, x):
    """Only x[0] is multiplied with the weights. (T, T) @ (B, T, C) multiplies each example of the batch."""
    return finish(self, x[0], masked(x).softmax(dim=-1))


@mistake("4")
def averaged_twice(self, x):
    """The weights are multiplied with x, and then with the result, so that these are averages of averages. Multiply
    once."""
    return finish(self, finish(self, x, masked(x).softmax(dim=-1)), self.wei)


@mistake("4")
def wei_not_kept(self, x):
    """The output is right, but the weights are not kept in self.wei."""
    return masked(x).softmax(dim=-1) @ x


@mistake("4")
def transpose_kept_as_wei(self, x):
    """The output is right, but self.wei holds the transpose of the weights. Row t is to be what token t takes."""
    weights = masked(x).softmax(dim=-1)
    self.wei = weights.T
    return weights @ x


@mistake("4")
def scores_kept_as_wei(self, x):
    """The output is right, but self.wei holds the masked scores. Keep the weights, as they are after the softmax."""
    self.wei = masked(x)
    return self.wei.softmax(dim=-1) @ x


@mistake("4")
def scores_before_the_mask_kept_as_wei(self, x):
    """The output is right, but self.wei holds the zero scores, from before mask and softmax. Keep the weights, as they
    are after the softmax."""
    self.wei = zeros(x)
    return masked(x).softmax(dim=-1) @ x


@mistake("4")
def triangle_kept_as_wei(self, x):
    """The output is right, but self.wei holds the triangle of ones that made the mask. Keep the weights, as they are
    after the softmax."""
    self.wei = past(x).to(x.dtype)
    return masked(x).softmax(dim=-1) @ x


@mistake("4")
def output_kept_as_wei(self, x):
    """The output is right, but it is kept in self.wei itself. Keep the weights of which it was made."""
    self.wei = masked(x).softmax(dim=-1) @ x
    return self.wei


@mistake("4")
def wei_kept_from_the_first_call(self, x):
    """The weights are made in the first call and used in all later ones, whose sequences may have another length. Make
    them anew, or whenever T changes."""
    if not hasattr(self, "wei"):
        self.wei = masked(x).softmax(dim=-1)
    return self.wei @ x


@mistake("4")
def scores_always_float32_on_the_cpu(self, x):
    """torch.zeros(T, T) is float32 and on the CPU, whatever x is, and its softmax is, too. Give it dtype=x.dtype and
    device=x.device."""
    T = x.shape[1]
    scores = torch.zeros(T, T).masked_fill(torch.ones(T, T).tril() == 0, float("-inf"))
    return finish(self, x, F.softmax(scores, dim=-1))


@mistake("4")
def built_on_the_cpu(self, x):
    """The scores, or their mask, are built on the CPU, whatever device x is on. Make both with device=x.device, so that
    it works on a GPU, too."""
    T = x.shape[1]
    scores = torch.zeros(T, T, dtype=x.dtype).masked_fill(torch.ones(T, T).tril() == 0, float("-inf"))
    return finish(self, x, F.softmax(scores, dim=-1))


@mistake("4")
def scores_always_float32(self, x):
    """The scores are on the device of x, but are always float32, and so are the weights, which cannot be multiplied
    with an x in another precision. Give the scores dtype=x.dtype."""
    return finish(self, x, masked(x.float()).softmax(dim=-1))


@mistake("4")
def result_always_float32(self, x):
    """Everything is computed in float32, and given back so, whatever the precision of x. What comes in as float64
    should come out as float64: give the scores the dtype of x."""
    return finish(self, x.float(), masked(x.float()).softmax(dim=-1))


@mistake("4")
def loop_over_time(self, x):
    """The right numbers, but one token after another, in a loop. One product, wei @ x, does all T places at once."""
    self.wei = masked(x).softmax(dim=-1)
    return torch.stack([(weights[:, None] * x).sum(dim=1) for weights in self.wei], dim=1)


@mistake("4")
def loop_over_the_batch(self, x):
    """The right numbers, but one example after another, in a loop. (T, T) @ (B, T, C) multiplies all of them at
    once."""
    self.wei = masked(x).softmax(dim=-1)
    return torch.stack([self.wei @ example for example in x])


@mistake("4")
def loops_over_batch_and_time(self, x):
    """The right numbers, but in two loops, as in stage 2. One product, wei @ x, does it at once, and many times
    faster."""
    self.wei = masked(x).softmax(dim=-1)
    return torch.stack([torch.stack([weights @ example for weights in self.wei]) for example in x])


@mistake("4")
def result_detached(self, x):
    """The right numbers, but cut off from the graph (detach, .data, no_grad, or a new tensor made of the numbers): no
    gradient flows back to x. Only what is kept in self.wei may be detached."""
    return finish(self, x, masked(x).softmax(dim=-1)).detach()


@mistake("4")
def averages_written_into_the_input(self, x):
    """The numbers are right, but they are written into x itself (an in-place operation, such as copy_), which the
    caller still needs. The product is a new tensor."""
    return x.copy_(finish(self, x, masked(x).softmax(dim=-1)))


@mistake("4")
def weights_returned(self, x):
    """The weights themselves come back. Their product with x is asked for, and the weights are kept in self.wei."""
    self.wei = masked(x).softmax(dim=-1)
    return self.wei


@mistake("4")
def nothing_returned(self, x):
    """The averages are computed, but there is no `return`, and so HeadVer3 gives None."""
    finish(self, x, masked(x).softmax(dim=-1))
