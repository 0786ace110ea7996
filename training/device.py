"""Which device, which precision is really faster on it, and how it keeps its memory."""

import ctypes
import sys
import time
from functools import cache

import torch

from .errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """The named device, or cuda, mps, cpu: the first that is there. Raises UserError if the named one is not."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise UserError(f"the device '{name}' is not available on this machine; it has {there} (--train.device)")
    return torch.device(name)


@cache
def bfloat16_is_faster(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 take at most 3/4 of their time in float32: measured, in some 20 ms."""
    if device.type == "mps":
        return False
    return _time_matmul(device, torch.bfloat16) < 0.75 * _time_matmul(device, torch.float32)


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


def _time_matmul(device: torch.device, dtype: torch.dtype, size: int = 384, repeats: int = 7) -> float:
    """The median time of a product of two (size, size) matrices, in seconds."""
    a = torch.ones(size, size, device=device, dtype=dtype)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        (a @ a).sum().item()  # .item() waits for the device
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2]
