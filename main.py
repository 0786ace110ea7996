"""Train a GPT on a text, and let it write.

python main.py --solutions                 train the finished GPT on input.txt
python main.py                             train the GPT that you have written so far
python main.py --write RUN --prompt "O "   write with a GPT trained before
python main.py --resume RUN                go on with a training that was stopped
torchrun --nproc_per_node 2 main.py        train with several processes or GPUs
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course.mishap import where_in_gpt
from course.stages import ROOT, STAGES, stage_to_train, use_package
from training.config import Config, add_config_arguments, load_config, nearest
from training.console import Parser, exit_code
from training.errors import UserError

if TYPE_CHECKING:
    from training.distributed import World


def main(argv: list[str]) -> int:
    return exit_code(lambda: told(lambda: train_or_write(*parse(argv))))


def told(command: Callable[[], int]) -> int:
    """Turns an error that arises in the learner's code into a sentence that names the line."""
    try:
        return command()
    except Exception as error:
        said = where_in_gpt(error)
        if said:
            raise UserError(said) from error
        raise


def train_or_write(args: argparse.Namespace, overrides: dict[str, Any]) -> int:
    return write(args, overrides) if args.write else train(args, overrides)


def train(args: argparse.Namespace, overrides: dict[str, Any]) -> int:
    from training.distributed import joined

    with joined() as world:
        return train_together(world, args, overrides)


def train_together(world: "World", args: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Train; among several processes, the one of rank 0 writes and speaks for all."""
    import torch

    from course.models import build_model
    from training.data import prepare
    from training.device import choose_device, keep_freed_memory
    from training.initialization import initialize
    from training.report import Report, Run
    from training.trainer import Trainer

    say = print if world.speaks else lambda *_: None
    folder = args.resume or world.agreed(Run.of_restarted_job(args.runs))
    run = Run.load(folder, overrides) if folder else None
    config = run.config if run else load_config(args.config, args.preset, overrides)
    about = run.about if run else {"stage": args.stage, "solutions": args.solutions}
    stage = stage_to_train(use_package(about["solutions"]), about["stage"])

    config, data = prepare(config, run.tokenizer if run else None)
    vocab_size, block_size = data.tokenizer.vocab_size, config.model.block_size
    say(f"text:   {config.data.path}, {data.description}")

    torch.manual_seed(config.train.seed)
    device = choose_device(config.train.device, world.size)
    keep_freed_memory()
    model = build_model(stage, vocab_size, config.model).to(device)
    initialize(model)
    parameters = sum(p.numel() for p in model.parameters())
    say(f"model:  stage {stage} ({STAGES[stage - 1].title}), {parameters:,} parameters")

    trainer = Trainer(model, data.training, data.validation, config.train, block_size, vocab_size, world)
    if run:
        for line in run.go_on(trainer, data.sha256, args.accept_changes, cut=world.speaks):
            say(line)
    say(f"train:  on {device.type}, {trainer.summary}")
    if not world.speaks:
        trainer.fit()
        return 0
    if not run:
        about = {**about, "stage": stage, "text": data.sha256}
        run = Run.create(args.runs, args.name, config, data.tokenizer, about)
    with Report(run, model, data.bytes_per_token) as report:
        last = trainer.fit(report.step, report.evaluation, report.checkpoint)
        report.finish()

    place = run.folder.as_posix()
    if trainer.stop.asked:
        print(f"Stopped by {trainer.stop.name}; what was learned so far is kept. To go on:")
        print(f"python main.py --resume {place}\n")
    print(report.summary(last))
    if trainer.stop.exit_code:
        return trainer.stop.exit_code
    print(f"{place} has the loss curve, samples and weights; to write more:")
    print(f'python main.py --write {place} --prompt "..."\n')
    write_out(model, data.tokenizer, config)
    return 0


def write(args: argparse.Namespace, overrides: dict[str, Any]) -> int:
    from training.report import Run

    run = Run.load(args.write, overrides)
    run.tokenizer.encode(run.config.sample.prompt)  # what is wrong with it is said before it is printed

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


def parse(argv: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The options, and among them the overrides of config.yaml: {"train.learning_rate": "3e-3"}."""
    parser = Parser("python main.py", __doc__)
    add = parser.add_argument
    add("--solutions", action="store_true", help="use the finished code in solutions/gpt/, not yours in gpt/")
    add("--stage", type=int, choices=[s.number for s in STAGES], help="train the model that the course has at a stage")
    add("--data", metavar="PATH", help="the text to learn from; short for --data.path")
    add("--preset", metavar="NAME", help="settings for a purpose: one of the presets in config.yaml")
    add("--name", default="gpt", help="the end of the run folder's name")
    add("--runs", type=Path, default=ROOT / "runs", metavar="DIR", help="where run folders are made")
    add("--config", type=Path, default=ROOT / "config.yaml", metavar="FILE", help="instead of config.yaml")
    add("--resume", type=Path, metavar="RUN", help="go on with this run folder's training")
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
