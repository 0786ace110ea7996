"""Getting at the learner's class, or saying what stands in the way."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .failing import Wrong

KEEP = "Keep the names as they came: the tests and the later stages rely on them."


@contextmanager
def fresh_torch(threads: int | None = None) -> Iterator[None]:
    """torch's global switches as they were, whatever the learner's code does to them.

    threads: for the time being. With tensors as small as those of the exact tests, more than one only wait for each
    other.
    """
    dtype, before = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(before)


def load(name: str, method: str | None = None) -> Any:
    """The class at gpt.`name`, as in load("head_v4.HeadVer4"). Raises Wrong where it, or its method, is not there."""
    module_name, class_name = name.split(".")
    file = f"gpt/{module_name}.py"
    try:
        module = importlib.import_module(f"gpt.{module_name}")
    except ModuleNotFoundError as error:
        if error.name != f"gpt.{module_name}":
            raise
        raise Wrong(f"{file} is not there. `git checkout {file}` brings back the file as it came.") from None
    if not hasattr(module, class_name):
        there = ", ".join(n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__)
        raise Wrong(f"{file} has no class {class_name}; it has {there or 'no class at all'}. {KEEP}")
    cls = getattr(module, class_name)
    if method and not any(method in vars(c) for c in cls.__mro__ if c.__name__ == class_name):
        there = ", ".join(n for n, v in vars(cls).items() if callable(v) or isinstance(v, staticmethod))
        raise Wrong(f"In {file}, {class_name} has no method {method}; it has {there or 'none at all'}. {KEEP}")
    return cls
