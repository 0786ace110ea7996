"""Numbers that only right code gives: one probe a TODO.

The tests run in the process of the submission, and a submission that sets out to can make every one of them say
"passed". So each TODO is also given fixed weights and inputs; what its code makes of them is sent out as plain
numbers, and compared with the finished code's in a process that the submission cannot reach. To give the right numbers
it has to compute them. A probe decides on forgery alone: what is right, and why not, is the tests' business.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Numbers = list[float]
PROBES: dict[str, Callable[[], list[Tensor]]] = {}


def probe(todo: str) -> Callable[[Callable[[], list[Tensor]]], Callable[[], list[Tensor]]]:
    def add(function: Callable[[], list[Tensor]]) -> Callable[[], list[Tensor]]:
        PROBES[todo] = function
        return function

    return add


def take(todo: str) -> Numbers | str:
    """The numbers of a probe, or the name of the error that it ended with."""
    try:
        return [round(value, 7) for t in PROBES[todo]() for value in t.detach().double().flatten().tolist()]
    except Exception as error:
        return type(error).__name__


def same(a: Numbers | str, b: Numbers | str) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return False
    return len(a) == len(b) and all(abs(x - y) <= 1e-4 + 1e-3 * abs(y) for x, y in zip(a, b, strict=True))


def make(path: str, *arguments: Any) -> Any:
    """The class at gpt.`path`, with weights that do not depend on how it draws its own."""
    module, name = path.split(".")
    thing = getattr(importlib.import_module(f"gpt.{module}"), name)(*arguments)
    for i, (key, parameter) in enumerate(sorted(thing.named_parameters())):
        with torch.no_grad():
            parameter.copy_(
                numbers(*parameter.shape, seed=100 + i) / (1 if "table" in key else parameter.shape[-1] ** 0.5)
            )
    return thing


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens(*shape: int, below: int = 9) -> Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(1))


def there_and_back(module: nn.Module, *shape: int) -> list[Tensor]:
    """Output and gradient for noise of the shape."""
    x = numbers(*shape).requires_grad_()
    out = module(x)
    (out * numbers(*out.shape, seed=2)).sum().backward()
    return [out, x.grad if x.grad is not None else torch.zeros(1)]


class Mix(nn.Module):
    """A contextualizer or head that is no business of the TODO: each token and the one before."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x + 0.5 * x.roll(1, dims=1))


@probe("1")
def generate() -> list[Tensor]:
    model = make("gpt_v1.GPTVer1", 9, 4)
    with torch.no_grad():  # each token has one successor that is certain
        model.token_embedding_table.weight.copy_(1e4 * torch.eye(9)[[3, 5, 8, 7, 0, 2, 4, 1, 6]])
    return [model.generate(tokens(3, 2), 7)]


@probe("2-1")
def average_by_loops() -> list[Tensor]:
    return there_and_back(make("head_v1.HeadVer1"), 2, 5, 3)


@probe("2-2")
def gpt_2() -> list[Tensor]:
    return [make("gpt_v2.GPTVer2", Mix(), 9, 6, 4).logits(tokens(2, 5))]


@probe("3")
def average_by_a_product() -> list[Tensor]:
    return there_and_back(make("head_v2.HeadVer2"), 2, 5, 3)


@probe("4")
def average_by_softmax() -> list[Tensor]:
    head = make("head_v3.HeadVer3")
    return [*there_and_back(head, 2, 5, 3), head.wei]


@probe("5")
def attention() -> list[Tensor]:
    head = make("head_v4.HeadVer4", 8, 6, 4)
    return [*there_and_back(head, 2, 5, 6), head.wei]


@probe("6-1")
def sinusoids() -> list[Tensor]:
    return [make("gpt_v3.GPTVer3", Mix(), 9, 6, 4).pos_encodings(11, 5)]


@probe("6-2")
def gpt_3() -> list[Tensor]:
    model = make("gpt_v3.GPTVer3", Mix(), 9, 6, 4)
    model.pos_table = numbers(6, 4, seed=3)
    return [model.logits(tokens(2, 5))]


@probe("7-1")
def heads_one_by_one() -> list[Tensor]:
    multi = make("multi_head_v1.MultiHeadVer1", 8, 6, 3)
    multi.heads = nn.ModuleList(Half(i) for i in range(3))
    return there_and_back(multi, 2, 5, 6)


class Half(nn.Module):
    """A stand-in for a head of width 2."""

    def __init__(self, i: int):
        super().__init__()
        self.i = i

    def forward(self, x: Tensor) -> Tensor:
        return x[..., 2 * self.i : 2 * self.i + 2].cumsum(dim=1).sin()


@probe("7-2")
def heads_at_once() -> list[Tensor]:
    return there_and_back(make("multi_head_v2.MultiHeadVer2", 8, 6, 3), 2, 5, 6)


@probe("7-3")
def gpt_4() -> list[Tensor]:
    return [make("gpt_v4.GPTVer4", Mix(), 9, 6, 4).logits(tokens(2, 5))]


@probe("8-1")
def feed_forward() -> list[Tensor]:
    ffwd = make("feed_forward.FeedForward", 3)
    with torch.no_grad():  # whatever they are called: all weights alike, so that neither names nor order count
        for parameter in ffwd.parameters():
            parameter.fill_(0.5 if parameter.numel() == 36 else 0.1 if parameter.numel() == 12 else -0.2)
    return there_and_back(ffwd, 2, 5, 3)


def block(path: str, *more: Any) -> Any:
    made = make(path, Mix(), 4, *more)
    made.ffwd = Square()
    return made


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.3 * x**2 - 1


@probe("8-2")
def block_1() -> list[Tensor]:
    return there_and_back(block("block_v1.BlockVer1"), 2, 5, 4)


@probe("8-3")
def block_2() -> list[Tensor]:
    return there_and_back(block("block_v2.BlockVer2"), 2, 5, 4)


@probe("9-1")
def layer_norm() -> list[Tensor]:
    return there_and_back(make("layer_norm.LayerNorm", 6), 2, 5, 6)


@probe("9-2")
def block_3() -> list[Tensor]:
    made = block("block_v3.BlockVer3")
    made.ln1, made.ln2 = nn.Softplus(), nn.Tanh()
    return there_and_back(made, 2, 5, 4)


@probe("10")
def block_4() -> list[Tensor]:
    made = block("block_v4.BlockVer4", 0.5)
    made.ln1, made.ln2 = nn.Softplus(), nn.Tanh()
    return there_and_back(made.eval(), 2, 5, 4)
