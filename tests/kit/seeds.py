"""Random numbers that are the same each time."""

import torch
from torch import Tensor


def seed(number: int) -> None:
    """torch.manual_seed for the CPU alone: that of all devices costs a millisecond and more."""
    torch.default_generator.manual_seed(number)


def random(*sizes: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def tokens(B: int, T: int, vocab_size: int = 7, seed: int = 0) -> Tensor:
    return torch.randint(vocab_size, (B, T), generator=torch.Generator().manual_seed(seed + 100 * B + T))
