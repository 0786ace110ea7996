"""How weights start."""

import torch
from torch import nn

from training.initialization import initialize


def test_linear_layers_and_embeddings_start_small_and_biases_at_zero():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(200, 100), nn.Linear(100, 300), nn.LayerNorm(300), nn.Linear(300, 5, bias=False))
    initialize(model)
    for layer in (model[0], model[1]):
        assert 0.019 < layer.weight.std().item() < 0.021
        assert abs(layer.weight.mean().item()) < 0.001
    assert model[1].bias.abs().max() == 0
    assert torch.equal(model[2].weight, torch.ones(300))
