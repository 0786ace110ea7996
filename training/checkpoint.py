"""Checkpoints: everything that a training needs to go on as if nothing had happened.

runs/.../checkpoints/00000500.safetensors holds the weights, the optimizers' state, and in its header the iteration,
the seconds, the config and the text's sha256. There are no random states in it: each step draws its batch and its
dropout from seeds made of the run's seed and the iteration (see Trainer.step).

A file is written beside its place, flushed to the disk and renamed: it is there whole or not at all. It is safetensors,
so that loading one never runs code, with a checksum, so that a damaged one is known. Kept are the last two, and the
best by validation loss.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .errors import UserError


class State(NamedTuple):
    """tensors by name, and facts that JSON can hold: iteration, seconds, ..."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Damaged(Exception):
    """The file is not a whole checkpoint; the message says in what way."""


KEPT = 2


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: Path):
        self.folder = folder / "checkpoints"

    def save(self, state: State) -> Path:
        """Raises OSError where the disk is full or may not be written; the checkpoints before stay as they are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{state.facts['iteration']:08d}.safetensors"
        facts = json.dumps({**state.facts, "checksum": _checksum(state)})
        write_whole(path, save(state.tensors, {"facts": facts}))
        self._prune()
        return path

    def paths(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("[0-9]*.safetensors"), reverse=True)

    def load(self) -> tuple[State, list[str]]:
        """The newest whole checkpoint, and a sentence on each newer one that is damaged.

        Raises UserError where there is none.
        """
        complaints = []
        for path in self.paths():
            try:
                return read(path), complaints
            except Damaged as error:
                complaints.append(f"the checkpoint {path.name} is damaged ({error}); the one before it is taken")
        why = f": {complaints[0].replace('; the one before it is taken', '')}" if complaints else ""
        raise UserError(f"'{self.folder.parent}' has no checkpoint to go on from{why}; start anew without --resume")

    def _prune(self) -> None:
        paths = self.paths()
        losses: dict[Path, float] = {}
        for path in paths:
            with suppress(Damaged):
                loss = read_facts(path).get("validation_loss")
                losses |= {path: loss} if isinstance(loss, float) else {}
        best = min(losses, key=losses.__getitem__) if losses else None
        for path in paths[KEPT:]:
            if path != best:
                path.unlink(missing_ok=True)


def read(path: Path) -> State:
    """Raises Damaged."""
    facts = read_facts(path)
    try:
        with safe_open(path, "pt") as file:
            # Cloned, since Windows keeps a file in its place as long as a tensor is mapped to it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise Damaged(str(error)) from None
    checksum, state = facts.pop("checksum", None), State(tensors, facts)
    if checksum != _checksum(state):
        raise Damaged("its checksum is not that of its contents")
    return state


def read_facts(path: Path) -> dict[str, Any]:
    """The header alone. Raises Damaged."""
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
    except (OSError, SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise Damaged(str(error)) from None
    if not isinstance(facts, dict) or not isinstance(facts.get("iteration"), int):
        raise Damaged("its header is not that of a checkpoint")
    return facts


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all, and safe from a power cut once this returns."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:  # a second Ctrl-C, too
        with suppress(OSError):
            part.unlink()
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _checksum(state: State) -> str:
    digest = hashlib.sha256(json.dumps(state.facts, sort_keys=True).encode())
    for name in sorted(state.tensors):
        tensor = state.tensors[name].detach().cpu()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
