"""How weights start."""

from torch import nn


def initialize(model: nn.Module, std: float = 0.02) -> None:
    """Draw the weights of all linear layers and embeddings from N(0, std^2), and set biases to zero, as GPT-2 does.

    torch's defaults, N(0, 1) for embeddings above all, drown what tokens and positions have to say in noise that a
    short training does not get rid of.
    Source: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section 4.1.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
