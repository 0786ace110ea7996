"""The training loop, for any module whose forward(x, targets) returns (logits, loss).

trainer = Trainer(model, train, validation, config.train, block_size=128, vocab_size=65)
trainer.fit(on_step=bar.update, on_evaluation=report.evaluated)

It has no random state: the batch and the dropout of a step come from seeds made of the run's seed and the iteration, so
that a training that is resumed, or shared by several processes, does what it would have done.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from .checkpoint import State
from .config import TrainConfig
from .data import Batches, seed_of, windows
from .device import bfloat16_is_faster, seed_dropout
from .distributed import World
from .errors import UserError
from .kernels import fuse_layer_norm, join_projections, quicken_dropout
from .optimizers import build_optimizers, learning_rate_factor, set_learning_rate
from .stopping import Stop


@dataclass(frozen=True)
class Step:
    """Where the training stands. Losses are in nats a token; seconds are those of training steps alone."""

    iteration: int
    progress: float
    seconds: float
    tokens: int
    loss: float
    validation_loss: float | None = None

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        return self.seconds * (1 - self.progress) / self.progress if self.progress else math.inf


def ignore(_: Any) -> None:
    pass


class Trainer:
    """Trains `model` on the device that its weights are on. After `fit`, the model is in evaluation mode.

    Some of its layers are exchanged for faster ones that compute the same: see kernels.py.

    world: the processes that train together; config.batch_size is the batch of all of them. Raises UserError if
    neither the batches of a step nor the rows of a batch can be shared out evenly.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Int[Tensor, " N"],
        validation: Int[Tensor, " M"],
        config: TrainConfig,
        block_size: int,
        vocab_size: int,
        world: World = World(),  # noqa: B008
    ):
        if config.accumulate % world.size and config.batch_size % world.size:
            raise UserError(
                f"train.batch_size = {config.batch_size} cannot be shared by {world.size} processes;"
                f" {(config.batch_size // world.size + 1) * world.size} could be"
            )
        quicken_dropout(model)
        join_projections(model)
        self.fused = config.fused_layer_norm and fuse_layer_norm(model) > 0
        self.world = world
        self.model = model
        self.batches = Batches(train, config.batch_size, block_size, config.seed)
        self.validation = validation
        self.config = config
        self.block_size = block_size
        self.vocab_size = vocab_size
        self.device = next(model.parameters()).device
        choose = config.precision == "auto"
        self._compute_in(world.agreed(bfloat16_is_faster(self.device)) if choose else config.precision == "bfloat16")
        self.parallel = world.wrap(model)
        self.iteration = 0
        self.seconds = 0.0
        self.loss = math.nan
        self.stop = Stop()

    def _compute_in(self, bfloat16: bool) -> None:
        self.bfloat16 = bfloat16
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        self.optimizers = build_optimizers(self.model, self.config, self.vocab_size, dtype)

    @property
    def summary(self) -> str:
        """What was chosen for this device, in words."""
        budget = [f"{self.config.seconds:g} s"] if self.config.seconds else []
        budget += [f"{self.config.iterations:,} steps"] if self.config.iterations else []
        optimizer = "Muon and AdamW" if len(self.optimizers) == 2 else "AdamW"
        precision = "bfloat16" if self.bfloat16 else "float32"
        fused = ", fused LayerNorm" if self.fused else ""
        together = f", {self.world.size} processes" if self.world.size > 1 else ""
        return f"{precision}, {optimizer}{fused}, for {' or '.join(budget)}{together}"

    @property
    def progress(self) -> float:
        """From 0 to 1, by the budget that is nearer to its end."""
        by_iterations = self.iteration / self.config.iterations if self.config.iterations else 0.0
        by_seconds = self.seconds / self.config.seconds if self.config.seconds else 0.0
        return min(1.0, max(by_iterations, by_seconds))

    def fit(
        self,
        on_step: Callable[[Step], None] = ignore,
        on_evaluation: Callable[[Step], None] = ignore,
        on_checkpoint: Callable[[State], None] = ignore,
    ) -> Step:
        """Train until the budget is spent or a signal asks for the end; evaluate on the way and at the end.

        on_checkpoint gets the state at the intervals that the config asks for, after each evaluation and at the end.
        Raises UserError if the loss is not a number any more.
        """
        evaluations = int(self.progress * self.config.evaluations)
        losses: list[Tensor] = []  # since they were last looked at
        saved_at = self.seconds, self.iteration
        with self.stop.listening():
            self.model.train()
            while self.progress < 1 and not self.stop.asked:
                start = time.perf_counter()
                losses.append(self.step())
                at_log = self.iteration % 10 == 0
                if at_log:
                    self._look_at(losses)  # waits for the device
                self._agree(time.perf_counter() - start)
                if at_log:
                    on_step(self._where())
                if self.progress < 1 and self.progress * self.config.evaluations >= evaluations + 1:
                    evaluations = int(self.progress * self.config.evaluations)
                    self._look_at(losses)
                    here = self._where(self.evaluate(self.validation))
                    on_evaluation(here)
                    on_checkpoint(self.state(here.validation_loss))
                    saved_at = self.seconds, self.iteration
                elif self._checkpoint_is_due(*saved_at):
                    self._look_at(losses)
                    on_checkpoint(self.state())
                    saved_at = self.seconds, self.iteration
            self._look_at(losses)
            if self.stop.asked:
                on_checkpoint(self.state())  # first of all: who sent the signal may not wait for long
            last = self._where(self.evaluate(self.validation))
            on_evaluation(last)
            on_checkpoint(self.state(last.validation_loss))
        self.model.eval()
        return last

    def step(self) -> Tensor:
        """One optimizer step on `accumulate` batches; returns the mean loss of this process's share, on the device.

        Several processes share out the batches where their number allows it, and the rows of each batch otherwise.
        In the first case, a step is that of a single process, to the last bit where two share; in the second, but for
        rounding, which ReLU can make count, and for what dropout draws.
        """
        set_learning_rate(self.optimizers, learning_rate_factor(self.progress, self.config.warmup, self.config.decay))
        rank, size = self.world.rank, self.world.size
        if self.config.accumulate % size == 0:  # each process has batches of its own
            parts, rows, share = range(rank, self.config.accumulate, size), slice(None), 0
        else:  # each has rows of every batch
            parts, rows, share = range(self.config.accumulate), slice(rank, None, size), rank
        total = torch.zeros((), device=self.device)
        for part in parts:
            x, y = self.batches[self.iteration * self.config.accumulate + part]
            seed_dropout(self.device, seed_of(self.config.seed, self.iteration, part, share))
            with self.world.averaging(self.parallel, part == parts[-1]):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                    _, loss = self.parallel(x[rows].to(self.device), y[rows].to(self.device))
                (loss / len(parts)).backward()
            total += loss.detach() / len(parts)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.iteration += 1
        return total

    def state(self, validation_loss: float | None = None) -> State:
        """What a new Trainer with the same arguments needs to go on from here."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for i, optimizer in enumerate(self.optimizers):
            for j, values in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{i}.{j}.{name}": value for name, value in values.items()}
        facts = {"iteration": self.iteration, "seconds": self.seconds, "bfloat16": self.bfloat16}
        facts["optimizer"] = self.config.optimizer
        return State(tensors, {**facts, "loss": self.loss, "validation_loss": validation_loss})

    def restore(self, state: State) -> None:
        """Raises UserError if the state is that of another model or optimizer."""
        optimizer = state.facts.get("optimizer")
        if optimizer != self.config.optimizer:
            raise UserError(f"the checkpoint is that of a training by {optimizer}; go on with it, or start anew")
        try:
            self._compute_in(bool(state.facts["bfloat16"]))  # what was measured then, not what would be now
            self.model.load_state_dict(_below(state.tensors, "model."))
            for i, optimizer in enumerate(self.optimizers):
                found: dict[int, dict[str, Tensor]] = {}
                for name, tensor in _below(state.tensors, f"optimizer.{i}.").items():
                    j, _, key = name.partition(".")
                    found.setdefault(int(j), {})[key] = tensor
                optimizer.load_state_dict({**optimizer.state_dict(), "state": found})
            self.iteration = int(state.facts["iteration"])
            self.seconds = float(state.facts["seconds"])
            self.loss = float(state.facts["loss"])
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            why = " ".join(str(error).split()[:20])
            raise UserError(f"the checkpoint is that of another model or training ({why})") from None

    def _agree(self, seconds: float) -> None:
        """Add the step's seconds, by rank 0's clock, and stop everywhere if a signal came anywhere."""
        mine = [self.seconds + seconds if self.world.speaks else 0.0, float(self.stop.heard)]
        self.seconds, number = self.world.largest(torch.tensor(mine, dtype=torch.float64)).tolist()
        self.stop.ask(int(number))

    def _checkpoint_is_due(self, seconds: float, iteration: int) -> bool:
        by_seconds = self.config.checkpoint_seconds
        by_iterations = self.config.checkpoint_iterations
        return (by_seconds is not None and self.seconds - seconds >= by_seconds) or (
            by_iterations is not None and self.iteration - iteration >= by_iterations
        )

    def _look_at(self, losses: list[Tensor]) -> None:
        """Keep the last of the losses, the mean over all processes. Raises UserError if one of them is not finite."""
        if not losses:
            return
        values = (self.world.total(torch.stack(losses)) / self.world.size).tolist()
        for i, value in enumerate(values):
            if not math.isfinite(value):
                raise UserError(
                    f"the loss is {value} at iteration {self.iteration - len(values) + i + 1}: training has diverged;"
                    f" lower --train.learning_rate ({self.config.learning_rate:g})"
                    f" or --train.muon_learning_rate ({self.config.muon_learning_rate:g})"
                )
        self.loss = values[-1]
        losses.clear()

    @torch.inference_mode()
    def evaluate(self, tokens: Int[Tensor, " N"]) -> float:
        """The exact mean loss over all of `tokens`, in float32 and evaluation mode."""
        was_training = self.model.training
        self.model.eval()
        total = torch.zeros((), device=self.device)
        batches = windows(tokens, batch_size=max(1, 8192 // self.block_size), block_size=self.block_size)
        for i, (x, y) in enumerate(batches):
            if i % self.world.size == self.world.rank:
                _, loss = self.model(x.to(self.device), y.to(self.device))
                total += loss * y.numel()
        self.model.train(was_training)
        return self.world.total(total).item() / (len(tokens) - 1)

    def _where(self, validation_loss: float | None = None) -> Step:
        tokens = self.iteration * self.config.accumulate * self.config.batch_size * self.block_size
        return Step(self.iteration, self.progress, self.seconds, tokens, self.loss, validation_loss)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
