"""Where the heads of a model look: their weights over one text, from the learner's own layers."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@torch.inference_mode()
def attention_weights(model: nn.Module, indices: Int[Tensor, "1 T"]) -> list[Float[Tensor, "H T T"]]:
    """The weights of each layer's H heads, a row for each token that looks; no layer for a model without attention.

    A head that keeps its weights (`wei`) is taken at its word. Another one that has `query` and `key` layers, and
    possibly `n_heads`, is asked for them again: softmax(Q K^T / sqrt(D)), with the past alone, of the input that it
    gets (Vaswani et al. 2017, section 3.2.1). A head without layers mixes all texts alike: its weights are what it
    makes of the identity matrix.
    """
    layers = _layers(model)
    inputs: dict[nn.Module, Tensor] = {}

    def keep(head: nn.Module, args: tuple[Tensor, ...]) -> None:
        inputs[head] = args[0]

    hooks = [head.register_forward_pre_hook(keep) for heads in layers for head in heads]
    try:
        model(indices)
    finally:
        for hook in hooks:
            hook.remove()
    if layers:
        return [torch.cat([_weights(head, inputs[head]) for head in heads]) for heads in layers]
    mixer = getattr(model, "contextualizer", None)
    if mixer is None:
        return []
    return [mixer(torch.eye(indices.shape[1])[None])]  # (1, T, T): one head


def _layers(model: nn.Module) -> list[list[nn.Module]]:
    """The heads of each layer, in the order of the model: several small ones, or one that holds all."""
    layers: list[list[nn.Module]] = []
    for module in model.modules():
        heads = getattr(module, "heads", None)
        if isinstance(heads, nn.ModuleList):
            layers.append(list(heads))
        elif hasattr(module, "query") and hasattr(module, "key") and not any(module in layer for layer in layers):
            layers.append([module])
    return layers


def _weights(head: Any, x: Float[Tensor, "1 T C"]) -> Float[Tensor, "H T T"]:
    T = x.shape[1]
    kept = getattr(head, "wei", None)
    if isinstance(kept, Tensor) and kept.shape[-2:] == (T, T):
        return kept.reshape(-1, T, T)
    n_heads = getattr(head, "n_heads", 1)
    q, k = (layer(x)[0].view(T, n_heads, -1).transpose(0, 1) for layer in (head.query, head.key))  # (H, T, D)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(dim=-1)
