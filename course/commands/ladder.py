"""Train every finished stage for the same time, and show how each does: in a table, on a page, in a picture.

The yardstick is bits per character, from what guessing blindly costs, log2(V), downward. With it stands the conditional
entropy of the validation text, given the last character: no model that sees the last character alone gets below that.
"""

import argparse
import json
import math
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import UserError

from ..messages import say
from ..pages import ladder_picture
from ..pages.rungs import Ladder, Rung, bits_of_pairs
from ..reading import title
from ..stages import ROOT, STAGES, Stage, stage_to_train, use_package
from ..terminal import console, here

if TYPE_CHECKING:
    from rich.progress import Progress

    from training.config import Config
    from training.data import Data


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m course ladder", description=say("ladder_help"))
    parser.add_argument("--solutions", action="store_true", help=say("ladder_solutions_help"))
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help=say("ladder_seconds_help"))
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", metavar="DIR", help=say("ladder_runs_help"))
    parser.add_argument("--open", action="store_true", help=say("look_open_help"))
    args = parser.parse_args(argv)
    last = stage_to_train(use_package(args.solutions))

    from training.config import load_config
    from training.data import prepare
    from training.device import keep_freed_memory
    from training.report import Run

    keep_freed_memory()

    settings = {"train.seconds": args.seconds, "train.iterations": None, "train.evaluations": 1}
    config = load_config(ROOT / "config.yaml", None, settings | {"data.tokenizer": "char"})
    config, data = prepare(config)
    ladder = Ladder(args.seconds, math.log2(data.tokenizer.vocab_size), bits_of_pairs(data.validation), [])
    run = Run.create(args.runs, "ladder", config, data.tokenizer, {"solutions": args.solutions})
    interrupted = climb(STAGES[:last], config, data, ladder, run.folder)
    if not ladder.rungs:
        raise UserError(say("ladder_nothing"))

    ladder_picture.draw(ladder, run.folder / "ladder.png")
    show(ladder)
    page = run.folder / "ladder.html"
    print(say("ladder_interrupted") if interrupted else "", end="\n" if interrupted else "")
    print(say("ladder_done", page=here(page.resolve()), picture=here((run.folder / "ladder.png").resolve())))
    if args.open:
        webbrowser.open(page.resolve().as_uri())
    return 0


def climb(stages: tuple[Stage, ...], config: "Config", data: "Data", ladder: Ladder, folder: Path) -> bool:
    """Add a rung for each stage, and write down what is there after each. Returns whether Ctrl-C came in between."""
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(bar_width=16), TextColumn("{task.fields[figures]}")
    with Progress(*columns, console=console()) as progress:
        for stage in stages:
            try:
                rung = train(stage, config, data, progress)
            except KeyboardInterrupt:
                rung = None
            except Exception as error:
                reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                progress.console.print(say("ladder_left_out", stage=stage.number, reason=reason, test=stage.test))
                continue
            if rung is None:
                return True
            ladder.rungs.append(rung)
            (folder / "ladder.json").write_text(json.dumps(asdict(ladder), indent=1), encoding="utf-8", newline="\n")
            (folder / "ladder.html").write_text(ladder_picture.page(ladder), encoding="utf-8", newline="\n")
    return False


def train(stage: Stage, config: "Config", data: "Data", progress: "Progress") -> Rung | None:
    """Train what the course has at a stage, as main.py would. None if Ctrl-C ended it before its time."""
    import torch

    from training.device import choose_device
    from training.initialization import initialize
    from training.sampling import write_text
    from training.trainer import Step, Trainer

    from ..models import build_model

    bar = progress.add_task(f"{stage.number:2} {title(stage)}", total=1.0, figures="")
    torch.manual_seed(config.train.seed)
    vocab_size, block_size = data.tokenizer.vocab_size, config.model.block_size
    model = build_model(stage.number, vocab_size, config.model).to(choose_device(config.train.device))
    initialize(model)

    def on_step(step: Step) -> None:
        figures = f"{step.tokens_per_second:12,.0f} tokens/s  loss {step.loss:.2f}"
        progress.update(bar, completed=step.progress, figures=figures)

    trainer = Trainer(model, data.training, data.validation, config.train, block_size, vocab_size)
    last = trainer.fit(on_step)
    if trainer.stop.asked:
        return None
    assert last.validation_loss is not None
    figures = f"{last.tokens_per_second:12,.0f} tokens/s  {last.validation_loss / math.log(2):.2f} bits per character"
    progress.update(bar, completed=1.0, figures=figures)
    written = "".join(write_text(model, data.tokenizer, block_size, config.sample, config.train.seed, length=160))
    return Rung(
        stage.number,
        title(stage),
        sum(p.numel() for p in model.parameters()),
        last.iteration,
        round(last.tokens_per_second),
        last.validation_loss,
        telling_line(written),
    )


def telling_line(text: str, least: int = 24) -> str:
    """The first line that is long enough to tell something, and whole; or, without such a line, the longest one."""
    lines = [line.strip() for line in text.split("\n")]
    whole = [line for line in lines[:-1] if len(line) >= least]
    return whole[0] if whole else max(lines, key=len)


def show(ladder: Ladder) -> None:
    """A line of figures for each stage, 80 columns wide, and under it the line that the model wrote."""
    from rich.cells import set_cell_size

    out = console()
    widths = 30, 11, 8, 11, 8, 10
    heads = [say(f"ladder_{name}") for name in ("stage", "parameters", "steps", "speed", "loss", "bits")]
    out.print(_row(heads, widths), style="bold")
    for rung in ladder.rungs:
        name = set_cell_size(f"{rung.stage:2} {rung.title}", widths[0])
        numbers = f"{rung.parameters:,}", f"{rung.steps:,}", f"{rung.tokens_per_second:,.0f}"
        out.print(_row([name, *numbers, f"{rung.loss:.3f}", f"{rung.bits:.2f}"], widths))
        out.print(f"   {rung.sample}", style="dim", no_wrap=True, overflow="ellipsis")
    out.print(say("ladder_floor", bits=f"{ladder.bits_of_pairs:.2f}", blindly=f"{ladder.bits_blindly:.2f}"))


def _row(cells: list[str], widths: tuple[int, ...]) -> str:
    from rich.cells import cell_len

    first, *others = cells
    right = (" " * (width - cell_len(cell)) + cell for cell, width in zip(others, widths[1:], strict=True))
    return first + " " * (widths[0] - cell_len(first)) + "".join(right)
