"""Which device, which precision is really faster on it, and how it keeps its memory."""

import ctypes
import sys
import time
from functools import cache

import torch

from .errors import UserError


def choose_device(name: str = "auto", processes: int = 1) -> torch.device:
    """The named device, or cuda, mps, cpu: the first that is there. Raises UserError if the named one is not.

    Several processes cannot share mps.
    """
    mps = torch.backends.mps.is_available() and processes == 1
    available = {"cuda": torch.cuda.is_available(), "mps": mps, "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise UserError(f"the device '{name}' is not available on this machine; it has {there} (--train.device)")
    return torch.device(name)


@cache
def bfloat16_is_faster(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 take at most 3/4 of their time in float32: measured, in some 60 ms.

    The best of twelve turns each, so that whatever else the machine does meanwhile hits neither alone.
    """
    if device.type == "mps":
        return False
    turns = [(_time_matmul(device, torch.float32), _time_matmul(device, torch.bfloat16)) for _ in range(12)]
    float32, bfloat16 = map(min, zip(*turns, strict=True))
    return bfloat16 < 0.75 * float32


def _time_matmul(device: torch.device, dtype: torch.dtype, size: int = 512) -> float:
    """The seconds that a product of two (size, size) matrices takes."""
    a = torch.ones(size, size, device=device, dtype=dtype)
    start = time.perf_counter()
    (a @ a).sum().item()  # .item() waits for the device
    return time.perf_counter() - start


def seed_dropout(device: torch.device, seed: int) -> None:
    """Seed what dropout draws on the device; torch.manual_seed seeds every kind there is, a hundredth of a step."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.get_device_module(device).manual_seed(seed)


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the next tensors, up to 256 MB. Returns whether it does.

    glibc hands large blocks back to the system, which has to clear every page of the next ones: a tenth and more of a
    training step on a CPU. Nothing is done where there is no glibc.
    Source: mallopt(3), M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
    """
    trim_threshold, mmap_threshold = -1, -3  # their numbers in malloc.h
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(trim_threshold, 256 << 20) and libc.mallopt(mmap_threshold, 32 << 20))
