"""Muon: momentum whose updates are made orthogonal, and even from row to row."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

STEPS = 3  # of Newton and Schulz; Jordan's 5 come nearer to orthogonal, but cost more time than they save here


class Muon(torch.optim.Optimizer):
    """For matrices W (rows, columns) that map features to features; G is the gradient, M starts at 0.

    M <- momentum M + (1 - momentum) G
    O <- orthogonal(momentum M + (1 - momentum) G)
    v <- beta v + (1 - beta) sum(O^2 of each row)
    W <- (1 - lr weight_decay) W - lr sqrt(max(1, rows / columns)) O / sqrt(v), with O / sqrt(v) brought to O's norm

    O's rows, one for each feature that W gives, differ in length. Divided by sqrt(v) they no longer do in the long run,
    and no feature learns faster than the others.

    torch.optim.Muon takes one matrix after another, and always in bfloat16, which a CPU without bfloat16 arithmetic
    imitates some thirty times more slowly than float32. Here, matrices of the same shape go together, in `dtype`.

    Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; for v, Li et al. 2025,
    "NorMuon: Making Muon more efficient and scalable", algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        beta: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "beta": beta})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            for shape in dict.fromkeys(w.shape for w in weights):
                self._step_together([w for w in weights if w.shape == shape], **group)

    def _step_together(
        self, weights: list[Tensor], *, lr: float, weight_decay: float, momentum: float, beta: float, **_: object
    ) -> None:
        directions = []
        for w in weights:
            assert w.grad is not None
            mean = self.state[w].setdefault("momentum", torch.zeros_like(w)).lerp_(w.grad, 1 - momentum)
            directions.append(w.grad.lerp(mean, momentum).to(self.dtype))
        updates = orthogonal(torch.stack(directions))  # (N, rows, columns)
        squares = torch.linalg.vector_norm(updates, dim=2, dtype=torch.float32).square()  # (N, rows)
        means = [
            self.state[w].setdefault("squares", torch.zeros_like(now)).lerp_(now, 1 - beta)
            for w, now in zip(weights, squares, strict=True)
        ]
        factors = (torch.stack(means) + 1e-12).rsqrt()
        after = (squares * factors.square()).sum(dim=1, keepdim=True).clamp(min=1e-12)
        factors *= (squares.sum(dim=1, keepdim=True) / after).sqrt()
        updates = updates * factors.unsqueeze(2)
        rows, columns = weights[0].shape
        for w, update in zip(weights, updates, strict=True):
            w.mul_(1 - lr * weight_decay)
            w.add_(update, alpha=-lr * max(1, rows / columns) ** 0.5)


def orthogonal(matrices: Float[Tensor, "N rows columns"]) -> Float[Tensor, "N rows columns"]:
    """Matrices with the same singular vectors, and all singular values near 1: a few Newton-Schulz steps.

    Each step maps a singular value s to a s + b s^3 + c s^5 by matrix products alone; a, b and c are Jordan's.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices  # the products below then have the smaller side
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)  # a x + (b A + c A^2) x
    return x.mT if is_tall else x
