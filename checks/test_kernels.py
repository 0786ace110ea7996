"""The layers that the trainer puts in the place of others compute the same."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpt.layer_norm import LayerNorm
from gpt.multi_head_v1 import MultiHeadVer1
from gpt.multi_head_v2 import MultiHeadVer2
from training.config import TrainConfig
from training.kernels import (
    FusedLayerNorm,
    JoinedLinear,
    QuickDropout,
    fuse_layer_norm,
    join_projections,
    quicken_dropout,
)
from training.trainer import Trainer


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


def passes(model: nn.Module, x: Tensor) -> list[Tensor]:
    """What the model gives for x, and the gradients of x and of all weights for a fixed direction."""
    x = x.clone().requires_grad_()
    y = model(x)
    direction = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return [y, *torch.autograd.grad(y, [x, *model.parameters()], direction)]


@pytest.mark.parametrize("layer", [MultiHeadVer1, MultiHeadVer2])
def test_joined_projections_compute_what_the_three_layers_do(layer: type[nn.Module]):
    torch.manual_seed(1)
    model = layer(6, 8, 2).double().eval()
    names, parameters = list(model.state_dict()), list(model.parameters())
    x, longer = torch.randn(2, 5, 8).double(), torch.randn(3, 6, 8).double()
    before = [*passes(model, x), *passes(model, longer)]
    join_projections(model)
    assert sum(type(m) is JoinedLinear for m in model.modules()) in (3, 6)
    assert list(model.state_dict()) == names
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert not any(m.training for m in model.modules())
    torch.testing.assert_close([*passes(model, x), *passes(model, longer)], before)
    with torch.inference_mode():
        torch.testing.assert_close(model(x.clone()), before[0])


class Projections(nn.Module):
    def __init__(self, bias: bool = False, value: int = 4):
        super().__init__()
        self.query, self.key = nn.Linear(4, 4, bias=bias), nn.Linear(4, 4, bias=bias)
        self.value = nn.Linear(4, value, bias=bias)


def joined() -> tuple[Projections, Projections]:
    """The same layers twice, once apart and once joined."""
    apart, together = Projections(), Projections()
    together.load_state_dict(apart.state_dict())
    join_projections(together)
    return apart, together


def test_three_projections_are_one_matrix_product():
    _, together = joined()
    x = torch.randn(2, 4)
    with torch.profiler.profile() as seen:
        together.query(x), together.key(x), together.value(x)
    assert sum(event.count for event in seen.key_averages() if event.key == "aten::mm") == 1


def test_joined_projections_follow_their_input_and_their_weights():
    apart, together = joined()
    x, other = torch.randn(2, 4), torch.randn(2, 4)

    def check(name: str, input: Tensor):
        torch.testing.assert_close(getattr(together, name)(input), getattr(apart, name)(input))

    assert together.query(torch.randn(2, 3, 4)).is_contiguous()
    for name, input in (("query", x), ("key", other), ("value", x), ("query", x), ("query", x), ("key", x)):
        check(name, input)
    check("query", x)
    x.mul_(2)  # between the query and the key
    check("key", x)
    check("query", other)
    check("key", other)
    check("value", other)
    assert all(layer.ready is None for layer in together.children())  # nothing is kept that nobody will ask for
    for module in (apart, together):
        with torch.no_grad():
            module.query.weight.mul_(2)
    check("query", other)


def test_what_joined_projections_give_may_be_written_into():
    apart, together = joined()
    x = torch.randn(2, 4)
    gradients = []
    for module in (apart, together):
        q, k, v = module.query(x), module.key(x), module.value(x)
        scores = q @ k.t()
        v *= 2
        (scores @ v).sum().backward()
        gradients.append([p.grad for p in module.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("settings", [{"bias": True}, {"value": 3}])
def test_projections_of_another_kind_stay(settings: dict[str, int]):
    model = nn.Sequential(Projections(**settings), nn.Linear(4, 4))
    join_projections(model)
    assert not any(isinstance(m, JoinedLinear) for m in model.modules())


class ByVar(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        root = (x.var(dim=-1, keepdim=True, correction=0) + self.eps).sqrt()
        return self.gamma * (x - x.mean(dim=-1, keepdim=True)) / root + self.beta


class DeafToItsEps(LayerNorm):
    def __init__(self, embed_size: int):
        super().__init__(embed_size, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=1e-5) * self.gamma + self.beta


class RootOfTheMeanSquare(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps) + self.beta


class Unbiased(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        root = (x.var(dim=-1, keepdim=True) + self.eps).sqrt()
        return self.gamma * (x - x.mean(dim=-1, keepdim=True)) / root + self.beta


class EpsOutsideTheRoot(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        root = x.var(dim=-1, keepdim=True, correction=0).sqrt() + self.eps
        return self.gamma * (x - x.mean(dim=-1, keepdim=True)) / root + self.beta


class Detached(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        root = (x.var(dim=-1, keepdim=True, correction=0) + self.eps).sqrt().detach()
        return self.gamma * (x - x.mean(dim=-1, keepdim=True)) / root + self.beta


class BetaInside(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * (F.layer_norm(x, x.shape[-1:], eps=self.eps) + self.beta)


class IntoItsInput(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        x -= x.mean(dim=-1, keepdim=True)
        return super().forward(x)


class NotWritten(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize("norm", [LayerNorm(8), ByVar(8), LayerNorm(1), LayerNorm(8, eps=0.1)])
def test_a_layer_norm_is_fused_however_it_is_written(norm: nn.Module):
    model = nn.Sequential(nn.Sequential(norm), nn.Linear(8, 8), nn.LayerNorm(8))
    assert fuse_layer_norm(model) == 1
    assert isinstance(model[0][0], FusedLayerNorm)


@pytest.mark.parametrize(
    "wrong",
    [DeafToItsEps, RootOfTheMeanSquare, Unbiased, EpsOutsideTheRoot, Detached, BetaInside, IntoItsInput, NotWritten],
)
def test_what_computes_something_else_stays(wrong: type[LayerNorm]):
    model = nn.Sequential(wrong(8), nn.Linear(8, 8))
    assert fuse_layer_norm(model) == 0
    assert isinstance(model[0], wrong)


def test_a_fused_model_has_the_same_parameters_and_gives_the_same():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 8), LayerNorm(8)).eval()
    names, parameters, x = list(model.state_dict()), list(model.parameters()), torch.randn(2, 3, 8)
    with torch.no_grad():
        model[1].gamma.normal_()
        model[1].beta.normal_()
        before = model(x)
    fuse_layer_norm(model)
    assert list(model.state_dict()) == names
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert not model[1].training
    torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_trainer_fuses_where_it_may_and_says_so(wanted: bool):
    model = nn.Sequential(nn.Linear(8, 8), LayerNorm(8))
    config = TrainConfig(iterations=1, batch_size=1, precision="float32", fused_layer_norm=wanted)
    trainer = Trainer(model, torch.zeros(9).long(), torch.zeros(9).long(), config, block_size=8, vocab_size=8)
    assert isinstance(model[1], FusedLayerNorm if wanted else LayerNorm)
    assert ("fused LayerNorm" in trainer.summary) == wanted
