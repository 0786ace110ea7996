"""Layers that compute what the model's own do, in less time; the trainer puts them in their place."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F


class QuickDropout(nn.Dropout):
    """What nn.Dropout does, with four random numbers of 16 bits out of each draw of 64.

    On a CPU, torch draws the numbers of nn.Dropout one after another, which takes a seventh of a small GPT's training
    step; this takes a fifth of that. The share that is dropped is p, rounded to a multiple of 1 / 65,536.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or input.device.type != "cpu" or self.p in (0.0, 1.0):
            return super().forward(input)
        draws = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        numbers = draws.view(torch.int16)[: input.numel()].view(input.shape)  # from -32,768 to 32,767
        kept = numbers.ge_(min(round(self.p * 2**16), 2**16 - 1) - 2**15)  # 1 or 0
        return input * kept.to(input.dtype).mul_(1 / (1 - self.p))


class JoinedLinear(nn.Linear):
    """One of several linear layers, of equal size and without bias, that read the same input.

    The first of them to be called computes all, as one matrix product, which takes less time than several small ones
    and brings the input to bfloat16 once; the others then only hand out their parts. A layer that gets another input
    computes anew. In evaluation, each computes for itself.
    """

    group: "list[JoinedLinear]"
    ready: tuple[Tensor, int, Tensor] | None = None  # an input, its version, and the output that it gives here

    def forward(self, input: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(input)
        ready, self.ready = self.ready, None
        if ready and ready[0] is input and ready[1] == input._version:
            return ready[2]
        outputs = F.linear(input, torch.cat([layer.weight for layer in self.group]))
        # The parts are to be what nn.Linear returns: contiguous, and free to be written into (plain chunk's are not).
        cut = [part.contiguous() for part in torch.unsafe_chunk(outputs, len(self.group), dim=-1)]
        parts = dict(zip(self.group, cut, strict=True))
        for layer in parts.keys() - {self}:
            layer.ready = input, input._version, parts[layer]
        return parts[self]


class FusedLayerNorm(nn.Module):
    """A LayerNorm that is written out, with its own gamma, beta and eps, as one operation of torch.

    Written out it is nine, and twice as many on the way back; each reads and writes all its numbers, which takes a
    tenth of a small GPT's training step. Fused, they go through memory once.
    """

    def __init__(self, gamma: nn.Parameter, beta: nn.Parameter, eps: float):
        super().__init__()
        self.gamma = gamma
        self.beta = beta
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gamma.shape, self.gamma, self.beta, self.eps)


def quicken_dropout(model: nn.Module) -> None:
    """Put a QuickDropout in the place of each nn.Dropout of the model."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, QuickDropout(child.p, child.inplace).train(child.training))


def join_projections(model: nn.Module) -> None:
    """Put a JoinedLinear in the place of each query, key and value layer that is an nn.Linear without bias."""
    names = ("query", "key", "value")
    for module in list(model.modules()):
        children = dict(module.named_children())
        layers = [a for a in map(children.get, names) if type(a) is nn.Linear and a.bias is None]
        if len(layers) == len(names) and len({a.weight.shape for a in layers}) == 1:
            group = [JoinedLinear(a.in_features, a.out_features, bias=False, device="meta") for a in layers]
            for name, old, new in zip(names, layers, group, strict=True):
                new.weight, new.group = old.weight, group
                setattr(module, name, new.train(old.training))


def fuse_layer_norm(model: nn.Module) -> int:
    """Put a FusedLayerNorm in the place of each module that computes the same, and return how many there were."""
    fused = 0
    for module in list(model.modules()):
        for name, child in module.named_children():
            if computes_layer_norm(child):
                setattr(module, name, FusedLayerNorm(child.gamma, child.beta, child.eps).train(child.training))  # pyright: ignore[reportArgumentType]
                fused += 1
    return fused


def computes_layer_norm(module: nn.Module) -> bool:
    """Whether a module has gamma, beta and eps, nothing else, and gives what F.layer_norm gives.

    Both get the same tokens, a thousandth to a thousand large, and the same random gamma and beta, in float64: their
    outputs and all gradients have to agree to six digits.
    """
    own = {name: p.shape for name, p in module.named_parameters()}
    eps = getattr(module, "eps", None)
    if sorted(own) != ["beta", "gamma"] or not isinstance(eps, float) or list(module.buffers()):
        return False

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    generator = torch.Generator().manual_seed(0)
    unit, gamma, beta = inputs = draw(2, 7, own["gamma"].numel()), draw(*own["gamma"]), draw(*own["beta"])
    direction = draw(*unit.shape).detach()
    x = unit * torch.logspace(-3, 3, 7, dtype=torch.float64).unsqueeze(1)
    try:
        outputs = (
            F.layer_norm(x, gamma.shape, gamma, beta, eps),
            functional_call(module, {"gamma": gamma, "beta": beta}, x),
        )
        gradients = (torch.autograd.grad(y, inputs, direction, retain_graph=True) for y in outputs)
        pairs = [outputs, *zip(*gradients, strict=True)]
        same = all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in pairs)
        return same and x._version == 0  # nor does it write into its input
    except Exception:
        return False  # what is wrong with it, the training will show
