"""Right layers that stand in for those of other files, so that a mistake in one file does not show in another."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Function(nn.Module):
    """A layer without parameters: any function of one tensor."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class PastMean(nn.Module):
    """In place of a head: the mean of tanh(W x + b) over the present and the past. It is blind to their order.

    Without the tanh it would stay blind when positions are added: a sum of tokens and positions has no order.
    """

    def __init__(self, embed_size: int):
        super().__init__()
        self.layer = nn.Linear(embed_size, embed_size)

    def forward(self, x: Tensor) -> Tensor:
        return average(torch.tanh(self.layer(x)))


def average(x: Tensor) -> Tensor:
    """The mean of the present and the past by another route: running sums, divided by 1, 2, 3, ..."""
    return x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device).unsqueeze(1)


class Feed(nn.Module):
    """In place of a feed-forward layer: whatever `net` is."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Norm(nn.Module):
    """In place of a LayerNorm: a right one, whose gamma and beta are not 1 and 0."""

    def __init__(self, embed_size: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(embed_size))
        self.beta = nn.Parameter(torch.randn(embed_size))
        self.eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        centered = x - x.mean(dim=-1, keepdim=True)
        return self.gamma * centered / torch.sqrt(centered.square().mean(dim=-1, keepdim=True) + self.eps) + self.beta


def with_stand_ins(block: Any, embed_size: int, ffwd: nn.Module | None = None) -> Any:
    """The block with stand-ins for its feed-forward layer and, where it has them, its norms."""
    hidden = 2 * embed_size
    layers = [ffwd] if ffwd else [nn.Linear(embed_size, hidden), nn.Tanh(), nn.Linear(hidden, embed_size)]
    block.ffwd = Feed(nn.Sequential(*layers))
    for name in ("ln1", "ln2"):
        if hasattr(block, name):
            setattr(block, name, Norm(embed_size))
    return block
