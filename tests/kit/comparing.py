"""Comparing what came with what was expected, and saying where they first differ."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .failing import Wrong
from .showing import number, shape, table

NAMES = {
    "B": "batch", "T": "time", "C": "embed_size", "D": "head_size", "H": "n_heads", "V": "vocab_size",
}  # fmt: skip


def expect(
    got: Any,
    want: Tensor,
    call: str,
    dims: str,
    hint: Callable[[], str | None] = lambda: None,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Raise Wrong unless `got` is a tensor of the shape, the dtype and the values of `want`.

    call: what was called, in the learner's words: "HeadVer1()(x)". dims: "B T C". hint: names the known mistake whose
    outcome this is, if it is one (tests/mistakes); asked only when something is wrong.
    """
    message = _difference(got, want, call, dims, rtol, atol)
    if message:
        known = hint()
        raise Wrong(f"{message}\n\n{known}" if known else message)


def expect_close(got: float, want: float, what: str, tolerance: float, hint: Callable[[], str | None] = lambda: None):
    """Raise Wrong unless the two numbers are within the tolerance of each other."""
    if not abs(got - want) <= tolerance:
        known = hint()
        message = f"{what} should be {want:.4g} (give or take {tolerance:.2g}), but is {got:.4g}."
        raise Wrong(f"{message}\n\n{known}" if known else message)


def expect_same(got: Tensor, want: Tensor, claim: str, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Raise Wrong with the claim (a sentence) and the largest difference unless two results are the same."""
    if got.shape != want.shape or not torch.allclose(got, want, rtol=rtol, atol=atol):
        gap = f"They differ by up to {(got - want).abs().max().item():.4g}." if got.shape == want.shape else ""
        raise Wrong(f"{claim} {gap}".strip())


def _difference(got: Any, want: Tensor, call: str, dims: str, rtol: float, atol: float) -> str | None:
    if got is None:
        return f"{call} gave None. Is a `return` missing?"
    if not isinstance(got, Tensor):
        return f"{call} gave a {type(got).__name__}, not a tensor."
    if got.shape != want.shape:
        return _shape_difference(got, want, call, dims)
    if got.dtype != want.dtype:
        return f"{call} has the dtype {got.dtype}; expected {want.dtype}."
    if got.device != want.device:
        return f"{call} is on the device {got.device}; expected {want.device}."
    if got.is_floating_point() and not torch.isfinite(got).all():
        kind = "NaN (not a number)" if got.isnan().any() else "infinite numbers"
        return f"{call} holds {kind}.\n\n{_both(got, want, dims)}"
    if torch.allclose(got, want, rtol=rtol, atol=atol):
        return None
    far = ~torch.isclose(got, want, rtol=rtol, atol=atol)
    place = tuple(far.nonzero()[0].tolist())
    where = ", ".join(f"{name.lower()}={i}" for name, i in zip(dims.split(), place, strict=True))
    return (
        f"{call} has the right shape {shape(dims, want.shape)}, but wrong values.\n"
        f"The first one is at {where}: expected {number(want[place].item(), 0)}, got {number(got[place].item(), 0)}"
        f" ({int(far.sum())} of {far.numel()} differ).\n\n{_both(got, want, dims)}"
    )


def _shape_difference(got: Tensor, want: Tensor, call: str, dims: str) -> str:
    message = f"{call} has the wrong shape.\nexpected {shape(dims, want.shape)}\ngot      {shape(dims, got.shape)}"
    if got.dim() != want.dim():
        return f"{message}\nThat is {got.dim()} dimensions instead of {want.dim()}."
    name, have, should = next(x for x in zip(dims.split(), got.shape, want.shape, strict=True) if x[1] != x[2])
    return f"{message}\nDimension {name} ({NAMES.get(name, name)}) should be {should}, and is {have}."


def _both(got: Tensor, want: Tensor, dims: str) -> str:
    """Both side by side where they are small: the first example of the batch, at most 8 x 6 numbers."""
    names = dims.split()
    for _ in range(max(0, want.dim() - 2)):
        got, want = got[0], want[0]
    names = names[-want.dim() :]
    rows = f"{names[0].lower()}=" if len(names) == 2 else ""
    got, want = got[..., :6], want[..., :6]
    got, want = (got[:8], want[:8]) if want.dim() == 2 else (got, want)
    left = table(want, rows, f"{names[-1].lower()}=").splitlines()
    right = table(got, "", f"{names[-1].lower()}=").splitlines()
    right[0] = right[0][5:]
    width = max(map(len, left)) + 4
    lines = [f"{'expected':{width}}got"] + [f"{a:{width}}{b}" for a, b in zip(left, right, strict=True)]
    return "\n".join(lines)
