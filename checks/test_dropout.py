"""The trainer's dropout does what torch's does."""

import pytest
import torch
from torch import nn

from training.dropout import QuickDropout, quicken_dropout


@pytest.mark.parametrize("p", [0.001, 0.08, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_share_of_p_is_dropped_and_the_rest_is_scaled(p: float, dtype: torch.dtype):
    """The share among 10^6 numbers is within five of its standard deviations."""
    torch.manual_seed(1)
    y = QuickDropout(p)(torch.ones(1000, 1000, dtype=dtype))
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=5 * (p * (1 - p)) ** 0.5 / 1000)
    assert y[y != 0].unique().tolist() == [torch.tensor(1 / (1 - p), dtype=dtype).item()]


def test_neighbours_are_dropped_independently_of_each_other():
    """Two of a row, from the same draw or another, and two of a column are dropped together in p^2 of the cases."""
    torch.manual_seed(1)
    dropped = (QuickDropout(0.5)(torch.ones(1000, 1001)) == 0).float()
    for a, b in ((dropped[:, i:], dropped[:, : 1001 - i]) for i in range(1, 9)):
        assert (a * b).mean().item() == pytest.approx(0.25, abs=0.003)
    assert (dropped[1:] * dropped[:-1]).mean().item() == pytest.approx(0.25, abs=0.003)


def test_gradients_are_dropped_with_the_numbers():
    x = torch.ones(7, 5, requires_grad=True)  # 35 numbers: no multiple of four
    y = QuickDropout(0.4)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_a_seed_decides_what_is_dropped():
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return QuickDropout(0.5)(torch.ones(100))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_or_everything(p: float):
    assert torch.equal(QuickDropout(p)(torch.ones(100)), torch.full((100,), 1 - p))


def test_nothing_is_dropped_in_evaluation_mode():
    assert torch.equal(QuickDropout(0.5).eval()(torch.ones(100)), torch.ones(100))


def test_it_takes_the_place_of_torch_s_own_wherever_that_stands():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Dropout(0.3), nn.Dropout1d(0.1)), nn.Dropout(0.2)).eval()
    quicken_dropout(model)
    assert [type(m).__name__ for m in model[1]] == ["QuickDropout", "Dropout1d"]
    assert [model[1][0].p, model[2].p] == [0.3, 0.2]
    assert not model[2].training
