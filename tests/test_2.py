"""Stage 2: the average of the past. Your files: gpt/head_v1.py (TODO 2-1), gpt/gpt_v2.py (TODO 2-2).

Chapter: book/en/02-average.md
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.kit import Wrong, expect, expect_close, load, show, table
from tests.kit.failing import explain
from tests.mistakes import named

# ---- TODO 2-1: HeadVer1


def average(x: Tensor) -> Tensor:
    """The mean of the present and the past by another route: running sums, divided by 1, 2, 3, ..."""
    return x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype).unsqueeze(1)


def test_the_average_of_three_tokens_is_as_worked_by_hand():
    """2, then (2 + 4) / 2, then (2 + 4 + 9) / 3; and the same for the second number of each token."""
    x = torch.tensor([[[2.0, 10.0], [4.0, 0.0], [9.0, -1.0]]])
    out = head(x)
    expect(out, torch.tensor([[[2.0, 10.0], [3.0, 5.0], [5.0, 3.0]]]), "HeadVer1()(x)", "B T C", head_hint)
    show("x:", table(x, "t=", "c="), "the average of the present and the past:", table(out, "t=", "c="))


@pytest.mark.parametrize(
    ("B", "T", "C"), [(2, 5, 3), (1, 7, 4), (3, 2, 5), (4, 1, 2), (3, 6, 1), (4, 4, 4), (2, 17, 3)]
)
def test_each_token_becomes_the_average_of_the_present_and_the_past(B: int, T: int, C: int):
    """For any number of examples, tokens, and numbers in a token."""
    x = random(B, T, C)
    expect(head(x), average(x), f"HeadVer1()(x of {B} x {T} x {C})", "B T C", head_hint)


def test_no_token_sees_its_future():
    """Change the last two tokens: what comes out for the tokens before them stays the same."""
    x = random(2, 6, 3)
    before = checked_head(x).clone()
    x[:, 4:] += 10
    changed = (checked_head(x) - before).abs().amax(dim=(0, 2)) > 1e-5
    if changed[:4].any():
        first = changed.nonzero()[0].item()
        raise Wrong(with_hint(f"Tokens 4 and 5 were changed, and the output of token {first} changed, too.", head_hint))


def test_examples_of_a_batch_never_see_each_other():
    """Each example alone gives what it gives in a batch."""
    x = random(3, 5, 2)
    together = checked_head(x)
    for b in range(3):
        call = f"HeadVer1()(x[{b}:{b + 1}]), expected to be what came for example {b} in a batch of three,"
        expect(head(x[b : b + 1]), together[b : b + 1], call, "B T C", head_hint)


def test_the_gradient_of_the_average_reaches_every_token_that_is_in_it():
    """Token s is in the averages of all tokens t >= s, with the factor 1 / (t + 1) each: that is its gradient."""
    x = random(2, 5, 3).requires_grad_()
    factors = random(2, 5, 3, seed=1)
    out = checked_head(x)
    if not out.requires_grad:
        raise Wrong(with_hint("The output is cut off from the graph: no gradient reaches x.", head_hint))
    want = torch.zeros(2, 5, 3)
    for s in range(5):
        want[:, s] = sum(factors[:, t] / (t + 1) for t in range(s, 5))
    got = attempt(lambda: torch.autograd.grad((out * factors).sum(), x)[0], "The way back through HeadVer1", head_hint)
    expect(got, want, "the gradient of x", "B T C", head_hint)


def test_the_head_leaves_its_input_as_it_was():
    """The averages go into a tensor of their own."""
    x = random(2, 4, 3)
    before = x.clone()
    checked_head(x)
    expect(x, before, "After HeadVer1()(x), x itself", "B T C", head_hint)


def test_the_head_works_in_the_precision_and_on_the_device_of_its_input():
    """float64 in, float64 out; and nothing is built on another device than that of the input."""
    x = random(2, 4, 3).double()
    expect(head(x), average(x), "HeadVer1()(x.double())", "B T C", head_hint, 1e-9, 1e-9)
    stays_on_the_device(load("head_v1.HeadVer1")(), x, head_hint)


# ---- TODO 2-2: GPTVer2


class Context(nn.Module):
    """Stands in for the contextualizer: each token gets a curved function of what is up to it, times a weight."""

    def __init__(self, embed_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, embed_size))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x.cumsum(dim=1)) * self.weight


class Average(nn.Module):
    """Stands in for HeadVer1."""

    def forward(self, x: Tensor) -> Tensor:
        return average(x)


def gpt(contextualizer: nn.Module | None = None, vocab_size: int = 7, block_size: int = 8, embed_size: int = 5) -> Any:
    torch.manual_seed(2)
    contextualizer = Context(embed_size) if contextualizer is None else contextualizer
    return load("gpt_v2.GPTVer2")(contextualizer, vocab_size, block_size, embed_size)


def expected_logits(model: Any, indices: Tensor) -> Tensor:
    """Row by row from the table, through the stand-in, and times the matrix of lm_head."""
    x = model.token_embedding_table.weight[indices.flatten()].view(*indices.shape, -1)
    x = torch.tanh(x.cumsum(dim=1)) * model.contextualizer.weight
    return torch.einsum("btc,vc->btv", x, model.lm_head.weight) + model.lm_head.bias


def test_the_logits_of_two_tokens_are_as_worked_by_hand():
    """Token 0 is (1, 0) and token 1 is (0, 1). The contextualizer averages, and lm_head scores three tokens."""
    model = gpt(Average(), vocab_size=3, block_size=2, embed_size=2)
    with torch.no_grad():
        model.token_embedding_table.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]))
        model.lm_head.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 4.0], [1.0, 1.0]]))
        model.lm_head.bias.copy_(torch.tensor([0.0, 0.0, 10.0]))
    out = logits(model, torch.tensor([[0, 1]]))
    expect(out, torch.tensor([[[2.0, 0.0, 11.0], [1.0, 2.0, 11.0]]]), "model.logits(indices)", "B T V", gpt_hint)
    show("(1, 0), and then (1/2, 1/2), as lm_head scores them:", table(out, "t=", "v="))


@pytest.mark.parametrize(("B", "T"), [(2, 3), (1, 8), (3, 1), (4, 8), (6, 4)])
def test_logits_are_embeddings_in_context_mapped_to_the_vocabulary(B: int, T: int):
    """lm_head(contextualizer(token_embedding_table[indices])), for any batch and length up to block_size."""
    model = gpt()
    indices = tokens(B, T)
    call = f"GPTVer2(context, vocab_size=7, block_size=8, embed_size=5).logits(indices of {B} x {T})"
    expect(logits(model, indices), expected_logits(model, indices), call, "B T V", gpt_hint)


@pytest.mark.parametrize(("vocab_size", "embed_size"), [(5, 5), (3, 9), (9, 2)])
def test_logits_fit_any_vocabulary_and_embedding(vocab_size: int, embed_size: int):
    """The vocabulary may be larger than the embedding, smaller, or of the same size."""
    model = gpt(vocab_size=vocab_size, embed_size=embed_size)
    indices = tokens(2, 4, vocab_size)
    call = f"the logits for vocab_size {vocab_size}, embed_size {embed_size}"
    expect(logits(model, indices), expected_logits(model, indices), call, "B T V", gpt_hint)


def test_the_last_token_sees_its_past():
    """With a contextualizer, another first token gives other logits for the last one. GPTVer1 could not do that."""
    model = gpt()
    out = checked_logits(model, torch.tensor([[0, 1, 2], [3, 1, 2]]))
    if torch.allclose(out[0, -1], out[1, -1], atol=1e-4):
        raise Wrong(with_hint("Another first token, and the logits of the last one are the same.", gpt_hint))


def test_gpt_ver_2_cannot_see_the_order_of_the_past():
    """An average is the same in whatever order its tokens come: "dog bites man" is "man bites dog". See stage 6."""
    model = gpt(Average())
    both = checked_logits(model, torch.tensor([[0, 3, 5, 1, 2], [5, 1, 0, 3, 2]]))
    expect(
        both[1:, -1], both[:1, -1].detach(), "The logits of the last token, its past being shuffled,", "B V", gpt_hint
    )


def test_gradients_reach_the_table_the_contextualizer_and_lm_head():
    """A layer that gets no gradient never learns."""
    model = gpt()
    indices, factors = tokens(3, 6), random(3, 6, 7)
    parameters = dict(model.named_parameters())
    want = torch.autograd.grad((expected_logits(model, indices) * factors).sum(), [*parameters.values()])
    out = checked_logits(model, indices)
    if not out.requires_grad:
        raise Wrong(with_hint("The logits are cut off from the graph: no gradient reaches any layer.", gpt_hint))
    got = attempt(
        lambda: torch.autograd.grad((out * factors).sum(), [*parameters.values()], allow_unused=True),
        "The way back through GPTVer2.logits",
        gpt_hint,
    )
    for name, theirs, right in zip(parameters, got, want, strict=True):
        if theirs is None:
            raise Wrong(with_hint(f"No gradient reaches {name}.", gpt_hint))
        expect(theirs, right, f"the gradient of {name}", " ".join("IJ"[: right.dim()]), gpt_hint)


@pytest.mark.parametrize("training", [True, False])
def test_logits_leave_the_mode_and_the_indices_as_they_were(training: bool):
    """Training or evaluation is the caller's business: in training, the contextualizer may drop numbers at random."""
    model = gpt(nn.Sequential(nn.Dropout(0.5), Context(5))).train(training)
    indices = tokens(2, 6)
    before = indices.clone()
    one, two = checked_logits(model, indices), checked_logits(model, indices)
    expect(indices, before, "After model.logits(indices), indices itself", "B T", gpt_hint)
    if {module.training for module in model.modules()} != {training}:
        raise Wrong(with_hint(f"model.training was {training} before, and is not any more.", gpt_hint))
    if torch.equal(one, two) == training:
        said = "gave the same twice" if training else "did not give the same twice"
        mode = "training" if training else "evaluation"
        raise Wrong(with_hint(f"In {mode} mode, with dropout in the contextualizer, model.logits {said}.", gpt_hint))


def test_the_model_gives_logits_and_the_loss_of_its_targets():
    """`forward` is GPTVer1's, and uses your logits. A model that knows nothing needs log(V) nats a token."""
    model = gpt()
    indices, targets = tokens(2, 4), tokens(2, 4, seed=1)
    out, loss = attempt(lambda: model(indices, targets), "model(indices, targets)", gpt_hint)
    want = expected_logits(model, indices)
    expect(out, want, "The first thing that model(indices, targets) gives", "B T V", gpt_hint)
    right = -want.log_softmax(dim=-1).gather(2, targets.unsqueeze(2)).mean().item()
    expect_close(loss.item(), right, "The loss", 1e-4, gpt_hint)
    show(f"loss {loss.item():.3f} nats a token before any training; log(7) = {math.log(7):.3f}")


def test_the_logits_have_the_precision_and_the_device_of_the_model():
    """float64 in, float64 out; and nothing is built on another device than that of the model."""
    model, indices = gpt().double(), tokens(2, 5)
    call = "model.double().logits(indices)"
    expect(logits(model, indices), expected_logits(model, indices), call, "B T V", gpt_hint, 1e-9, 1e-9)
    stays_on_the_device(gpt(), indices, gpt_hint)


# ---- what they share


def random(*sizes: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def tokens(B: int, T: int, vocab_size: int = 7, seed: int = 0) -> Tensor:
    return torch.randint(vocab_size, (B, T), generator=torch.Generator().manual_seed(seed))


def head_hint() -> str | None:
    return named("2-1", load("head_v1.HeadVer1"))


def gpt_hint() -> str | None:
    return named("2-2", load("gpt_v2.GPTVer2"))


def with_hint(message: str, hint: Any) -> str:
    known = hint()
    return f"{message}\n\n{known}" if known else message


def attempt(call: Any, what: str, hint: Any) -> Any:
    """What `call` gives. Where it ends with an error, the known mistake is named, if it is one."""
    try:
        return call()
    except Exception as error:
        if str(error).startswith("TODO"):
            raise
        message = explain(error) or f"{type(error).__name__}: {error}"
        raise Wrong(with_hint(f"{what} failed.\n{message}", hint)) from None


def head(x: Tensor) -> Any:
    return attempt(lambda: load("head_v1.HeadVer1")()(x), "HeadVer1()(x of " + by(x) + ")", head_hint)


def logits(model: Any, indices: Tensor) -> Any:
    return attempt(lambda: model.logits(indices), f"model.logits(indices of {by(indices)})", gpt_hint)


def checked_head(x: Tensor) -> Tensor:
    """HeadVer1()(x), checked to be a tensor of the right shape. Finite: NaN is unequal to itself."""
    out = head(x)
    want = average(x).detach()
    if isinstance(out, Tensor) and out.isfinite().all():
        expect(torch.zeros_like(out), torch.zeros_like(want), f"HeadVer1()(x of {by(x)})", "B T C", head_hint)
    else:
        expect(out, want, f"HeadVer1()(x of {by(x)})", "B T C", head_hint)
    return out


def checked_logits(model: Any, indices: Tensor) -> Tensor:
    """model.logits(indices), checked to be a tensor of the right shape."""
    out = logits(model, indices)
    want = torch.zeros(*indices.shape, model.lm_head.out_features)
    got = torch.zeros_like(out) if isinstance(out, Tensor) else out
    expect(got, want, f"model.logits(indices of {by(indices)})", "B T V", gpt_hint)
    return out


def stays_on_the_device(module: nn.Module, x: Tensor, hint: Any) -> None:
    """Raise Wrong if something is built on another device than that of x, or comes back on another.

    As on_another_device does, but a copy from there to the CPU is wrong, too, which the meta device only calls
    impossible.
    """
    moved = (
        "A tensor is built on the CPU, whatever device the input is on. Give it the input's device: device=x.device."
    )
    try:
        out = module.to("meta")(x.to("meta"))
    except RuntimeError as error:
        if "device" in str(error) or "copy out of meta" in str(error):
            raise Wrong(with_hint(moved, hint)) from None
        return
    out = out[0] if isinstance(out, tuple) else out
    if isinstance(out, Tensor) and out.device.type != "meta":
        raise Wrong(with_hint(moved, hint))


def by(x: Tensor) -> str:
    return " x ".join(str(size) for size in x.shape)
