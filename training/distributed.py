"""Several processes that train as one, on torch's own DistributedDataParallel. torchrun starts them:

    torchrun --nproc_per_node 2 main.py --solutions

Every process takes whole batches of a step, or else its own rows of each, so that N processes do what one would.
Source: Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", section 3.
"""

import gc
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed.nn  # imported later, its functions would hold the process group as a default argument
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from .errors import UserError


class World(NamedTuple):
    """rank: which of the `size` processes this is; the one of rank 0 writes and speaks for all."""

    rank: int = 0
    size: int = 1

    @property
    def speaks(self) -> bool:
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose backward pass averages gradients over all processes; its weights become those of rank 0."""
        return DistributedDataParallel(model, broadcast_buffers=False) if self.size > 1 else model

    def total(self, value: Tensor) -> Tensor:
        """The sum of the processes' values."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def largest(self, value: Tensor) -> Tensor:
        """The largest of the processes' values."""
        if self.size > 1:
            distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return value

    def agreed(self, value: Any) -> Any:
        """Rank 0's value, for all: clocks and measurements differ between processes, decisions may not."""
        shared = [value]
        if self.size > 1:
            distributed.broadcast_object_list(shared, src=0)
        return shared[0]

    def averaging(self, model: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Around the passes of one batch: gradients travel between the processes with the last batch of a step only."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) and not last else nullcontext()


@contextmanager
def joined(timeout: float = 600.0) -> Iterator[World]:
    """The processes that torchrun started, as one world; a world of one where it did not.

    timeout: seconds after which a process that waits for a lost one gives up, so that torchrun can restart all.
    Raises UserError in the others where one is lost.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    limit = timedelta(seconds=timeout)
    store, rank, size = next(rendezvous("env://", timeout=limit))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = PrefixStore(f"attempt {attempt}", store)  # torchrun's own still holds the addresses of the dead
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
    try:
        yield World(rank, size)
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error).lower():
            raise
        why = re.sub(r"^\[.*?\] ", "", str(error)).split(". ")[0]
        raise UserError(f"process {rank} of {size} lost the others: {why}") from None
    finally:
        distributed.destroy_process_group()
        gc.collect()  # the model's hold on it: gloo's threads, alive while Python ends, would abort the process


def restarted_job() -> tuple[str, bool]:
    """The name of torchrun's job, and whether it was started again after a failure; ("", False) without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return "", False
    job = f"{os.environ['TORCHELASTIC_RUN_ID']}-{os.environ.get('MASTER_PORT')}-{os.getppid()}"
    return job, int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
