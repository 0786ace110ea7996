"""Getting at the learner's class, or saying what stands in the way."""

import importlib
from typing import Any

from torch import Tensor, nn

from .failing import Wrong, place_of_error


def load(name: str) -> Any:
    """The class at gpt.`name`, as in load("head_v4.HeadVer4"). Raises Wrong where the file has no such class."""
    module_name, class_name = name.split(".")
    try:
        module = importlib.import_module(f"gpt.{module_name}")
    except ModuleNotFoundError as error:
        if error.name != f"gpt.{module_name}":
            raise
        raise Wrong(
            f"gpt/{module_name}.py is not there. git checkout gpt/{module_name}.py brings back the file as it came."
        ) from None
    if not hasattr(module, class_name):
        there = ", ".join(n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__)
        raise Wrong(
            f"gpt/{module_name}.py has no class {class_name}; it has {there or 'no class at all'}."
            " Keep the names as they came: the tests and the later stages rely on them."
        )
    return getattr(module, class_name)


def on_another_device(module: nn.Module, *inputs: Tensor) -> None:
    """Raise Wrong if the module builds a tensor on a fixed device.

    It runs on torch's "meta" device, which computes shapes only and stands here for a GPU: a tensor that was made on
    the CPU does not go together with those of the module there.
    """
    try:
        module.to("meta")(*(x.to("meta") for x in inputs))
    except RuntimeError as error:
        if isinstance(error, NotImplementedError) and str(error).startswith("TODO"):
            raise
        if "device" in str(error):
            place = place_of_error(error)
            raise Wrong(
                f"A tensor is built on the CPU{place}, whatever device the input is on; on a GPU this would fail."
                " Give it the input's device: torch.ones(..., device=x.device)."
            ) from None
