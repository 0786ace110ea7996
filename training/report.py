"""What a run leaves behind: a folder that can be read by people and loaded again.

runs/2026-01-31-154502-shakespeare/
    config.yaml        every setting used
    tokenizer.json     the characters, or the byte pairs in the format of Hugging Face's tokenizers
    metrics.jsonl      one line for each logged step: iteration, seconds, loss, ...
    samples.txt        what the model wrote at several moments of the training
    loss.png           the loss curve
    model.safetensors  the weights
    checkpoints/       to go on from with --resume
"""

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from .checkpoint import Checkpoints, State, write_whole
from .config import Config, make_config
from .distributed import restarted_job
from .errors import UserError
from .sampling import write_text
from .tokenizer import Tokenizer, load_tokenizer
from .trainer import Step, Trainer


class Run:
    """A run folder. `about` holds what is needed to build the model again, beside the config."""

    def __init__(self, folder: Path, config: Config, tokenizer: Tokenizer, about: dict[str, Any]):
        self.folder = folder
        self.config = config
        self.tokenizer = tokenizer
        self.about = about
        self.checkpoints = Checkpoints(folder)

    @classmethod
    def create(cls, root: Path, name: str, config: Config, tokenizer: Tokenizer, about: dict[str, Any]) -> "Run":
        """Make root/<time>-<name> and write down what is known before the training."""
        stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        names = [f"{stamp}-{name}"] + [f"{stamp}-{name}-{i}" for i in range(2, 100)]
        folder = next(root / n for n in names if not (root / n).exists())
        try:
            folder.mkdir(parents=True)
            about = {**about, "job": restarted_job()[0]}
            settings = {"about": about, **config.model_dump()}
            _write(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
            _write(folder / "tokenizer.json", tokenizer.to_json())
        except OSError as error:
            raise UserError(
                f"the run folder '{folder}' cannot be made: {error.strerror}; name another place with --runs"
            ) from None
        return cls(folder, config, tokenizer, about)

    @staticmethod
    def of_restarted_job(root: Path) -> Path | None:
        """Where torchrun has started this job again: the run folder that the job made, if it came to a checkpoint."""
        job, again = restarted_job()
        for path in sorted(root.glob("*/config.yaml"), reverse=True) if again else ():
            with suppress(OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
                if yaml.safe_load(path.read_text(encoding="utf-8"))["about"]["job"] == job:
                    return path.parent if Checkpoints(path.parent).paths() else None
        return None

    def go_on(self, trainer: Trainer, text: str, accepted: bool, cut: bool) -> list[str]:
        """Take up the training at the last whole checkpoint; `cut`: forget what was reported after it.

        Returns what is to be said. Raises UserError where the settings or the text (its sha256) are not as they were
        at the checkpoint, unless that was accepted.
        """
        state, complaints = self.checkpoints.load()
        free = ("sample.", "train.device", "train.checkpoint_", "data.path")
        now, then = _flat(self.config.model_dump()), _flat(state.facts.get("config", {}))
        changed = [
            f"{key} was {then.get(key)} and is {now.get(key)}"
            for key in sorted(now.keys() | then.keys())
            if now.get(key) != then.get(key) and not key.startswith(free)
        ]
        changed += ["the text is another"] if state.facts.get("text") != text else []
        if changed and not accepted:
            raise UserError(
                f"since the checkpoint something changed: {'; '.join(changed)};"
                " undo it, or add --accept-changes to go on all the same"
            )
        trainer.restore(state)
        if cut:
            self.cut(trainer.iteration, evaluated_again=trainer.progress >= 1)
        here = f"resume: {self.folder.as_posix()}, at iteration {trainer.iteration:,}"
        return [*(f"warning: {complaint}" for complaint in complaints), here]

    @classmethod
    def load(cls, folder: Path, overrides: dict[str, Any] | None = None) -> "Run":
        """Read a run folder, with other settings laid over its own. Raises UserError if it is not a run's."""
        try:
            settings = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
            about = settings.pop("about")
            _ = int(about["stage"]), bool(about["solutions"])
            tokenizer = load_tokenizer((folder / "tokenizer.json").read_text(encoding="utf-8"))
            config = make_config(settings, overrides)
        except (OSError, yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError):
            runs = sorted(p.parent.as_posix() for p in folder.parent.glob("*/model.safetensors"))
            hint = f"; there is {runs[-1]}" if runs else "; runs are kept in runs/"
            raise UserError(f"'{folder}' is not the folder of a run{hint}") from None
        return cls(folder, config, tokenizer, about)

    def save_weights(self, model: nn.Module) -> None:
        """Raises UserError where they cannot be written."""
        path = self.folder / "model.safetensors"
        try:
            write_whole(path, save({name: t.contiguous() for name, t in model.state_dict().items()}))
        except OSError as error:
            raise UserError(
                f"the weights '{path}' cannot be written: {error.strerror}; make room, and go on from the last"
                f" checkpoint with --resume {self.folder.as_posix()}"
            ) from None

    def cut(self, iteration: int, evaluated_again: bool = False) -> None:
        """Forget what was reported after the iteration, before a training goes on from there.

        evaluated_again: forget also the evaluation at the iteration, since the training will only do that once more.
        """
        path = self.folder / "metrics.jsonl"
        if path.exists():
            kept = []
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # the last line may be half a line
                    facts = json.loads(line)
                    again = evaluated_again and facts["iteration"] == iteration and "validation_loss" in facts
                    kept += [f"{line}\n"] if facts["iteration"] <= iteration and not again else []
            _write(path, "".join(kept))
        path = self.folder / "samples.txt"
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            samples = re.split(r"^(?=--- iteration )", text, flags=re.MULTILINE)
            ends = [re.match(r"--- iteration (\d+),", sample) for sample in samples]
            last = iteration - evaluated_again
            _write(path, "".join(s for s, e in zip(samples, ends, strict=True) if e and int(e[1]) <= last))

    def load_weights(self, model: nn.Module) -> None:
        """Raises UserError if the weights are missing, damaged, or those of another model."""
        path = self.folder / "model.safetensors"
        try:
            model.load_state_dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise UserError(f"the weights '{path}' cannot be read ({error}); train again with main.py") from None
        except RuntimeError as error:
            first = str(error).split("\n")[1:2]
            raise UserError(
                f"the weights '{path}' are those of another model ({' '.join(first).strip()});"
                " write with the code and the settings that the run was trained with"
            ) from None

    def log(self, step: Step, bytes_per_token: float) -> None:
        line = {k: v for k, v in asdict(step).items() if v is not None}
        if step.validation_loss is not None:
            line["bits_per_byte"] = bits_per_byte(step.validation_loss, bytes_per_token)
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "tokens_per_second": round(step.tokens_per_second)}) + "\n")

    def add_sample(self, step: Step, text: str) -> None:
        title = f"iteration {step.iteration}, {step.seconds:.0f} s, validation loss {step.validation_loss:.4f}"
        with (self.folder / "samples.txt").open("a", encoding="utf-8") as file:
            file.write(f"--- {title} ---\n{text}\n\n")

    def draw_loss(self) -> None:
        """loss.png: training loss (its running mean) and validation loss over the iterations."""
        from matplotlib.figure import Figure  # slow to import, and needed only here

        steps = []
        for line in (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # what was written while the disk was full
                steps.append(json.loads(line))
        validations = [s for s in steps if "validation_loss" in s]
        if not validations:
            return
        figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        smooth, means = steps[0]["loss"], []
        for step in steps:
            smooth = 0.8 * smooth + 0.2 * step["loss"]
            means.append(smooth)
        axes.plot([s["iteration"] for s in steps], means, color="#4477aa", label="training")
        axes.plot(
            [s["iteration"] for s in validations], [s["validation_loss"] for s in validations],
            "o-", color="#cc6677", label="validation",
        )  # fmt: skip
        last = validations[-1]
        axes.annotate(
            f"{last['validation_loss']:.3f}", (last["iteration"], last["validation_loss"]),
            xytext=(0, 9), textcoords="offset points", ha="right", color="#cc6677",
        )  # fmt: skip
        axes.set(xlabel="iteration", ylabel="loss (nats a token)")
        axes.set_title(self.folder.name, parse_math=False)
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(self.folder / "loss.png")


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """A loss in nats a token, for each byte of the text: comparable between tokenizers, which the loss is not."""
    return loss / math.log(2) / bytes_per_token


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, keys in settings.items() for key, value in keys.items()}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


class Report:
    """Keeps the run folder and the console up to date while a model trains: a bar on one line, samples above it.

    bytes_per_token: of the text that the model is validated on.
    """

    def __init__(self, run: Run, model: nn.Module, bytes_per_token: float):
        self.run = run
        self.model = model
        self.bytes_per_token = bytes_per_token
        self.console = Console(highlight=False, emoji=False)
        columns = TextColumn("{task.description}"), BarColumn(bar_width=16), TextColumn("{task.fields[figures]}")
        self.bar = Progress(*columns, console=self.console)
        self.task = self.bar.add_task("training", total=1.0, figures="")
        self.validation = ""
        self.lost: set[str] = set()

    def __enter__(self) -> "Report":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def step(self, step: Step) -> None:
        self._keep(lambda: self.run.log(step, self.bytes_per_token), "metrics.jsonl")
        if step.validation_loss is not None:
            self.validation = f" | validation {step.validation_loss:.3f}"
        figures = (
            f"{step.progress:4.0%} | loss {step.loss:.3f}{self.validation}"
            f" | {step.tokens_per_second:,.0f} tokens/s | {_clock(step.seconds_left)} left"
        )
        self.bar.update(self.task, completed=step.progress, figures=figures)

    def evaluation(self, step: Step) -> None:
        self.step(step)
        config, seed = self.run.config, self.run.config.train.seed
        pieces = write_text(self.model, self.run.tokenizer, config.model.block_size, config.sample, seed, length=200)
        sample = "".join(pieces)
        self._keep(lambda: self.run.add_sample(step, config.sample.prompt + sample), "samples.txt")
        lines = sample.strip().splitlines()[:5]
        title = f"\n[{step.seconds:.0f} s, validation loss {step.validation_loss:.3f}]"
        self.console.print(title, *lines, sep="\n", markup=False, soft_wrap=True)

    def checkpoint(self, state: State) -> None:
        if all(t.isfinite().all() for t in state.tensors.values()):
            facts = {**state.facts, "config": self.run.config.model_dump(), "text": self.run.about["text"]}
            self._keep(lambda: self.run.checkpoints.save(State(state.tensors, facts)), "a checkpoint")

    def _keep(self, write: Callable[[], object], what: str) -> None:
        """A disk that is full for a while costs what could not be written, nothing else. Said once for each."""
        try:
            write()
        except OSError as error:
            if what not in self.lost:
                self.lost.add(what)
                said = f"warning: {what} cannot be written ({error.strerror}); the run goes on"
                self.console.print(said, markup=False, soft_wrap=True)

    def summary(self, step: Step) -> str:
        assert step.validation_loss is not None
        bits = bits_per_byte(step.validation_loss, self.bytes_per_token)
        loss = f"validation loss {step.validation_loss:.4f} ({bits:.3f} bits per byte)"
        return f"{loss} after {step.iteration:,} steps in {step.seconds:.0f} s"

    def finish(self) -> None:
        self.run.save_weights(self.model)
        self._keep(self.run.draw_loss, "loss.png")


def _clock(seconds: float) -> str:
    return "?" if math.isinf(seconds) else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
