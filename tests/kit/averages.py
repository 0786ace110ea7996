"""What the heads of stages 3 and 4 have in common: they average without a loop."""

import torch
from torch import Tensor

from .costs import steps
from .seeds import random
from .showing import show
from .task import Task


def two_loops(x: Tensor) -> Tensor:
    """The average of the present and the past, as in stage 2: one example after another, one token after another."""
    rows = [x[b, : t + 1].mean(dim=0) for b in range(x.shape[0]) for t in range(x.shape[1])]
    return torch.stack(rows).view(x.shape)


def expect_few_steps(head: Task) -> None:
    """Neither a longer sequence nor a larger batch takes more operations."""
    rows = []
    for what, small, large in (("tokens", (2, 4), (2, 64)), ("examples", (2, 2), (32, 2))):
        few, many = (steps(head.run(head.make(), random(*size, 2).requires_grad_())) for size in (small, large))
        a, b = max(small), max(large)
        rows.append(f"{what:8}  {a}: {few:2} operations   {b}: {many:2} operations")
        if many > 4 * few:
            message = f"x passes through {few} operations for {a} {what}, and through {many} for {b}."
            raise head.wrong(f"{message} There is a loop in it that a matrix product does not need.")
    show(*rows)
