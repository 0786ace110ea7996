"""The training loop, for any module whose forward(x, targets) returns (logits, loss).

trainer = Trainer(model, train, validation, config.train, block_size=128, vocab_size=65)
trainer.fit(on_step=bar.update, on_evaluation=report.evaluated)
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from .config import TrainConfig
from .data import sample_batch, windows
from .device import bfloat16_is_faster
from .errors import UserError
from .optimizers import build_optimizers, learning_rate_factor, set_learning_rate


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


def ignore(step: Step) -> None:
    pass


class Trainer:
    """Trains `model` on the device that its weights are on. After `fit`, the model is in evaluation mode."""

    def __init__(
        self,
        model: nn.Module,
        train: Int[Tensor, " N"],
        validation: Int[Tensor, " M"],
        config: TrainConfig,
        block_size: int,
        vocab_size: int,
    ):
        self.model = model
        self.train = train
        self.validation = validation
        self.config = config
        self.block_size = block_size
        self.device = next(model.parameters()).device
        self.bfloat16 = config.precision == "bfloat16" or (
            config.precision == "auto" and bfloat16_is_faster(self.device)
        )
        dtype = torch.bfloat16 if self.bfloat16 else torch.float32
        self.optimizers = build_optimizers(model, config, vocab_size, dtype)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.iteration = 0
        self.seconds = 0.0
        self.interrupted = False

    @property
    def summary(self) -> str:
        """What was chosen for this device, in words."""
        budget = [f"{self.config.seconds:g} s"] if self.config.seconds else []
        budget += [f"{self.config.iterations:,} steps"] if self.config.iterations else []
        optimizer = "Muon and AdamW" if len(self.optimizers) == 2 else "AdamW"
        precision = "bfloat16" if self.bfloat16 else "float32"
        return f"{precision}, {optimizer}, for {' or '.join(budget)}"

    @property
    def progress(self) -> float:
        """From 0 to 1, by the budget that is nearer to its end."""
        by_iterations = self.iteration / self.config.iterations if self.config.iterations else 0.0
        by_seconds = self.seconds / self.config.seconds if self.config.seconds else 0.0
        return min(1.0, max(by_iterations, by_seconds))

    def fit(self, on_step: Callable[[Step], None] = ignore, on_evaluation: Callable[[Step], None] = ignore) -> Step:
        """Train until the budget is spent or Ctrl-C is pressed; evaluate on the way and at the end.

        Raises UserError if the loss is not a number any more.
        """
        evaluations, loss = 0, torch.tensor(math.nan)
        with self._stop_on_ctrl_c():
            self.model.train()
            while self.progress < 1 and not self.interrupted:
                start = time.perf_counter()
                loss = self.step()
                at_log = self.iteration % 10 == 0
                if at_log and not math.isfinite(value := loss.item()):  # .item() waits for the device
                    raise UserError(
                        f"the loss is {value} at iteration {self.iteration}: training has diverged;"
                        f" lower --train.learning_rate ({self.config.learning_rate:g})"
                        f" or --train.muon_learning_rate ({self.config.muon_learning_rate:g})"
                    )
                self.seconds += time.perf_counter() - start
                if at_log:
                    on_step(self._where(loss))
                if self.progress < 1 and self.progress * self.config.evaluations >= evaluations + 1:
                    evaluations = int(self.progress * self.config.evaluations)
                    on_evaluation(self._where(loss, self.evaluate(self.validation)))
            last = self._where(loss, self.evaluate(self.validation))
        on_evaluation(last)
        self.model.eval()
        return last

    def step(self) -> Tensor:
        """One optimizer step on `accumulate` batches; returns their mean loss, on the device."""
        set_learning_rate(self.optimizers, learning_rate_factor(self.progress, self.config.warmup, self.config.decay))
        total = torch.zeros((), device=self.device)
        for _ in range(self.config.accumulate):
            x, y = sample_batch(self.train, self.config.batch_size, self.block_size, self.generator)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                _, loss = self.model(x.to(self.device), y.to(self.device))
            (loss / self.config.accumulate).backward()
            total += loss.detach() / self.config.accumulate
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.iteration += 1
        return total

    @torch.inference_mode()
    def evaluate(self, tokens: Int[Tensor, " N"]) -> float:
        """The exact mean loss over all of `tokens`, in float32 and evaluation mode."""
        was_training = self.model.training
        self.model.eval()
        total = torch.zeros((), device=self.device)
        for x, y in windows(tokens, batch_size=max(1, 8192 // self.block_size), block_size=self.block_size):
            _, loss = self.model(x.to(self.device), y.to(self.device))
            total += loss * y.numel()
        self.model.train(was_training)
        return total.item() / (len(tokens) - 1)

    def _where(self, loss: Tensor, validation_loss: float | None = None) -> Step:
        tokens = self.iteration * self.config.accumulate * self.config.batch_size * self.block_size
        return Step(self.iteration, self.progress, self.seconds, tokens, loss.item(), validation_loss)

    @contextmanager
    def _stop_on_ctrl_c(self) -> Iterator[None]:
        """The first Ctrl-C ends the loop after the step in hand; the second one interrupts as usual."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: object) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            with suppress(ValueError):
                signal.signal(signal.SIGINT, before)
