"""Train a GPT on a text, and let it write.

python main.py --solutions                 train the finished GPT on input.txt
python main.py                             train the GPT that you have written so far
python main.py --write RUN --prompt "O "   write with a GPT trained before
python main.py --resume RUN                go on with a training that was stopped
torchrun --nproc_per_node 2 main.py        train with several processes or GPUs
"""

import argparse
import io
import re
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from course.stages import ROOT, STAGES, stage_to_train
from training.config import Config, add_config_arguments, load_config, make_config, nearest
from training.errors import UserError


def main(argv: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console without a character shows ? and goes on
    try:
        args, overrides = parse(argv)
        return write(args, overrides) if args.write else train(args, overrides)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def train(args: argparse.Namespace, overrides: dict[str, Any]) -> int:
    import torch

    from training.distributed import joined

    with joined() as world:
        try:
            return train_together(world, args, overrides)
        except RuntimeError as error:
            if world.size == 1 or isinstance(error, torch.OutOfMemoryError):
                raise
            why = re.sub(r"^\[.*?\] ", "", str(error)).split(". ")[0]
            raise UserError(f"process {world.rank} of {world.size} lost the others: {why}") from None


def train_together(world: Any, args: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Train; among several processes, the one of rank 0 writes and speaks for all."""
    import torch

    from course.models import build_model
    from training.data import find_text, read_text, sha256, split
    from training.device import choose_device
    from training.distributed import restarted_job
    from training.initialization import initialize
    from training.report import Report, Run
    from training.tokenizer import CharTokenizer
    from training.trainer import Trainer

    say = print if world.speaks else lambda *_, **__: None
    job, again = restarted_job()
    folder = args.resume or (world.agreed(Run.of_job(args.runs, job)) if again else None)
    run = Run.load(folder, overrides) if folder else None
    config = run.config if run else load_config(args.config, args.preset, overrides)
    solutions = run.about["solutions"] if run else args.solutions
    stage = stage_to_train(use_package(solutions), run.about["stage"] if run else args.stage)

    text = read_text(find_text(config.data.path))
    tokenizer = run.tokenizer if run else CharTokenizer.from_text(text)
    tokens = torch.tensor(tokenizer.encode(text))
    training, validation = split(tokens, config.data.validation, config.model.block_size)
    if "sample.prompt" not in overrides and not set(config.sample.prompt) <= set(text):
        config = make_config(config.model_dump(), {"sample.prompt": text[0]})  # a text of one line has no line break
    tokenizer.encode(config.sample.prompt)  # a character that the text lacks is better named now than after training
    say(f"text:   {config.data.path}, {len(text):,} characters, {tokenizer.vocab_size} distinct ones")

    torch.manual_seed(config.train.seed)
    device = choose_device(config.train.device)
    model = build_model(stage, tokenizer.vocab_size, config.model).to(device)
    initialize(model)
    parameters = sum(p.numel() for p in model.parameters())
    say(f"model:  stage {stage} ({STAGES[stage - 1].title}), {parameters:,} parameters")

    trainer = Trainer(model, training, validation, config.train, config.model.block_size, tokenizer.vocab_size, world)
    if run:
        state, complaints = run.checkpoints.load()
        run.refuse_changes(state, sha256(text), args.accept_changes)
        trainer.restore(state)
        say("".join(f"warning: {complaint}\n" for complaint in complaints), end="")
        say(f"resume: {run.folder.as_posix()}, at iteration {trainer.iteration:,}")
    say(f"train:  on {device.type}, {trainer.summary}" + (f", {world.size} processes" if world.size > 1 else ""))
    if not world.speaks:
        trainer.fit()
        return 0
    about = {"stage": stage, "solutions": solutions, "text": sha256(text), "job": job}
    if run:
        run.cut(trainer.iteration)
    else:
        run = Run.create(args.runs, args.name, config, tokenizer, about)
    with Report(run, model) as report:
        last = trainer.fit(report.step, report.evaluation, report.checkpoint)
        report.finish()
    place = run.folder.as_posix()
    if trainer.stop.asked:
        print(f"Stopped by {signal.Signals(trainer.stop.number).name}; what was learned so far is kept.")
        print(f"python main.py --resume {place} goes on from here.")
    print(f"validation loss {last.validation_loss:.4f} after {last.iteration:,} steps in {last.seconds:.0f} s")
    if trainer.stop.number not in (0, signal.SIGINT):
        return 128 + trainer.stop.number
    print(f"{place} has the loss curve, samples and weights; to write more:")
    print(f'python main.py --write {place} --prompt "..."\n')
    write_out(model, tokenizer, config)
    return 0


def write(args: argparse.Namespace, overrides: dict[str, Any]) -> int:
    from training.report import Run

    run = Run.load(args.write, overrides)

    from course.models import build_model
    from training.device import choose_device

    stage_to_train(use_package(run.about["solutions"]), run.about["stage"])
    model = build_model(run.about["stage"], run.tokenizer.vocab_size, run.config.model)
    run.load_weights(model)
    write_out(model.to(choose_device(run.config.train.device)).eval(), run.tokenizer, run.config)
    return 0


def write_out(model: Any, tokenizer: Any, config: Config) -> None:
    """Print the prompt, and what the model makes of it, each piece as soon as it is there."""
    from training.sampling import write_text

    print(config.sample.prompt, end="", flush=True)
    for piece in write_text(model, tokenizer, config.model.block_size, config.sample, config.train.seed):
        print(piece, end="", flush=True)
    print()


def use_package(solutions: bool) -> Path:
    """Let `import gpt` find the finished package, or the learner's; returns its folder."""
    folder = ROOT / "solutions" if solutions else ROOT
    sys.path.insert(0, str(folder))
    return folder / "gpt"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; python main.py --help shows the options")


def parse(argv: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The options, and among them the overrides of config.yaml: {"train.learning_rate": "3e-3"}."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="main.py", description=__doc__, formatter_class=raw, allow_abbrev=False)
    add = parser.add_argument
    add("--solutions", action="store_true", help="use the finished code in solutions/gpt/, not yours in gpt/")
    add("--stage", type=int, choices=[s.number for s in STAGES], help="train the model that the course has at a stage")
    add("--data", metavar="PATH", help="the text to learn from; short for --data.path")
    add("--preset", metavar="NAME", help="settings for a purpose: one of the presets in config.yaml")
    add("--name", default="gpt", help="the end of the run folder's name")
    add("--runs", type=Path, default=ROOT / "runs", metavar="DIR", help="where run folders are made")
    add("--config", type=Path, default=ROOT / "config.yaml", metavar="FILE", help="instead of config.yaml")
    add(
        "--resume", type=Path, metavar="RUN", help="go on with the training of this run folder from its last checkpoint"
    )
    add("--accept-changes", action="store_true", help="with --resume: go on although the settings or the text changed")
    add("--write", type=Path, metavar="RUN", help="do not train: write with the model of this run folder")
    add("--prompt", help="the text to go on from; short for --sample.prompt")
    add_config_arguments(parser)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        known = [option for action in parser._actions for option in action.option_strings]
        raise UserError(f"there is no option '{unknown[0]}'{nearest(unknown[0].partition('=')[0], known)}")
    overrides = {key: value for key, value in vars(args).items() if "." in key}
    short = {"data.path": args.data, "sample.prompt": args.prompt}
    return args, overrides | {key: value for key, value in short.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
