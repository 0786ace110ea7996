"""Does it really help? Experiments with two arms: the same seeds, the same batches, and a margin measured beforehand.

An experiment is measured from a seed, and asks for something. A test runs it once (`prove`); benchmarks/calibrate.py
repeats it over many seeds, also with the improvement taken out, and so knows the chance of a false verdict.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from course.stages import ROOT
from training.data import read_text, sample_batch, windows
from training.tokenizer import CharTokenizer

from .charts import aligned, chart, draw
from .costs import one_thread
from .failing import Wrong, is_waiting, last_frame
from .loading import load
from .showing import show

SEED = 1  # of the run that a test makes


class Asked(NamedTuple):
    """What a claim rests on: `value` has to be at least (or at most) `margin`.

    A fact holds whatever the seed: there is no chance in it. A ratio is of times, and varies by factors.
    """

    what: str
    value: float
    margin: float
    at_most: bool = False
    fact: bool = False
    ratio: bool = False

    @property
    def holds(self) -> bool:
        return self.value <= self.margin if self.at_most else self.value >= self.margin

    def __str__(self) -> str:
        limit = "at most" if self.at_most else "at least"
        return f"{self.what}: {self.value:.4g}; asked for: {limit} {self.margin:.4g}"


@dataclass
class Outcome:
    """What one run of an experiment gave: a table and what else there is to see, and what it asks for."""

    rows: list[list[str]]  # of the table, the first one being its head
    asked: list[Asked]
    curves: dict[str, list[float]] = field(default_factory=dict)  # name -> the loss of each step
    level: tuple[str, float] | None = None  # a line in the chart that no curve of some kind can cross
    notes: list[str] = field(default_factory=list)
    axes: tuple[str, str] = ("step", "loss")

    def lines(self) -> list[str]:
        level = [f"{self.level[0]}: {self.level[1]:.4f}"] if self.level else []
        picture = ["", *chart(self.curves, self.level, self.axes), ""] if self.curves else [""]
        return [*aligned(self.rows), *picture, *self.notes, *level, *(str(asked) for asked in self.asked)]


class Experiment(Protocol):
    """`name` is that of its test; `claim` says it in words; `reason` is what it may be if it fails."""

    @property
    def name(self) -> str: ...
    @property
    def claim(self) -> str: ...
    @property
    def stage(self) -> int: ...
    @property
    def reason(self) -> str: ...

    def measure(self, seed: int, alike: bool = False) -> Outcome:
        """alike: with the improvement taken out, so that the claim has to fail."""
        ...


def prove(experiment: Experiment, picture: Path | None = None) -> None:
    """Measure it once and show what came; raise Wrong where it asks for more. Draws `picture` where a path is given."""
    with one_thread():
        outcome = experiment.measure(SEED)
    show(*outcome.lines())
    if picture and outcome.curves:
        draw(outcome.curves, outcome.level, outcome.axes, experiment.claim, picture)
        show(f"as a picture: {picture.relative_to(ROOT).as_posix()}")
    failed = [asked for asked in outcome.asked if not asked.holds]
    if failed:
        table = "\n".join(aligned(outcome.rows))
        short = "\n".join(str(asked) for asked in failed)
        raise Wrong(f"Not so here: {experiment.claim}.\n\n{table}\n\n{short}\n\n{experiment.reason}")


# ---- what a model is trained on


class Task(Protocol):
    """Where batches come from, and what counts as good."""

    vocab_size: int
    context: int

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]: ...
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor: ...
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Each figure that the table has a column for."""
        ...


class Text:
    """The first characters of input.txt: for training the first of them, for validation those that follow."""

    def __init__(self, training: int = 50_000, validation: int = 8_000, context: int = 16, batch_size: int = 32):
        self.training, self.validation = training, validation
        self.context, self.batch_size = context, batch_size

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        tokens, _ = _tokens(self.training + self.validation)
        return tokens[: self.training], tokens[self.training :]

    @property
    def vocab_size(self) -> int:
        return _tokens(self.training + self.validation)[1].vocab_size

    def decode(self, tokens: Tensor) -> str:
        return _tokens(self.training + self.validation)[1].decode(tokens.tolist())

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return sample_batch(self.parts[0], self.batch_size, self.context, generator)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return model(x, y)[1]

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """The exact mean loss on the validation text, and on as much of the training text."""
        training, validation = self.parts
        return {"training": self._mean(model, training[: self.validation]), "validation": self._mean(model, validation)}

    def _mean(self, model: nn.Module, tokens: Tensor) -> float:
        batches = windows(tokens, batch_size=64, block_size=self.context)
        return sum(self.loss(model, x, y).item() * y.numel() for x, y in batches) / (len(tokens) - 1)


@cache
def _tokens(characters: int) -> tuple[Tensor, CharTokenizer]:
    text = read_text(ROOT / "input.txt")[:characters]
    tokenizer = CharTokenizer.from_text(text)
    return torch.tensor(tokenizer.encode(text)), tokenizer


# ---- two arms


class Arm(NamedTuple):
    """A model: a GPT of the learner's ("gpt_v2.GPTVer2") around a contextualizer."""

    name: str
    gpt: str
    contextualizer: Callable[[], nn.Module]


class Trained(NamedTuple):
    parameters: int
    curve: list[float]
    figures: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Two arms, trained in the same way on the same batches. The gain is how much lower `figure` is for `after`.

    pairs: how many pairs of trainings are averaged. beside: arms that are shown with them, and prove nothing.
    broken: what stands in for `after` to take the improvement out; else that is `before` from other weights. level: a
    loss that `before` cannot go below, whatever it learns.
    """

    name: str
    stage: int
    claim: str
    task: Task
    width: int
    before: Arm
    after: Arm
    steps: int
    margin: float
    reason: str
    learning_rate: float = 5e-3
    figure: str = "validation"
    pairs: int = 1
    beside: tuple[Arm, ...] = ()
    broken: Arm | None = None
    level: tuple[str, float] | None = None
    note: str = ""

    def measure(self, seed: int, alike: bool = False) -> Outcome:
        arms = [*self.beside, self.before, self.after]
        if alike:
            arms = [self.before, self.broken or self.before._replace(name=f"{self.before.name}, again")]
        apart = 500_000 if alike and not self.broken else 0
        seeds = [seed * self.pairs + pair for pair in range(self.pairs)]
        trained = {
            arm: _mean([self.train(arm, s + (apart if arm is arms[-1] else 0), batches_seed=s) for s in seeds])
            for arm in arms
        }
        before, after = (trained[arm].figures for arm in arms[-2:])
        rows = [["", "parameters", *before, "seconds", "ms/step"], *(self._row(arm, trained[arm]) for arm in arms)]
        curves = {arm.name: trained[arm].curve for arm in arms}
        notes = [self.note] if self.note else []
        if self.pairs > 1:
            notes.append(f"Each is the mean of {self.pairs} trainings.")
        return Outcome(rows, self.asks(before, after), curves, self.level, notes)

    def asks(self, before: dict[str, float], after: dict[str, float]) -> list[Asked]:
        what = "gain in loss" if self.figure == "loss" else f"gain in {self.figure} loss"
        gain = Asked(what, before[self.figure] - after[self.figure], self.margin)
        if not self.level:
            return [gain]
        above = before[self.figure] - self.level[1]
        return [gain, Asked(f"{self.before.name}: nats above {self.level[0]}", above, -1e-3, fact=True)]

    def _row(self, arm: Arm, trained: Trained) -> list[str]:
        figures = (f"{value:.4f}" for value in trained.figures.values())
        milliseconds = f"{1000 * trained.seconds / self.steps:.1f}"
        return [arm.name, f"{trained.parameters:,}", *figures, f"{trained.seconds:.2f}", milliseconds]

    def train(self, arm: Arm, weights_seed: int, batches_seed: int) -> Trained:
        """AdamW, at a learning rate that falls to zero."""
        torch.manual_seed(weights_seed)
        contextualizer = arm.contextualizer()
        torch.manual_seed(weights_seed)  # so that what both arms have beside the contextualizer begins alike
        model = load(arm.gpt)(contextualizer, self.task.vocab_size, self.task.context, self.width)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate, fused=True)
        generator = torch.Generator().manual_seed(batches_seed)
        start = time.perf_counter()
        with can_be_trained(arm.name):
            curve = descend(
                optimizer, lambda: self.task.loss(model, *self.task.batch(generator)), self.steps, self.learning_rate
            )
            seconds = time.perf_counter() - start
            model.eval()
            with torch.no_grad():
                figures = {name: bounded(value) for name, value in self.task.evaluate(model).items()}
        return Trained(sum(p.numel() for p in model.parameters()), curve, figures, seconds)


def descend(
    optimizer: torch.optim.Optimizer, loss_of_next: Callable[[], Tensor], steps: int, learning_rate: float
) -> list[float]:
    """Train for some steps, at a learning rate that falls to zero; the loss of each."""
    curve = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        loss = loss_of_next()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(bounded(loss.item()))
    return curve


def bounded(loss: float) -> float:
    """A loss that has diverged, be it infinite or not a number, counts as 100."""
    return min(loss, 100.0) if loss == loss else 100.0


@contextmanager
def can_be_trained(name: str) -> Iterator[None]:
    """An error that does not lead to a line of the learner's, in a word."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Wrong) or is_waiting(error) or last_frame(error):
            raise
        said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise Wrong(f"The training of `{name}` ended with an error.\n{said}\n{FIRST}") from error


FIRST = "The exact checks in the same file come first; they say more."


def _mean(runs: list[Trained]) -> Trained:
    figures = {key: sum(run.figures[key] for run in runs) / len(runs) for key in runs[0].figures}
    curve = [sum(losses) / len(runs) for losses in zip(*(run.curve for run in runs), strict=True)]
    return Trained(runs[0].parameters, curve, figures, sum(run.seconds for run in runs) / len(runs))
