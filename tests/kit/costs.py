"""What a call costs: operations, multiplications, seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class LightMode(TorchDispatchMode):
    """A TorchDispatchMode that does not import torch's compiler at its first operation, which takes a second."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class Counting(LightMode):
    """Counts the operations that torch carries out, except views, and the numbers multiplied in matrix products."""

    def __init__(self):
        super().__init__()
        self.operations = self.multiplications = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.operations += not func.is_view
        if func.overloadpacket.__name__ in ("mm", "bmm", "addmm", "baddbmm"):
            self.multiplications += out.numel() * args[-1].shape[-2]
        return out


def counted(call: Callable[[], Any]) -> Counting:
    with Counting() as counting:
        call()
    return counting


def steps(out: Any) -> int:
    """The number of operations that gradients pass on their way back from `out`: the nodes of its graph."""
    waiting, seen = [out.grad_fn] if isinstance(out, Tensor) else [], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [next_node for next_node, _ in node.next_functions]
    return len(seen)


def best_seconds(calls: dict[str, Callable[[], Any]], turns: int = 9) -> dict[str, float]:
    """The shortest of several runs of each call, all in turns."""
    best = dict.fromkeys(calls, float("inf"))
    with one_thread():
        for _ in range(turns):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                best[name] = min(best[name], time.perf_counter() - start)
    return best


@contextmanager
def one_thread() -> Iterator[None]:
    """On tensors as small as here, a second thread is nothing but waiting, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
