"""Known mistakes of stage 9: LayerNorm.forward and BlockVer3.forward."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.kit.seeds import seed
from tests.kit.standins import PastMean, with_stand_ins

from . import Outcome, mistake, observed, place


def watched(module: nn.Module, x: Tensor) -> Outcome:
    """What module(x) gives, the gradients that flow back from it, and what has become of x."""
    outcome: Outcome = {}
    lone = x.clone()
    observed(lambda: module(lone))
    outcome["x afterwards"] = lone
    x = x.clone().requires_grad_()
    outcome["out"] = out = observed(lambda: module(x))
    if isinstance(out, Tensor) and out.requires_grad:
        factors = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view(out.shape)
        outcome["backward"] = observed(lambda: (out * factors).sum().backward())
    for name, tensor in (("x", x), *module.named_parameters()):
        outcome[f"gradient of {name}"] = tensor.grad
    return outcome


@place("9-1", "layer_norm.LayerNorm", "forward")
def observe(cls: type) -> Outcome:
    """For several shapes, ordinary and tiny numbers, a constant token, a large eps, and both modes."""
    outcome: Outcome = {}
    probes = [
        ((6,), 2.0, 1e-5), ((5, 6), 2.0, 1e-5), ((2, 5, 6), 2.0, 0.5), ((3, 1, 6), 2.0, 1e-5), ((4, 3, 6), 1e-3, 1e-5),
        ((2, 2, 3, 6), 2.0, 1e-5), ((6, 6), 2.0, 1e-5),
    ]  # fmt: skip
    for shape, scale, eps in probes:
        seed(9)
        norm = cls(6, eps=eps)
        nn.init.normal_(norm.gamma)
        nn.init.normal_(norm.beta)
        x = scale * (1 + torch.randn(shape))
        outcome[f"{shape}"] = watched(norm, x)
        outcome[f"{shape} evaluated"] = observed(lambda norm=norm, x=x: norm.eval()(x))
    outcome["a constant token"] = watched(cls(6), torch.full((1, 2, 6), 3.0))
    return outcome


def centered_and_var(x, dim=-1):
    centered = x - x.mean(dim=dim, keepdim=True)
    return centered, centered.square().mean(dim=dim, keepdim=True)


@mistake("9-1")
def unbiased_variance(self, x):
    """The variance is the unbiased one, divided by C - 1, as x.var() gives it unless told otherwise. It has to be
    the biased one, divided by C: correction=0."""
    centered, _ = centered_and_var(x)
    return self.gamma * centered / torch.sqrt(x.var(dim=-1, keepdim=True) + self.eps) + self.beta


@mistake("9-1")
def eps_outside_the_root(self, x):
    """eps is added to the standard deviation; it has to be added to the variance, under the root: sqrt(var + eps)."""
    centered, var = centered_and_var(x)
    return self.gamma * centered / (torch.sqrt(var) + self.eps) + self.beta


@mistake("9-1")
def std_of_torch_plus_eps(self, x):
    """x.std() divides by C - 1 unless told otherwise, and eps is added to it, outside of the root. It has to be
    sqrt(var + eps), where var is the biased variance, divided by C."""
    centered, _ = centered_and_var(x)
    return self.gamma * centered / (x.std(dim=-1, keepdim=True) + self.eps) + self.beta


@mistake("9-1")
def eps_left_out(self, x):
    """eps is left out. A token whose features are all equal has variance 0, and 0 / 0 is NaN: add eps to the variance,
    under the root."""
    centered, var = centered_and_var(x)
    return self.gamma * centered / torch.sqrt(var) + self.beta


@mistake("9-1")
def eps_of_its_own(self, x):
    """eps is 1e-5, written out or as torch's default; it has to be self.eps, which the constructor was given."""
    centered, var = centered_and_var(x)
    return self.gamma * centered / torch.sqrt(var + 1e-5) + self.beta


@mistake("9-1")
def variance_clamped_at_eps(self, x):
    """The variance is raised to eps where it is smaller; instead, eps is to be *added* to every variance."""
    centered, var = centered_and_var(x)
    return self.gamma * centered / torch.sqrt(var.clamp(min=self.eps)) + self.beta


@mistake("9-1")
def normalized_over_the_last_dimension_but_one(self, x):
    """Mean and variance are taken over dim=-2, so that tokens are mixed with each other (and a single token comes out
    as 0). They have to be taken over the features of each token: dim=-1."""
    centered, var = centered_and_var(x, dim=-2)
    return self.gamma * centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def normalized_over_dimension_1(self, x):
    """Mean and variance are taken over dim=1, which in (B, T, C) is time. They have to be taken over the last
    dimension, however many there are: dim=-1."""
    centered, var = centered_and_var(x, dim=1)
    return self.gamma * centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def normalized_over_dimension_2(self, x):
    """Mean and variance are taken over dim=2, which is right for (B, T, C) alone. The input may have more dimensions,
    or fewer: count from the end, dim=-1."""
    centered, var = centered_and_var(x, dim=2)
    return self.gamma * centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def normalized_over_the_batch(self, x):
    """Mean and variance are taken over dim=0, the batch, so that examples are mixed with each other. They have to be
    taken over the features of each token: dim=-1."""
    centered, var = centered_and_var(x, dim=0)
    return self.gamma * centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def normalized_as_batch_norm_does(self, x):
    """Each feature is normalized over all tokens of all examples, as BatchNorm does. LayerNorm takes mean and variance
    over the features, of each token by itself: dim=-1."""
    centered, var = centered_and_var(x, dim=tuple(range(x.dim() - 1)))
    return self.gamma * centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def normalized_over_time_and_features(self, x):
    """One mean and one variance are taken for all tokens of an example. Each token has its own: dim=-1 alone."""
    centered, var = centered_and_var(x, dim=(-2, -1))
    return self.gamma * centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def normalized_over_everything(self, x):
    """One mean and one variance are taken for the whole input, as x.mean() without a dimension does. Each token has
    its own: dim=-1."""
    centered, var = centered_and_var(x, dim=None)
    return self.gamma * centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def mean_not_subtracted(self, x):
    """The numbers are divided by the standard deviation, but the mean is not subtracted from them first."""
    _, var = centered_and_var(x)
    return self.gamma * x / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def root_mean_square_norm(self, x):
    """The numbers are divided by the root of their mean square, and no mean is subtracted. That is RMSNorm, which later
    models use. LayerNorm subtracts the mean, and divides by the standard deviation."""
    return self.gamma * x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + self.eps) + self.beta


@mistake("9-1")
def mean_square_instead_of_variance(self, x):
    """The mean is subtracted, but the divisor is the root of the mean square of x itself. The variance is the mean
    square of x *minus its mean*."""
    centered, _ = centered_and_var(x)
    return self.gamma * centered / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + self.eps) + self.beta


@mistake("9-1")
def sum_of_squares_instead_of_variance(self, x):
    """The divisor is the root of the *sum* of the squared distances from the mean; the variance is their mean."""
    centered, var = centered_and_var(x)
    return self.gamma * centered / torch.sqrt(var * x.shape[-1] + self.eps) + self.beta


@mistake("9-1")
def mean_distance_instead_of_standard_deviation(self, x):
    """The divisor is the mean distance from the mean, without squares. The standard deviation is the root of the mean
    *squared* distance."""
    centered, _ = centered_and_var(x)
    return self.gamma * centered / (centered.abs().mean(dim=-1, keepdim=True) + self.eps) + self.beta


@mistake("9-1")
def divided_by_the_variance(self, x):
    """The numbers are divided by the variance; it has to be its root, the standard deviation: sqrt(var + eps)."""
    centered, var = centered_and_var(x)
    return self.gamma * centered / (var + self.eps) + self.beta


@mistake("9-1")
def multiplied_by_the_standard_deviation(self, x):
    """The numbers are multiplied by sqrt(var + eps), or divided by its rsqrt, which is the same. Divide by sqrt(...),
    or multiply by rsqrt(...)."""
    centered, var = centered_and_var(x)
    return self.gamma * centered * torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def only_the_mean_divided(self, x):
    """x - mean / std divides the mean alone, because the division comes before the subtraction. Brackets are missing:
    (x - mean) / std."""
    var = centered_and_var(x)[1]
    return self.gamma * (x - x.mean(dim=-1, keepdim=True) / torch.sqrt(var + self.eps)) + self.beta


@mistake("9-1")
def not_divided_at_all(self, x):
    """The mean is subtracted, but nothing is divided by the standard deviation."""
    return self.gamma * centered_and_var(x)[0] + self.beta


@mistake("9-1")
def gamma_forgotten(self, x):
    """The normalized numbers are shifted by beta, but they are not multiplied by gamma, which so is never learned."""
    centered, var = centered_and_var(x)
    return centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def beta_forgotten(self, x):
    """The normalized numbers are multiplied by gamma, but beta is not added, which so is never learned."""
    centered, var = centered_and_var(x)
    return self.gamma * centered / torch.sqrt(var + self.eps)


@mistake("9-1")
def gamma_and_beta_forgotten(self, x):
    """The numbers are normalized, but neither multiplied by gamma nor shifted by beta, which so are never learned."""
    centered, var = centered_and_var(x)
    return centered / torch.sqrt(var + self.eps)


@mistake("9-1")
def gamma_and_beta_swapped(self, x):
    """The normalized numbers are multiplied by beta and shifted by gamma; it has to be the other way round."""
    centered, var = centered_and_var(x)
    return self.beta * centered / torch.sqrt(var + self.eps) + self.gamma


@mistake("9-1")
def gamma_added(self, x):
    """gamma is added to the normalized numbers; they have to be multiplied by it. beta alone is added."""
    centered, var = centered_and_var(x)
    return self.gamma + centered / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def shifted_before_scaled(self, x):
    """beta is added first, and the sum is multiplied by gamma. Multiply by gamma first, then add beta."""
    centered, var = centered_and_var(x)
    return self.gamma * (centered / torch.sqrt(var + self.eps) + self.beta)


@mistake("9-1")
def gamma_inside_the_division(self, x):
    """gamma and beta are part of what is divided by the standard deviation. Normalize first, scale and shift last."""
    centered, var = centered_and_var(x)
    return (self.gamma * centered + self.beta) / torch.sqrt(var + self.eps)


@mistake("9-1")
def mean_and_variance_detached(self, x):
    """The right numbers, but mean and variance are cut off from the graph (detach, no_grad, item), so that the gradient
    of x is wrong: x changes them, too."""
    mean, var = x.mean(dim=-1, keepdim=True).detach(), centered_and_var(x)[1].detach()
    return self.gamma * (x - mean) / torch.sqrt(var + self.eps) + self.beta


@mistake("9-1")
def variance_detached(self, x):
    """The right numbers, but the variance is cut off from the graph (detach, no_grad, item), so that the gradient of x
    is wrong: x changes it, too."""
    centered, var = centered_and_var(x)
    return self.gamma * centered / torch.sqrt(var.detach() + self.eps) + self.beta


@mistake("9-1")
def output_detached(self, x):
    """The right numbers, but computed under no_grad or detached: no gradient reaches gamma or beta."""
    centered, var = centered_and_var(x)
    return (self.gamma * centered / torch.sqrt(var + self.eps) + self.beta).detach()


@mistake("9-1")
def keepdim_forgotten(self, x):
    """Mean and variance lose the last dimension, so that (B, T) meets (B, T, C): an error, or a wrong number where the
    sizes happen to fit. Keep it: keepdim=True."""
    centered = x - x.mean(dim=-1)
    return self.gamma * centered / torch.sqrt(x.var(dim=-1, correction=0) + self.eps) + self.beta


@mistake("9-1")
def keepdim_forgotten_by_the_mean(self, x):
    """The mean loses the last dimension, so that x - mean sets (B, T, C) against (B, T). Keep it: keepdim=True."""
    centered = x - x.mean(dim=-1)
    return self.gamma * centered / torch.sqrt(x.var(dim=-1, correction=0, keepdim=True) + self.eps) + self.beta


@mistake("9-1")
def keepdim_forgotten_by_the_variance(self, x):
    """The variance loses the last dimension, so that the division sets (B, T, C) against (B, T). Keep it:
    keepdim=True."""
    centered = x - x.mean(dim=-1, keepdim=True)
    return self.gamma * centered / torch.sqrt(x.var(dim=-1, correction=0) + self.eps) + self.beta


@mistake("9-1")
def keepdim_forgotten_by_both_means(self, x):
    """Both means lose the last dimension, so that (B, T) meets (B, T, C). Keep it in both: keepdim=True."""
    centered = x - x.mean(dim=-1)
    return self.gamma * centered / torch.sqrt(centered.square().mean(dim=-1) + self.eps) + self.beta


@mistake("9-1")
def input_changed_in_place(self, x):
    """x -= mean changes the caller's x, which the residual connection still needs. Make a new tensor: x - mean."""
    x -= x.mean(dim=-1, keepdim=True)
    return self.gamma * x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + self.eps) + self.beta


@place("9-2", "block_v3.BlockVer3", "forward")
def observe_block(cls: Any) -> Outcome:
    """Outputs, gradients and x afterwards, with layers of our own in the block; an example alone, one token alone."""
    outcome: Outcome = {}
    for B, T in ((2, 5), (1, 3), (3, 1)):
        seed(9)
        block = with_stand_ins(cls(PastMean(6), 6), 6)
        x = 1 + 2 * torch.randn(B, T, 6)
        outcome[f"{T}"] = watched(block, x)
        outcome[f"{T} evaluated"] = observed(lambda block=block, x=x: block.eval()(x))
    return outcome


@mistake("9-2")
def not_normalized(self, x):
    """Neither ln1 nor ln2 is used: this is BlockVer2. Normalize what goes into self.head and into self.ffwd."""
    x = x + self.head(x)
    return x + self.ffwd(x)


@mistake("9-2")
def ln1_forgotten(self, x):
    """The head gets x as it is; it has to get ln1(x)."""
    x = x + self.head(x)
    return x + self.ffwd(self.ln2(x))


@mistake("9-2")
def ln2_forgotten(self, x):
    """The feed-forward layer gets its input as it is; it has to be normalized by ln2."""
    x = x + self.head(self.ln1(x))
    return x + self.ffwd(x)


@mistake("9-2")
def normalized_after_the_sum(self, x):
    """ln1 and ln2 come after the residual sums: ln1(x + head(x)). That is post-norm, as in the paper of 2017. Here it
    is pre-norm: they come before head and feed-forward, and the sum stays as it is."""
    x = self.ln1(x + self.head(x))
    return self.ln2(x + self.ffwd(x))


@mistake("9-2")
def outputs_of_the_branches_normalized(self, x):
    """ln1 and ln2 are put on what head and feed-forward give; they belong on what these two are given."""
    x = x + self.ln1(self.head(x))
    return x + self.ln2(self.ffwd(x))


@mistake("9-2")
def normalized_before_and_after(self, x):
    """head and feed-forward get normalized inputs, but the sums are normalized once more. Leave the sums alone."""
    x = self.ln1(x + self.head(self.ln1(x)))
    return self.ln2(x + self.ffwd(self.ln2(x)))


@mistake("9-2")
def ln1_used_twice(self, x):
    """ln1 is used before the feed-forward layer, too; ln2 belongs there."""
    x = x + self.head(self.ln1(x))
    return x + self.ffwd(self.ln1(x))


@mistake("9-2")
def ln2_used_twice(self, x):
    """ln2 is used before the head, too; ln1 belongs there."""
    x = x + self.head(self.ln2(x))
    return x + self.ffwd(self.ln2(x))


@mistake("9-2")
def ln1_and_ln2_swapped(self, x):
    """ln2 is used before the head, and ln1 before the feed-forward layer; it has to be the other way round."""
    x = x + self.head(self.ln2(x))
    return x + self.ffwd(self.ln1(x))


@mistake("9-2")
def residual_normalized_too(self, x):
    """x itself is replaced by ln1(x), and later by ln2(x), so that the residual connection carries the normalized
    numbers. Normalize only what head and feed-forward get; add their outputs to x as it was."""
    x = self.ln1(x)
    x = x + self.head(x)
    x = self.ln2(x)
    return x + self.ffwd(x)


@mistake("9-2")
def no_residual_connections(self, x):
    """Head and feed-forward get normalized inputs, but what they give is not added to x: both residual connections are
    missing."""
    return self.ffwd(self.ln2(self.head(self.ln1(x))))


@mistake("9-2")
def residual_of_the_head_missing(self, x):
    """What the head gives is not added to x, but takes its place: the first residual connection is missing."""
    x = self.head(self.ln1(x))
    return x + self.ffwd(self.ln2(x))


@mistake("9-2")
def residual_of_the_feed_forward_missing(self, x):
    """What the feed-forward layer gives is not added to its input: the second residual connection is missing."""
    x = x + self.head(self.ln1(x))
    return self.ffwd(self.ln2(x))


@mistake("9-2")
def sum_with_the_first_x(self, x):
    """The feed-forward layer's output is added to the x that came in, so that the head's is lost on the way. Add it to
    the sum of x and the head's output."""
    h = x + self.head(self.ln1(x))
    return x + self.ffwd(self.ln2(h))


@mistake("9-2")
def side_by_side(self, x):
    """Head and ffwd both work on the x that came in. They work one after the other: ffwd gets (normalized) the sum of x
    and the head's output."""
    return x + self.head(self.ln1(x)) + self.ffwd(self.ln2(x))


@mistake("9-2")
def feed_forward_gets_the_head_alone(self, x):
    """The feed-forward layer gets the head's output alone; it has to get (normalized) x plus that output."""
    h = self.head(self.ln1(x))
    return x + h + self.ffwd(self.ln2(h))


@mistake("9-2")
def feed_forward_first(self, x):
    """The feed-forward layer comes before the head; it has to be the other way round."""
    x = x + self.ffwd(self.ln2(x))
    return x + self.head(self.ln1(x))


@mistake("9-2")
def head_only(self, x):
    """The block ends after the head: the feed-forward layer is not used."""
    return x + self.head(self.ln1(x))


@mistake("9-2")
def block_input_changed_in_place(self, x):
    """x += ... changes the caller's tensor. Make a new one: x = x + ..."""
    x += self.head(self.ln1(x))
    return x + self.ffwd(self.ln2(x))


@mistake("9-2")
def branches_detached(self, x):
    """The right numbers, but head and feed-forward are cut off from the graph (detach, no_grad), and never learn."""
    x = x + self.head(self.ln1(x)).detach()
    return x + self.ffwd(self.ln2(x)).detach()
