"""What `pytest -s` prints: small numbers where they teach. Plain ASCII, so that every console can show it."""

from collections.abc import Sequence

from torch import Tensor


def show(*lines: object) -> None:
    """Print lines, indented, under the test's name."""
    print()
    for line in "\n".join(str(line) for line in lines).splitlines():
        print(f"    {line}")


def table(matrix: Tensor, rows: str = "", columns: str = "") -> str:
    """A small matrix (or a vector, as one row) with its numbers in columns.

    >>> print(table(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), rows="t=", columns="c="))
              c=0     c=1
    t=0    1.0000  0.0000
    t=1    0.5000  0.5000
    """
    matrix = matrix.detach().reshape(-1, matrix.shape[-1]) if matrix.dim() else matrix.detach().reshape(1, 1)
    lines = []
    if columns:
        lines.append(f"{'':5}" + "".join(f"{columns}{i}".rjust(8) for i in range(matrix.shape[1])))
    for i, row in enumerate(matrix.tolist()):
        head = f"{rows}{i}".ljust(5) if rows else ""
        lines.append(head + "".join(number(value) for value in row))
    return "\n".join(lines)


def number(value: float, width: int = 8) -> str:
    return f"{value:{width}.4f}" if isinstance(value, float) else f"{value:{width}}"


def shape(dims: str, sizes: Sequence[int]) -> str:
    """(B=2, T=3, C=4)"""
    names = dims.split()
    if len(names) != len(sizes):
        return f"({', '.join(str(s) for s in sizes)})"
    return f"({', '.join(f'{n}={s}' for n, s in zip(names, sizes, strict=True))})"
