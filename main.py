"""Train a GPT on a text, and let it write.

python main.py --solutions                 train the finished GPT on input.txt
python main.py                             train the GPT that you have written so far
python main.py --write RUN --prompt "O "   write with a GPT trained before
"""

import argparse
import io
import sys
from pathlib import Path
from typing import Any, NoReturn

from course.stages import ROOT, STAGES, stage_to_train, use_package
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
    config = load_config(args.config, args.preset, overrides)
    stage = stage_to_train(use_package(args.solutions), args.stage)

    import torch

    from course.models import build_model
    from training.data import find_text, read_text, split
    from training.device import choose_device
    from training.initialization import initialize
    from training.report import Report, Run
    from training.tokenizer import CharTokenizer
    from training.trainer import Trainer

    text = read_text(find_text(config.data.path))
    tokenizer = CharTokenizer.from_text(text)
    tokens = torch.tensor(tokenizer.encode(text))
    training, validation = split(tokens, config.data.validation, config.model.block_size)
    if "sample.prompt" not in overrides and not set(config.sample.prompt) <= set(text):
        config = make_config(config.model_dump(), {"sample.prompt": text[0]})  # a text of one line has no line break
    tokenizer.encode(config.sample.prompt)  # a character that the text lacks is better named now than after training
    print(f"text:   {config.data.path}, {len(text):,} characters, {tokenizer.vocab_size} distinct ones")

    torch.manual_seed(config.train.seed)
    device = choose_device(config.train.device)
    model = build_model(stage, tokenizer.vocab_size, config.model).to(device)
    initialize(model)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"model:  stage {stage} ({STAGES[stage - 1].title}), {parameters:,} parameters")

    trainer = Trainer(model, training, validation, config.train, config.model.block_size, tokenizer.vocab_size)
    print(f"train:  on {device.type}, {trainer.summary}")
    run = Run.create(args.runs, args.name, config, tokenizer, {"stage": stage, "solutions": args.solutions})
    with Report(run, model) as report:
        last = trainer.fit(report.step, report.evaluation)
        report.finish()
    if trainer.interrupted:
        print("Stopped by Ctrl-C; what was learned so far is kept.")
    print(f"validation loss {last.validation_loss:.4f} after {last.iteration:,} steps in {last.seconds:.0f} s")
    print(f"{run.folder.as_posix()} has the loss curve, samples and weights; to write more:")
    print(f'python main.py --write {run.folder.as_posix()} --prompt "..."\n')
    write_out(model, tokenizer, config)
    return 0


def write(args: argparse.Namespace, overrides: dict[str, Any]) -> int:
    from training.report import Run

    run = Run.load(args.write, overrides)

    from course.models import load_model
    from training.device import choose_device

    write_out(load_model(run).to(choose_device(run.config.train.device)), run.tokenizer, run.config)
    return 0


def write_out(model: Any, tokenizer: Any, config: Config) -> None:
    """Print the prompt, and what the model makes of it, each piece as soon as it is there."""
    from training.sampling import write_text

    print(config.sample.prompt, end="", flush=True)
    for piece in write_text(model, tokenizer, config.model.block_size, config.sample, config.train.seed):
        print(piece, end="", flush=True)
    print()


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
