"""Another device, on a machine that has none: what a GPU would refuse is refused."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from .costs import LightMode
from .failing import is_waiting

FAR = torch.device("meta")  # in torch's own sense a device for shapes without numbers; here it stands for a GPU
MAY_MIX = {"copy_", "_to_copy", "index", "index_put", "index_put_"}  # a GPU takes these from the CPU, too


class Far(Tensor):
    """A tensor that says that it is on another device. Its numbers are in `near`, on the CPU."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> "Far":
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, near.shape, strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype, device=FAR
        )
        made.near = near
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # results keep the type that dispatch gives them

    def tolist(self) -> Any:
        return self.near.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.near.numpy(force=True)
        raise TypeError("can't convert a tensor on another device to numpy. Use Tensor.cpu()")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs or {})


class FarAway(LightMode):
    """While it lasts, device="meta" makes tensors of the kind above, and no two devices go together."""

    def __init__(self):
        super().__init__()
        self.moved = False  # whether a tensor has come from there to the CPU

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = dispatch(func, args, kwargs or {})
        if func is torch.ops.aten._to_copy.default and args[0].device == FAR and args[0].dim():
            self.moved |= out.device != FAR
        return out


def dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Carry out one operation on the numbers on the CPU, and put its results where a GPU would have them."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    far = [t for t in tensors if t.device == FAR]
    name = func.overloadpacket.__name__
    mixed = any(t.device != FAR and t.dim() for t in tensors)
    if far and mixed and (name not in MAY_MIX or (name.startswith("index") and args[0].device != FAR)):
        raise RuntimeError("Expected all tensors to be on the same device, but found two devices")
    there = kwargs["device"] == FAR if kwargs.get("device") is not None else bool(far)
    if name in ("copy_", "index_put_"):
        there = args[0].device == FAR
    if there and name.startswith("empty"):  # what nobody has written has to be some number: 0
        func = {"empty": torch.ops.aten.zeros, "empty_like": torch.ops.aten.zeros_like}.get(name, func)
        kwargs.pop("memory_format", None)
    near_args, near_kwargs = tree_map(near, (args, kwargs))
    if near_kwargs.get("device") is not None:
        near_kwargs["device"] = torch.device("cpu")
    out = func(*near_args, **near_kwargs)
    if name.endswith("_") and not name.endswith("__"):
        return args[0]
    return tree_map(lambda t: Far(t) if isinstance(t, Tensor) else t, out) if there else out


def near(value: Any) -> Any:
    if isinstance(value, Far):
        return value.near
    return torch.zeros(value.shape, dtype=value.dtype) if isinstance(value, Tensor) and value.device == FAR else value


def to_far(module: nn.Module) -> nn.Module:
    """What module.to("cuda") does: its parameters and buffers go to the other device, and nothing else does."""
    for part in module.modules():
        tensors: Any
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = Far(tensor.detach())  # type: ignore[assignment]
    return module


class Misplaced(NamedTuple):
    """kind: "built" on the CPU, "moved" to the CPU, or "returned" on the CPU. error: what it led to."""

    kind: str
    error: Exception | None


def misplaced(call: Callable[..., Any], *inputs: Tensor) -> Misplaced | None:
    """How `call` fails for inputs on another device, or None where it works as on the CPU.

    What fails for another reason is not told here: it is wrong, if it is, on the CPU as well.
    """
    far_away = FarAway()
    try:
        with torch.no_grad(), far_away:
            out = call(*(Far(x.detach().clone()) for x in inputs))
    except Exception as error:
        if is_waiting(error):
            raise
        return Misplaced("moved" if far_away.moved else "built", error) if "device" in str(error) else None
    here = [t for t in tree_leaves(out) if isinstance(t, Tensor) and t.device != FAR]
    return Misplaced("moved" if far_away.moved else "returned", None) if here else None


def placement(module: nn.Module, x: Tensor, method: str = "__call__") -> str:
    """What goes wrong on another device, in a word."""
    failed = misplaced(getattr(to_far(module), method), x)
    return failed.kind if failed else "nothing"
