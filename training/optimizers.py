"""The optimizers and their learning rate over time."""

from collections.abc import Iterator

import torch
from torch import nn

from .config import TrainConfig
from .muon import Muon


def build_optimizers(
    model: nn.Module, config: TrainConfig, vocab_size: int, dtype: torch.dtype = torch.float32
) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon, computing in `dtype`, for the hidden matrices and AdamW for the rest.

    Hidden matrices are the weights of linear layers, but for the last one, which scores the vocabulary: Muon makes
    each update a nearly orthogonal matrix, which suits a map from features to features. Embeddings, biases and gains
    have no such meaning. Vectors get no weight decay.
    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    hidden = set(hidden_matrices(model, vocab_size)) if config.optimizer == "muon" else set()
    rest = [p for p in model.parameters() if p.requires_grad and p not in hidden]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    ]
    if hidden:
        ordered = [p for p in model.parameters() if p in hidden]
        optimizers.append(Muon(ordered, lr=config.muon_learning_rate, weight_decay=config.weight_decay, dtype=dtype))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def hidden_matrices(model: nn.Module, vocab_size: int) -> Iterator[torch.Tensor]:
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    last = [layer for layer in layers if layer.out_features == vocab_size][-1:]
    for layer in layers:
        if layer not in last and layer.weight.requires_grad:
            yield layer.weight


def learning_rate_factor(progress: float, warmup: float, decay: float) -> float:
    """Rise, stay, fall to zero: the share of the highest learning rate at `progress` (0 at the start, 1 at the end).

    >>> [learning_rate_factor(p, warmup=0.1, decay=0.5) for p in (0.05, 0.1, 0.5, 0.75, 1.0)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rise = progress / warmup if progress < warmup else 1.0
    fall = (1 - progress) / decay if progress > 1 - decay else 1.0
    return max(0.0, min(rise, fall))


def set_learning_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
