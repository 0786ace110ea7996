"""Stage 4: the same average, through a mask and a softmax. Your file: gpt/head_v3.py (TODO 4).

Chapter: book/en/04-mask-and-softmax.md
"""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kit import Wrong, expect, load, show, table
from tests.kit.failing import explain
from tests.mistakes import named
from tests.mistakes.stage_3 import stays_on_the_device, steps

NAME = "head_v3.HeadVer3"


def two_loops(x: Tensor) -> Tensor:
    """The average of the present and the past, as in stage 2: one example after another, one token after another."""
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            out[b, t] = x[b, : t + 1].mean(dim=0)
    return out


def test_the_average_of_three_tokens_is_as_worked_by_hand():
    """softmax([0, -inf, -inf]) = [1, 0, 0], then [1/2, 1/2, 0], then [1/3, 1/3, 1/3]: what each token takes of x."""
    x = torch.tensor([[[2.0, 10.0], [4.0, 0.0], [9.0, -1.0]]])
    averaging = load(NAME)()
    out = attempt(lambda: averaging(x), "head(x)")
    expect(out, torch.tensor([[[2.0, 10.0], [3.0, 5.0], [5.0, 3.0]]]), "head(x)", "B T C", hint)
    check_wei(averaging, torch.tensor([[1.0, 0.0, 0.0], [1 / 2, 1 / 2, 0.0], [1 / 3, 1 / 3, 1 / 3]]), 1)
    show(
        "head.wei, a row for each token, a column for each one that it takes from:",
        table(wei(averaging, 1, 3)[0], "t=", "s="),
    )
    show("x:", table(x, "t=", "c="), "the average of the present and the past, head.wei @ x:", table(out, "t=", "c="))


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 4), (4, 1)])
def test_each_row_of_wei_sums_to_one(B: int, T: int):
    """head.wei is normalized: what a token takes from all tokens adds up to 1. That is what the softmax is for."""
    averaging = used(B, T)
    expect(wei(averaging, B, T).sum(dim=-1), torch.ones(B, T), "head.wei.sum(dim=-1)", "B T", hint)


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 4), (4, 1)])
def test_the_future_is_masked_in_wei(B: int, T: int):
    """head.wei is 0 above its diagonal: no token takes anything from a later one. That is what the mask is for."""
    averaging = used(B, T)
    expect(wei(averaging, B, T).triu(1), torch.zeros(B, T, T), "the part of head.wei above its diagonal", "B T S", hint)


@pytest.mark.parametrize(("B", "T"), [(2, 5), (1, 4), (3, 2), (4, 1), (3, 3)])
def test_wei_gives_the_present_and_the_past_equal_weight(B: int, T: int):
    """Row t of head.wei is 1 / (t + 1) up to column t. It may be kept once, (T, T), or for each example, (B, T, T)."""
    want = torch.tensor([[1 / (t + 1) if s <= t else 0.0 for s in range(T)] for t in range(T)])
    check_wei(used(B, T), want, B)


@pytest.mark.parametrize(("B", "T", "C"), [(2, 5, 3), (1, 7, 4), (3, 2, 5), (4, 1, 2), (3, 6, 1), (4, 4, 4)])
def test_head_ver_3_gives_what_two_loops_give(B: int, T: int, C: int):
    """Another way to the same numbers, for any number of examples, tokens, and numbers in a token."""
    x = random(B, T, C)
    expect(head(x), two_loops(x), f"HeadVer3()(x of {B} x {T} x {C})", "B T C", hint)


def test_no_token_sees_its_future():
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    x = random(2, 6, 3)
    before = checked_head(x).clone()
    x[:, 4:] += 10
    changed = (checked_head(x) - before).abs().amax(dim=(0, 2)) > 1e-4
    if changed[:4].any():
        first = changed.nonzero()[0].item()
        raise Wrong(with_hint(f"Tokens 4 and 5 were changed, and the output of token {first} changed, too."))


def test_examples_of_a_batch_never_see_each_other():
    """Each example alone gives what it gives in a batch."""
    x = random(3, 5, 2)
    together = checked_head(x)
    for b in range(3):
        call = f"HeadVer3()(x[{b}:{b + 1}]), expected to be what came for example {b} in a batch of three,"
        expect(head(x[b : b + 1]), together[b : b + 1], call, "B T C", hint)


def test_one_head_serves_sequences_of_every_length():
    """The output and head.wei belong to the sequence that is there now, not to one that was there before."""
    same_head = load(NAME)()
    for T in (5, 3, 8, 1):
        x = random(2, T, 3)
        out = attempt(lambda x=x: same_head(x), f"head(x of {by(x)}), after sequences of other lengths,")
        expect(out, two_loops(x), f"head(x of {by(x)}), after sequences of other lengths,", "B T C", hint)
        check_wei(same_head, two_loops(torch.eye(T).unsqueeze(0))[0], 2)


def test_the_gradient_of_the_average_reaches_every_token_that_is_in_it():
    """Token s is in the averages of all tokens t >= s, with the factor 1 / (t + 1) each: that is its gradient."""
    x = random(2, 5, 3).requires_grad_()
    factors = random(2, 5, 3, seed=1)
    out = checked_head(x)
    if not out.requires_grad:
        raise Wrong(with_hint("The output is cut off from the graph: no gradient reaches x."))
    want = torch.zeros(2, 5, 3)
    for s in range(5):
        want[:, s] = sum(factors[:, t] / (t + 1) for t in range(s, 5))
    (got,) = attempt(
        lambda: torch.autograd.grad((out * factors).sum(), x, allow_unused=True), "The way back through HeadVer3"
    )
    if got is None:
        raise Wrong(with_hint("No gradient reaches x."))
    expect(got, want, "the gradient of x", "B T C", hint)


def test_the_head_leaves_its_input_as_it_was():
    """The averages go into a tensor of their own."""
    x = random(2, 4, 3)
    before = x.clone()
    checked_head(x)
    expect(x, before, "After HeadVer3()(x), x itself", "B T C", hint)


def test_a_longer_sequence_or_a_larger_batch_takes_no_more_steps():
    """Without a loop, x passes through the same few operations, however many tokens and examples there are.

    Counted are the operations that gradients would pass on their way back. How the weights are made does not count.
    """
    rows = []
    for what, small, large in (("tokens", (2, 4), (2, 64)), ("examples", (2, 2), (32, 2))):
        few, many = (attempt(lambda size=size: steps(load(NAME)(), *size), "HeadVer3") for size in (small, large))
        a, b = max(small), max(large)
        rows.append(f"{what:8}  {a}: {few:2} operations   {b}: {many:2} operations")
        if many > 4 * few:
            message = f"x passes through {few} operations for {a} {what}, and through {many} for {b}."
            raise Wrong(with_hint(f"{message} There is a loop in it that a matrix product does not need."))
    show(*rows)


def test_head_ver_3_is_many_times_faster_than_two_loops():
    """512 tokens at once, against one after another.

    The best of 9 runs each, in turns. Mask, softmax and product are some 50 times as fast; asked for is 5 times. To
    fail by accident, each of the 9 runs, a fraction of a millisecond long, would have to be held up: a chance below one
    in a million.
    """
    x = random(32, 16, 8)
    averaging = load(NAME)()
    attempt(lambda: averaging(x), f"HeadVer3()(x of {by(x)})")
    pairs = [(seconds(lambda: two_loops(x)), seconds(lambda: averaging(x))) for _ in range(9)]
    loops, product = (min(column) * 1e3 for column in zip(*pairs, strict=True))
    if loops < 5 * product:
        message = (
            f"For 32 examples of 16 tokens, HeadVer3 takes {product:.2f} ms, and two loops {loops:.2f} ms."
            " wei @ x is more than 5 times as fast as the loops."
        )
        raise Wrong(with_hint(message))
    show(f"two loops {loops:.2f} ms, HeadVer3 {product:.2f} ms: {loops / product:.0f} times as fast")


def test_the_head_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    x = random(2, 5, 3).double()
    expect(head(x), two_loops(x), "HeadVer3()(x.double())", "B T C", hint)
    x = 1 + 1e-9 * x[:, :2]
    call = "HeadVer3()(x), of float64 numbers that differ from 1 only in the ninth decimal, minus 1, times 1e9,"
    expect((head(x) - 1) * 1e9, (two_loops(x) - 1) * 1e9, call, "B T C", hint)
    if not attempt(lambda: stays_on_the_device(load(NAME)(), random(2, 5, 3)), "HeadVer3 on another device"):
        moved = "A tensor is built on the CPU, whatever device the input is on; on a GPU this would fail."
        raise Wrong(with_hint(f"{moved} Give it the input's device: device=x.device."))


# ---- what they share


def random(*sizes: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def hint() -> str | None:
    return named("4", load(NAME))


def with_hint(message: str) -> str:
    known = hint()
    return f"{message}\n\n{known}" if known else message


def attempt(call: Callable[[], Any], what: str) -> Any:
    """What `call` gives. Where it ends with an error, the known mistake is named, if it is one."""
    try:
        return call()
    except NotImplementedError:
        raise
    except Exception as error:
        message = explain(error) or f"{type(error).__name__}: {error}"
        raise Wrong(with_hint(f"{what} failed.\n{message}")) from None


def head(x: Tensor) -> Any:
    return attempt(lambda: load(NAME)()(x), f"HeadVer3()(x of {by(x)})")


def used(B: int, T: int) -> Any:
    """A head that has been given B sequences of T tokens."""
    averaging = load(NAME)()
    x = random(B, T, 6)
    attempt(lambda: averaging(x), f"head(x of {by(x)})")
    return averaging


def wei(averaging: Any, B: int, T: int) -> Tensor:
    """head.wei for each example, checked to have the shape (T, T), or to be (B, T, T)."""
    if getattr(averaging, "wei", None) is None:
        raise Wrong(with_hint("After head(x), head.wei should be there. Keep the weights: self.wei = ..."))
    kept = averaging.wei
    if isinstance(kept, Tensor) and kept.shape in {(T, T), (1, T, T), (B, T, T)} and kept.is_floating_point():
        return kept.detach().expand(B, T, T)
    right = two_loops(torch.eye(T).unsqueeze(0))[0]
    if isinstance(kept, Tensor) and kept.shape in {(T, T), (1, T, T), (B, T, T)}:
        right = right.expand(kept.shape)
    expect(kept, right, "head.wei", "B T S" if right.dim() == 3 else "T S", hint)
    raise AssertionError("it is right after all")


def check_wei(averaging: Any, want: Tensor, B: int) -> None:
    """Raise Wrong unless head.wei holds these weights, (T, T), for each of the B examples."""
    T = len(want)
    got = wei(averaging, B, T)
    expect(got, want.expand(B, T, T), "head.wei", "B T S", hint)


def checked_head(x: Tensor) -> Tensor:
    """HeadVer3()(x), checked to be a tensor of the right shape, of finite numbers (NaN is unequal to itself)."""
    out = head(x)
    if isinstance(out, Tensor) and out.shape == x.shape and out.isfinite().all():
        return out
    expect(out, two_loops(x.detach()), f"HeadVer3()(x of {by(x)})", "B T C", hint)
    return out


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def by(x: Tensor) -> str:
    return " x ".join(str(size) for size in x.shape)
