"""What `pytest -s` prints: small numbers where they teach. Plain ASCII, so that every console can show it."""

import textwrap
from collections.abc import Sequence

from torch import Tensor

WIDTH = 79


def show(*lines: object) -> None:
    """Print lines, indented, under the test's name."""
    print()
    for line in filled("\n".join(str(line) for line in lines), WIDTH - 4).splitlines():
        print(f"    {line}")


def filled(message: str, width: int = WIDTH) -> str:
    """Prose broken at the width of a small terminal; tables and indented lines as they are."""
    lines = []
    for line in message.splitlines():
        prose = len(line) > width and "  " not in line
        lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) if prose else [line]
    return "\n".join(lines)


def table(
    matrix: Tensor, rows: str = "", columns: str = "", row: int = 0, column: int = 0, marked: Tensor | None = None
) -> str:
    """A small matrix (or a vector, as one row) with its numbers in columns, counted from `row` and `column`.

    >>> print(table(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), rows="t=", columns="c="))
              c=0     c=1
    t=0    1.0000  0.0000
    t=1    0.5000  0.5000

    marked: a matrix of booleans; where it is True, the number has a star behind it.
    """
    matrix = matrix.detach().reshape(-1, matrix.shape[-1]) if matrix.dim() else matrix.detach().reshape(1, 1)
    heads = [f"{rows}{row + i}".ljust(5) if rows else "" for i in range(len(matrix))]
    gap = "" if marked is None else " "
    lines = []
    if columns:
        names = (f"{columns}{column + i}".rjust(8) + gap for i in range(matrix.shape[1]))
        lines.append(" " * (5 if rows else 0) + "".join(names))
    for i, (head, values) in enumerate(zip(heads, matrix.tolist(), strict=True)):
        stars = [gap] * len(values) if marked is None else ["*" if far else " " for far in marked[i].tolist()]
        lines.append(head + "".join(number(v) + star for v, star in zip(values, stars, strict=True)).rstrip())
    return "\n".join(lines)


def number(value: float, width: int = 8) -> str:
    """
    >>> number(0.5), number(123456.0), number(3)
    ('  0.5000', ' 1.2e+05', '       3')
    """
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value!s:>{width}}"
    return f"{value:{width}.4f}" if abs(value) < 1000 or value != value else f"{value:{width}.1e}"


def shape(dims: str, sizes: Sequence[int]) -> str:
    """(B=2, T=3, C=4)"""
    names = dims.split()
    if len(names) != len(sizes):
        return f"({', '.join(str(s) for s in sizes)})"
    return f"({', '.join(f'{n}={s}' for n, s in zip(names, sizes, strict=True))})"


def by(x: Tensor) -> str:
    """2 x 3 x 4"""
    return " x ".join(map(str, x.shape)) or "one number"
