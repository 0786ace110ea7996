"""Known mistakes of stage 3: HeadVer2.forward."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.kit.costs import steps
from tests.kit.devices import placement

from . import Outcome, mistake, place


@place("3", "head_v2.HeadVer2", "forward")
def observe(cls: type) -> Outcome:
    """What a head without parameters does; see `observe_average`."""
    return observe_average(cls)


def observe_average(cls: type) -> Outcome:
    """Outputs, gradients, the input afterwards, a second call, the precision, the device, and whether it loops."""
    outcome: Outcome = {}
    for B, T, C in ((2, 5, 3), (1, 4, 2), (3, 2, 4), (2, 1, 3), (4, 4, 4)):
        values = 2 * torch.randn(B, T, C, generator=torch.Generator().manual_seed(T))
        x = values.clone()
        outcome[f"out {B} {T} {C}"] = ended(lambda x=x: kept(cls()(x)))
        outcome[f"x {B} {T} {C}"] = x
        leaf = values.clone().requires_grad_()
        outcome[f"gradient {B} {T} {C}"] = ended(lambda leaf=leaf: gradient(cls()(leaf), leaf))
        inner = values.clone().requires_grad_()
        outcome[f"inner gradient {B} {T} {C}"] = ended(lambda inner=inner: gradient(cls()(inner * 1), inner))
    head = cls()
    for T in (3, 2, 5):
        x = torch.arange(2.0 * T).view(1, T, 2).square()
        outcome[f"same head {T}"] = ended(lambda x=x: kept(head(x)))
    double = torch.tensor([[[1.0, 1e-9], [1 + 1e-9, 0.0]]], dtype=torch.float64)
    outcome["precision"] = [
        ended(lambda: str(cls()(double).dtype)),
        ended(lambda: abs(cls()(double)[0, 1, 0].item() - 1 - 5e-10) < 1e-12),
    ]
    outcome["device"] = ended(lambda: placement(cls(), double))
    outcome["loop over time"] = ended(lambda: _steps(cls(), 2, 64) > 4 * _steps(cls(), 2, 4))
    outcome["loop over the batch"] = ended(lambda: _steps(cls(), 32, 2) > 4 * _steps(cls(), 2, 2))
    return outcome


def _steps(head: Any, B: int, T: int) -> int:
    return steps(head(torch.ones(B, T, 2).requires_grad_()))


def kept(out: Any) -> Any:
    return out.detach().clone() if isinstance(out, Tensor) else str(type(out))


def gradient(out: Any, leaf: Tensor) -> Any:
    if not isinstance(out, Tensor) or not out.requires_grad:
        return None
    factors = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((out * factors).sum(), leaf, allow_unused=True)[0]


def ended(look: Callable[[], Any]) -> Any:
    """What `look` gives, or the first line of the error that it ends with: many mistakes end with one."""
    try:
        return look()
    except NotImplementedError as error:
        if str(error).startswith("TODO"):
            raise
        return "NotImplementedError"
    except Exception as error:
        if "dtype" in str(error) or "scalar type" in str(error):
            return "dtypes that do not go together"
        return f"{type(error).__name__}: {error}".splitlines()[0]


def triangle(x, size=None, diagonal=0):
    """Ones on and below the diagonal, zeros above it."""
    size = x.shape[1] if size is None else size
    return torch.ones(size, size, dtype=x.dtype, device=x.device).tril(diagonal)


def averaging(x, size=None, diagonal=0):
    weights = triangle(x, size, diagonal)
    return weights / weights.sum(dim=1, keepdim=True)


@mistake("3")
def rows_not_divided_by_their_sum(self, x):
    """The lower triangle of ones sums up the present and the past. For the mean, each row has to be divided by its
    sum, t + 1."""
    return triangle(x) @ x


@mistake("3")
def all_rows_divided_by_the_number_of_tokens(self, x):
    """Every row of the triangle is divided by T. Row t has only t + 1 ones in it: divide each row by its own sum."""
    return triangle(x) / x.shape[1] @ x


@mistake("3")
def divided_by_the_sum_of_the_whole_matrix(self, x):
    """The triangle is divided by the sum of all its entries (sum without a dim). Each row has a sum of its own."""
    return triangle(x) / triangle(x).sum() @ x


@mistake("3")
def divided_by_the_sums_of_the_columns(self, x):
    """The triangle is divided by the sums of its columns (dim=0). Row t holds the weights of token t's average: the
    *rows* have to sum to 1."""
    return triangle(x) / triangle(x).sum(dim=0, keepdim=True) @ x


@mistake("3")
def sums_of_the_rows_without_keepdim(self, x):
    """The sums of the rows are right, but have the shape (T,), which broadcasts along the columns: entry (t, s) is
    divided by the sum of row s. As (T, 1), with keepdim=True, each row is divided by its own."""
    return triangle(x) / triangle(x).sum(dim=1) @ x


@mistake("3")
def divided_by_t(self, x):
    """Row t is divided by t. Counting starts at 0, so that t + 1 tokens are in its sum (and the first one is divided
    by 0)."""
    counts = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)
    return x.cumsum(dim=1) / counts[:, None]


@mistake("3")
def counts_laid_along_the_embedding(self, x):
    """The sums are (B, T, C) and the counts (T,): they are broadcast along C, which either fails or divides the wrong
    numbers. The counts belong to time: make them (T, 1)."""
    counts = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
    return (triangle(x) @ x) / counts


@mistake("3")
def divided_without_a_remainder(self, x):
    """// drops everything behind the point, so that 1 // 2 is 0, and all rows but the first are empty. Divide
    with /."""
    return triangle(x) // triangle(x).sum(dim=1, keepdim=True) @ x


@mistake("3")
def matrix_without_a_triangle(self, x):
    """Every entry of the matrix is 1 / T: each token becomes the average of the whole sequence, its future included.
    tril keeps the lower triangle."""
    return torch.ones_like(triangle(x)) / x.shape[1] @ x


@mistake("3")
def upper_triangle(self, x):
    """The triangle is the upper one (triu): each token is averaged with its *future*. The past is below the
    diagonal: tril."""
    weights = torch.ones_like(triangle(x)).triu()
    return weights / weights.sum(dim=1, keepdim=True) @ x


@mistake("3")
def matrix_transposed(self, x):
    """The matrix has the right numbers, but is transposed before the product: what is a row should be a column. Row t
    holds the weights of token t's average."""
    return averaging(x).T @ x


@mistake("3")
def diagonal_left_out(self, x):
    """The triangle ends below the diagonal, and so leaves the present out (and the first row is 0 / 0, which is NaN).
    tril without a second argument keeps the diagonal."""
    return averaging(x, diagonal=-1) @ x


@mistake("3")
def triangle_one_too_wide(self, x):
    """The triangle ends one above the diagonal: each token also sees the one right after it."""
    return averaging(x, diagonal=1) @ x


@mistake("3")
def softmax_without_a_mask(self, x):
    """A softmax is taken of the triangle of ones and zeros. Then a zero still has the weight exp(0) = 1, and the
    future is in the average. Divide each row by its sum (a softmax comes with its mask in stage 4)."""
    return triangle(x).softmax(dim=-1) @ x


@mistake("3")
def matrix_of_the_size_of_the_embedding(self, x):
    """The matrix is C x C; it has to be T x T. x is (B, T, C): T is x.shape[1]."""
    return averaging(x, size=x.shape[2]) @ x


@mistake("3")
def matrix_of_the_size_of_the_batch(self, x):
    """The matrix is B x B; it has to be T x T. x is (B, T, C): T is x.shape[1]."""
    return averaging(x, size=x.shape[0]) @ x


@mistake("3")
def factors_swapped(self, x):
    """x @ W multiplies along the embedding, and fits only where T is C. The matrix comes first: W @ x multiplies along
    time."""
    return x @ averaging(x)


@mistake("3")
def multiplied_number_by_number(self, x):
    """W * x multiplies number by number; a matrix product, which sums over the tokens, is W @ x."""
    return averaging(x) * x


@mistake("3")
def averaged_over_the_embedding(self, x):
    """The running mean goes along the C numbers of each token (dim=-1). Time is dim 1 of (B, T, C)."""
    return x.cumsum(dim=-1) / torch.arange(1, x.shape[2] + 1, dtype=x.dtype, device=x.device)


@mistake("3")
def averaged_over_the_batch(self, x):
    """The running mean goes along the examples of the batch (dim=0), which have nothing to do with each other. Time is
    dim 1 of (B, T, C)."""
    return x.cumsum(dim=0) / torch.arange(1, x.shape[0] + 1, dtype=x.dtype, device=x.device)[:, None, None]


@mistake("3")
def batch_and_time_mixed_by_a_reshape(self, x):
    """x is reshaped to (T, B * C), which only cuts the numbers anew: tokens of other examples get into the average,
    unless B is 1. It needs no reshape: (T, T) @ (B, T, C) multiplies each example."""
    B, T, C = x.shape
    return (averaging(x) @ x.reshape(T, B * C)).reshape(B, T, C)


@mistake("3")
def first_example_taken_for_all(self, x):
    """Only x[0] is multiplied. (T, T) @ (B, T, C) multiplies each example of the batch."""
    return averaging(x) @ x[0]


@mistake("3")
def averaged_twice(self, x):
    """The product is taken twice, so that these are averages of averages. Multiply once."""
    return averaging(x) @ (averaging(x) @ x)


@mistake("3")
def matrix_returned(self, x):
    """The averaging matrix itself comes back. Its product with x is asked for."""
    return averaging(x)


@mistake("3")
def matrix_always_float32_on_the_cpu(self, x):
    """torch.ones(T, T) is float32 and on the CPU, whatever x is, and does not go together with an x that is not. Give
    it dtype=x.dtype and device=x.device."""
    weights = torch.ones(x.shape[1], x.shape[1]).tril()
    return weights / weights.sum(dim=1, keepdim=True) @ x


@mistake("3")
def built_on_the_cpu(self, x):
    """What x is multiplied with, or divided by, has the dtype of x, but not its device. Give it device=x.device, so
    it works on a GPU, too."""
    weights = torch.ones(x.shape[1], x.shape[1], dtype=x.dtype).tril()
    return weights / weights.sum(dim=1, keepdim=True) @ x


@mistake("3")
def matrix_always_float32(self, x):
    """The matrix is on the device of x, but is always float32, and so cannot be multiplied with an x in another
    precision. Give it dtype=x.dtype."""
    weights = torch.ones(x.shape[1], x.shape[1], device=x.device).tril()
    return weights / weights.sum(dim=1, keepdim=True) @ x


@mistake("3")
def result_always_float32(self, x):
    """Everything is computed in float32, and given back so, whatever the precision of x. What comes in as float64
    should come out as float64: give the matrix the dtype of x."""
    x = x.float()
    return averaging(x) @ x


@mistake("3")
def two_loops_as_before(self, x):
    """The right numbers, but one token after another, as in HeadVer1: two loops. One product of a (T, T) matrix with x
    does it at once, and many times faster."""
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            out[b, t] = x[b, : t + 1].mean(dim=0)
    return out


@mistake("3")
def loop_over_time(self, x):
    """The right numbers, but one place in time after another, in a loop. One product of a (T, T) matrix with x does
    all T places at once."""
    return torch.stack([x[:, : t + 1].mean(dim=1) for t in range(x.shape[1])], dim=1)


@mistake("3")
def loop_over_the_batch(self, x):
    """The right numbers, but one example after another, in a loop. (T, T) @ (B, T, C) multiplies all examples at
    once."""
    return torch.stack([averaging(x) @ example for example in x])


@mistake("3")
def result_detached(self, x):
    """The right numbers, but cut off from the graph (detach, .data, no_grad, or a new tensor made of the numbers): no
    gradient flows back to x, and nothing before this head can learn."""
    return (averaging(x) @ x).detach()


@mistake("3")
def averages_written_into_the_input(self, x):
    """The numbers are right, but they are written into x itself (an in-place operation, such as cumsum_ or copy_),
    which the caller still needs. Make a new tensor."""
    return x.copy_(averaging(x) @ x)


@mistake("3")
def matrix_kept_from_the_first_call(self, x):
    """The matrix is built in the first call and used in all later ones, whose sequences may have another length. Build
    it anew, or whenever T changes."""
    if not hasattr(self, "weights"):
        self.weights = averaging(x)
    return self.weights @ x


@mistake("3")
def nothing_returned(self, x):
    """The averages are computed, but there is no `return`, and so HeadVer2 gives None."""
    averaging(x) @ x


@mistake("3")
def input_given_back(self, x):
    """x comes back as it is: no token sees anything but itself."""
    return x
