"""Saying how what came differs from what was expected, and where first."""

from typing import Any

import torch
from torch import Tensor

from .showing import number, shape, table

NAMES = {
    "B": "batch", "T": "time", "C": "embed_size", "D": "head_size", "H": "n_heads", "V": "vocab_size",
}  # fmt: skip
ROWS, COLUMNS = 8, 4  # as many numbers as fit twice on a line of a small terminal


def difference(got: Any, want: Tensor, call: str, dims: str, rtol: float = 1e-4, atol: float = 1e-5) -> str | None:
    """None where `got` is a tensor of the shape, the dtype and the values of `want`; else what is wrong with it.

    call: what was called, in the learner's words: "HeadVer1()(x)". dims: "B T C".
    """
    other = another_kind(got, want, call, dims, rtol, atol)
    if other or torch.allclose(got, want, rtol=rtol, atol=atol):
        return other
    far = ~torch.isclose(got, want, rtol=rtol, atol=atol)
    place = tuple(far.nonzero()[0].tolist())
    where = ", ".join(f"{name.lower()}={i}" for name, i in zip(dims.split(), place, strict=True))
    here, there = number(want[place].item(), 0), number(got[place].item(), 0)
    if here == there:
        here, there = (f"{value[place].item():.10g}" for value in (want, got))
    share = f"{int(far.sum())} of {far.numel()} numbers differ"
    return (
        f"{call} has the right shape {shape(dims, want.shape)}, but wrong values: {share}.\n"
        f"The first one is at {where}: expected {here}, got {there}.\n\n{both(got, want, dims, place, far)}"
    )


def another_kind(got: Any, want: Tensor, call: str, dims: str, rtol: float = 1e-4, atol: float = 1e-5) -> str | None:
    """What is wrong with `got` even before its values are looked at."""
    if got is None:
        return f"{call} gave None. Is a `return` missing?"
    if not isinstance(got, Tensor):
        return f"{call} is of the type {type(got).__name__}, and no tensor."
    if got.shape != want.shape:
        return another_shape(got, want, call, dims)
    if got.dtype != want.dtype:
        return f"{call} has the dtype {got.dtype}; expected {want.dtype}."
    if got.device != want.device:
        return f"{call} is on the device {got.device}; expected {want.device}."
    finite = got.isfinite()
    if finite.all():
        return None
    kind = "NaN (not a number)" if got.isnan().any() else "infinite numbers"
    place = tuple((~finite).nonzero()[0].tolist())
    return f"{call} holds {kind}.\n\n{both(got, want, dims, place, ~torch.isclose(got, want, rtol=rtol, atol=atol))}"


def another_shape(got: Tensor, want: Tensor, call: str, dims: str) -> str:
    message = f"{call} has the wrong shape.\nexpected {shape(dims, want.shape)}\ngot      {shape(dims, got.shape)}"
    if got.dim() != want.dim():
        return f"{message}\nIt has {got.dim()} dimension{'s' if got.dim() != 1 else ''} instead of {want.dim()}."
    name, have, should = next(x for x in zip(dims.split(), got.shape, want.shape, strict=True) if x[1] != x[2])
    return f"{message}\nDimension {name} ({NAMES.get(name, name)}) should be {should}, and is {have}."


def both(got: Tensor, want: Tensor, dims: str, place: tuple[int, ...], far: Tensor) -> str:
    """Both side by side, around the place; what differs has a star."""
    names = [name.lower() for name in dims.split()]
    example = ", ".join(f"{n}={i}" for n, i in zip(names[:-2], place[:-2], strict=True))
    got, want, far = (t[place[:-2]].detach() for t in (got, want, far))
    r, c = (place[-2] // ROWS * ROWS if want.dim() == 2 else 0), place[-1] // COLUMNS * COLUMNS
    got, want, far = (t.reshape(-1, t.shape[-1])[r : r + ROWS, c : c + COLUMNS] for t in (got, want, far))
    rows = f"{names[-2]}=" if len(names) > 1 else ""
    left = table(want, rows, f"{names[-1]}=", r, c).splitlines()
    right = table(got, "", f"{names[-1]}=", r, c, marked=far).splitlines()
    width = max(map(len, left)) + 2
    head = f"{'expected' + (f' ({example})' if example else ''):{width + 2}}got (* differs)"
    return "\n".join([head] + [f"{a:{width}}{b}".rstrip() for a, b in zip(left, right, strict=True)])
