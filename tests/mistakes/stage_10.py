"""Known mistakes of stage 10: BlockVer4.forward."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.devices import placement
from tests.kit.seeds import seed
from tests.kit.standins import Function, PastMean, with_stand_ins

from . import Outcome, mistake, observed, place
from .stage_9 import watched


def constant(value: float) -> nn.Module:
    """Gives the same number everywhere, in the shape of its input."""
    return Function(lambda x: torch.full_like(x, value))


@place("10", "block_v4.BlockVer4", "forward")
def observe(cls: Any) -> Outcome:
    """What does not depend on random numbers: results without dropout, and which results occur with it, how often."""
    outcome: Outcome = {}
    for mode in ("train", "eval"):
        training = mode == "train"

        seed(10)
        block = with_stand_ins(cls(PastMean(6), 6, 0.0 if training else 0.5), 6).train(training)
        x = 1 + 2 * torch.randn(2, 5, 6)
        first, again = watched(block, x), watched(block, x)
        outcome[f"{mode} without dropout"] = {"x": first["x afterwards"], **(first if _equal(first, again) else {})}
        outcome[f"{mode} afterwards"] = block.training

        block = with_stand_ins(cls(constant(3.0), 4, 0.5), 4, ffwd=constant(30.0)).train(training)
        block.dropout1.p, block.dropout2.p = 0.25, 0.5
        x = torch.full((64, 64, 4), 100.0)
        outcome[f"{mode} numbers"] = observed(lambda block=block, x=x: _numbers(block, x))

        for p1, p2 in ((0.5, 0.0), (0.0, 0.5)):
            seed(10)
            block = with_stand_ins(cls(nn.Linear(3, 3), 3, 0.5), 3).double().train(training)
            block.dropout1.p, block.dropout2.p = p1, p2
            x = (1 + 2 * torch.randn(3, dtype=torch.float64)).expand(48, 48, 3).clone()
            outcome[f"{mode} tokens {p1} {p2}"] = observed(lambda block=block, x=x: _tokens(block, x))

    block = with_stand_ins(cls(PastMean(6), 6, 0.5), 6)
    outcome["device"] = observed(lambda: placement(block, torch.zeros(2, 5, 6)))
    return outcome


def _equal(a: Outcome, b: Outcome) -> bool:
    return isinstance(a["out"], Tensor) and isinstance(b["out"], Tensor) and torch.equal(a["out"], b["out"])


def _alike(out: Tensor) -> Outcome:
    """Whether all tokens of an example, all examples, and all features have the same dropped; they are equal in x."""
    return {
        "tokens": torch.equal(out, out[:, :1].expand_as(out)),
        "examples": torch.equal(out, out[:1].expand_as(out)),
        "features": torch.equal(out, out[..., :1].expand_as(out)),
    }


def _numbers(block: nn.Module, x: Tensor) -> Outcome:
    """Which numbers occur in the output, and how often (in sixteenths), where both branches give constants."""
    out = block(x.clone()).detach()
    outcome = {"alike": _alike(out), "again": torch.equal(out, block(x.clone()))}
    found, counts = (100 * out).round().unique(return_counts=True)
    if len(found) <= 64:
        outcome["numbers"] = found / 100
        if not any(outcome["alike"].values()):
            outcome["sixteenths"] = (16 * counts / out.numel()).round()
    return outcome


def _tokens(block: nn.Module, x: Tensor) -> Outcome:
    """Which tokens occur in the output, where all of the input are the same one."""
    out = block(x.clone()).detach()
    alike = _alike(out)
    if alike["tokens"] and alike["examples"]:
        return {"tokens": out[0, 0] if torch.equal(out, block(x.clone())) else "one at random"}
    coded = (100 * out).round().flatten(0, 1) @ torch.tensor([1e8, 1e4, 1.0], dtype=out.dtype)  # one number a token
    found = coded.unique()
    return {"tokens": found.tolist() if len(found) <= 64 else "many"}


def gathered(self, x):
    """x1, where all is right."""
    return x + self.dropout1(self.head(self.ln1(x)))


def kept(like, p, shape=None):
    """A mask of ones and zeros, where p is the chance of a zero."""
    return (torch.rand(shape or like.shape, device=like.device) >= p).to(like.dtype)


@mistake("10")
def nothing_dropped(self, x):
    """Nothing is dropped in train mode: dropout1 and dropout2 are not used, or what they give is thrown away."""
    x = x + self.head(self.ln1(x))
    return x + self.ffwd(self.ln2(x))


@mistake("10")
def dropout1_forgotten(self, x):
    """The head's output goes into the sum as it is; dropout1 is missing."""
    x = x + self.head(self.ln1(x))
    return x + self.dropout2(self.ffwd(self.ln2(x)))


@mistake("10")
def dropout2_forgotten(self, x):
    """The feed-forward layer's output goes into the sum as it is; dropout2 is missing."""
    x = gathered(self, x)
    return x + self.ffwd(self.ln2(x))


@mistake("10")
def dropout1_and_dropout2_swapped(self, x):
    """dropout2 is on the head's output, and dropout1 on the feed-forward layer's; it has to be the other way round."""
    x = x + self.dropout2(self.head(self.ln1(x)))
    return x + self.dropout1(self.ffwd(self.ln2(x)))


@mistake("10")
def dropout1_used_twice(self, x):
    """dropout1 is used for both branches; the feed-forward layer's output belongs to dropout2."""
    x = gathered(self, x)
    return x + self.dropout1(self.ffwd(self.ln2(x)))


@mistake("10")
def dropout2_used_twice(self, x):
    """dropout2 is used for both branches; the head's output belongs to dropout1."""
    x = x + self.dropout2(self.head(self.ln1(x)))
    return x + self.dropout2(self.ffwd(self.ln2(x)))


@mistake("10")
def both_dropouts_on_each_branch(self, x):
    """Each branch's output goes through dropout1 *and* dropout2. dropout1 is for the head alone, and dropout2 for the
    feed-forward layer alone."""
    x = x + self.dropout2(self.dropout1(self.head(self.ln1(x))))
    return x + self.dropout2(self.dropout1(self.ffwd(self.ln2(x))))


@mistake("10")
def dropout_after_the_residual_sums(self, x):
    """The sums are dropped, x included: dropout1(x + head(...)). Only what a branch adds is dropped, before the sum, so
    that the residual connection always carries x."""
    x = self.dropout1(x + self.head(self.ln1(x)))
    return self.dropout2(x + self.ffwd(self.ln2(x)))


@mistake("10")
def last_sum_dropped(self, x):
    """dropout2 is on the last sum, and so drops x and the head's part, too. It belongs on the feed-forward layer's
    output alone, before the sum."""
    x = gathered(self, x)
    return self.dropout2(x + self.ffwd(self.ln2(x)))


@mistake("10")
def inputs_of_the_branches_dropped(self, x):
    """Dropout is on what head and feed-forward are given, after ln1 and ln2; it belongs on what they give."""
    x = x + self.head(self.dropout1(self.ln1(x)))
    return x + self.ffwd(self.dropout2(self.ln2(x)))


@mistake("10")
def inputs_of_the_norms_dropped(self, x):
    """Dropout is on what ln1 and ln2 are given; it belongs on what head and feed-forward give."""
    x = x + self.head(self.ln1(self.dropout1(x)))
    return x + self.ffwd(self.ln2(self.dropout2(x)))


@mistake("10")
def residual_dropped_instead_of_the_branch(self, x):
    """Dropout is on x, not on what the branch adds to it: dropout1(x) + head(...). It has to be x + dropout1(...)."""
    x = self.dropout1(x) + self.head(self.ln1(x))
    return self.dropout2(x) + self.ffwd(self.ln2(x))


@mistake("10")
def dropped_in_eval_mode_too(self, x):
    """Numbers are dropped in eval mode, too. The layers dropout1 and dropout2 know the mode by themselves. F.dropout
    has to be told it (training=self.training), and a layer made in forward is always in train mode."""
    x = x + F.dropout(self.head(self.ln1(x)), self.dropout1.p)
    return x + F.dropout(self.ffwd(self.ln2(x)), self.dropout2.p)


@mistake("10")
def half_dropped_whatever_the_rate(self, x):
    """F.dropout drops with probability 0.5 unless told otherwise. Use the layers dropout1 and dropout2, which know the
    rate that the constructor was given."""
    x = x + F.dropout(self.head(self.ln1(x)), training=self.training)
    return x + F.dropout(self.ffwd(self.ln2(x)), training=self.training)


@mistake("10")
def half_dropped_in_eval_mode_too(self, x):
    """F.dropout drops with probability 0.5, and in eval mode too, unless told otherwise. Use the layers dropout1 and
    dropout2, which know rate and mode."""
    x = x + F.dropout(self.head(self.ln1(x)))
    return x + F.dropout(self.ffwd(self.ln2(x)))


@mistake("10")
def dropped_in_eval_mode_instead(self, x):
    """The modes are the wrong way round: numbers are dropped in eval mode, and none in train mode."""
    x = x + F.dropout(self.head(self.ln1(x)), self.dropout1.p, not self.training)
    return x + F.dropout(self.ffwd(self.ln2(x)), self.dropout2.p, not self.training)


@mistake("10")
def survivors_not_scaled_up(self, x):
    """Numbers are dropped, but those that stay are not divided by 1 - p, so that the sum is smaller in train mode than
    in eval mode, on average."""
    h = self.head(self.ln1(x))
    x = x + (h * kept(h, self.dropout1.p) if self.training else h)
    h = self.ffwd(self.ln2(x))
    return x + (h * kept(h, self.dropout2.p) if self.training else h)


@mistake("10")
def scaled_down_in_eval_mode(self, x):
    """Train mode drops without scaling up, and eval mode multiplies by 1 - p, as in the paper of 2014. Here it is as in
    nn.Dropout: train mode divides by 1 - p, and eval mode leaves the numbers as they are."""
    h = self.head(self.ln1(x))
    x = x + h * (kept(h, self.dropout1.p) if self.training else 1 - self.dropout1.p)
    h = self.ffwd(self.ln2(x))
    return x + h * (kept(h, self.dropout2.p) if self.training else 1 - self.dropout2.p)


@mistake("10")
def rate_taken_for_the_share_that_stays(self, x):
    """The rate is taken for the probability that a number stays; it is the probability that a number is dropped."""
    x = x + F.dropout(self.head(self.ln1(x)), 1 - self.dropout1.p, self.training)
    return x + F.dropout(self.ffwd(self.ln2(x)), 1 - self.dropout2.p, self.training)


@mistake("10")
def one_mask_for_both_branches(self, x):
    """The same numbers are dropped in both branches, by one mask. Each branch has a mask of its own."""
    mask = self.dropout1(torch.ones_like(x))
    x = x + self.head(self.ln1(x)) * mask
    return x + self.ffwd(self.ln2(x)) * mask


def by_a_mask_of_shape(self, x, shape):
    """Drop with masks that are repeated along the dimensions that are 1 in their shape."""
    x = x + self.head(self.ln1(x)) * self.dropout1(torch.ones(shape, dtype=x.dtype, device=x.device))
    return x + self.ffwd(self.ln2(x)) * self.dropout2(torch.ones(shape, dtype=x.dtype, device=x.device))


@mistake("10")
def whole_tokens_dropped(self, x):
    """A token loses all features of a branch or none of them. Each *number* is dropped or kept by itself."""
    return by_a_mask_of_shape(self, x, (x.shape[0], x.shape[1], 1))


@mistake("10")
def whole_examples_dropped(self, x):
    """An example loses a whole branch or nothing of it. Each *number* is dropped or kept by itself."""
    return by_a_mask_of_shape(self, x, (x.shape[0], 1, 1))


@mistake("10")
def whole_features_dropped(self, x):
    """A feature is dropped in all tokens of an example or in none. Each *number* is dropped or kept by itself."""
    return by_a_mask_of_shape(self, x, (x.shape[0], 1, x.shape[2]))


@mistake("10")
def one_mask_for_all_examples(self, x):
    """All examples of a batch lose the same numbers, by one (T, C) mask. Each *number* is dropped or kept by itself."""
    return by_a_mask_of_shape(self, x, x.shape[1:])


@mistake("10")
def one_mask_for_all_tokens(self, x):
    """All tokens of all examples lose the same features, by one (C,) mask. Each *number* is dropped or kept by
    itself."""
    return by_a_mask_of_shape(self, x, x.shape[2:])


@mistake("10")
def same_masks_at_every_call(self, x):
    """Every call drops the same numbers: the masks are kept from the first call, or a seed is set before they are
    drawn. Each call has to draw new ones."""
    h = self.head(self.ln1(x))
    if getattr(self, "masks", None) is None or self.masks[0].shape != x.shape:
        self.masks = (
            kept(h, self.dropout1.p) / (1 - self.dropout1.p),
            kept(h, self.dropout2.p) / (1 - self.dropout2.p),
        )
    x = x + (h * self.masks[0] if self.training else h)
    h = self.ffwd(self.ln2(x))
    return x + (h * self.masks[1] if self.training else h)


@mistake("10")
def mask_built_on_the_cpu(self, x):
    """The masks are built on the CPU, whatever device x is on; on a GPU this would fail. Use dropout1 and dropout2, or
    build them with device=x.device."""
    h = self.head(self.ln1(x))
    x = x + (h * ((torch.rand(h.shape) >= self.dropout1.p) / (1 - self.dropout1.p)) if self.training else h)
    h = self.ffwd(self.ln2(x))
    return x + (h * ((torch.rand(h.shape) >= self.dropout2.p) / (1 - self.dropout2.p)) if self.training else h)


@mistake("10")
def head_dropped_anew_for_feed_forward(self, x):
    """dropout1 is called twice, and each call draws another mask: the feed-forward layer sees another sum than the one
    to which its output is added. Compute x + dropout1(...) once, and use it for both."""
    return gathered(self, x) + self.dropout2(self.ffwd(self.ln2(gathered(self, x))))


@mistake("10")
def feed_forward_sees_the_head_undropped(self, x):
    """The feed-forward layer gets x plus all of the head's output, and dropout1 comes only in the last sum. It has to
    get x plus what dropout1 left."""
    h = self.head(self.ln1(x))
    return x + self.dropout1(h) + self.dropout2(self.ffwd(self.ln2(x + h)))


@mistake("10")
def normalizations_forgotten(self, x):
    """ln1 and ln2 are not used any more: head and feed-forward have to get normalized inputs, as in BlockVer3."""
    x = x + self.dropout1(self.head(x))
    return x + self.dropout2(self.ffwd(x))


@mistake("10")
def normalized_after_the_sum(self, x):
    """ln1 and ln2 come after the sums: ln1(x + dropout1(head(x))). As in BlockVer3, they come before head and
    feed-forward, and the sums stay as they are."""
    x = self.ln1(x + self.dropout1(self.head(x)))
    return self.ln2(x + self.dropout2(self.ffwd(x)))


@mistake("10")
def residual_connections_lost(self, x):
    """What dropout leaves of a branch takes the place of x; it has to be added to x."""
    x = self.dropout1(self.head(self.ln1(x)))
    return self.dropout2(self.ffwd(self.ln2(x)))


@mistake("10")
def sum_with_the_first_x(self, x):
    """The feed-forward layer's part is added to the x that came in, so that the head's is lost on the way. Add it to
    the sum of x and the head's part."""
    return x + self.dropout2(self.ffwd(self.ln2(gathered(self, x))))


@mistake("10")
def side_by_side(self, x):
    """Head and feed-forward both work on the x that came in; feed-forward has to get (normalized) the sum of x and the
    head's part."""
    return gathered(self, x) + self.dropout2(self.ffwd(self.ln2(x)))


@mistake("10")
def input_changed_in_place(self, x):
    """x += dropout1(...) changes the caller's tensor. Make a new one: x = x + dropout1(...)."""
    x += self.dropout1(self.head(self.ln1(x)))
    return x + self.dropout2(self.ffwd(self.ln2(x)))


@mistake("10")
def branches_detached(self, x):
    """The right numbers, but what dropout gets is cut off from the graph (detach, no_grad), so that head and ffwd never
    learn."""
    x = x + self.dropout1(self.head(self.ln1(x)).detach())
    return x + self.dropout2(self.ffwd(self.ln2(x)).detach())
