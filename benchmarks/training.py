"""How fast and how well our GPT trains, beside peers of the same size, in one run.

    pip install transformers==5.23.0
    python benchmarks/training.py speed [--nanogpt CHECKOUT]
    python benchmarks/training.py loss [--data tinyshakespeare] [--nanogpt CHECKOUT | --seconds 74]

speed   the same model, batch and precision for all, each in a process of its own: training steps in turns of ten, so
        that a machine whose speed drifts treats all alike. Prints tokens/s, the ratio to the first row turn by turn
        (its median and range), and the share of the measured peak of this machine's matrix products. bfloat16 only
        where it is really faster.
loss    validation loss (exact, over the whole validation split) after equal seconds of training steps, each with its
        own customary recipe: nanoGPT with the settings that its README gives for CPUs, whose 2,000 steps set the time
        for all; ours as in a preset of config.yaml; Hugging Face's GPT-2 with AdamW.

Peers: Hugging Face transformers' GPT2LMHeadModel, and nanoGPT (https://github.com/karpathy/nanoGPT) where the path of
a checkout is given, with the optimizer that it makes for itself. The text is shared; so are seeds, clipping, and in
`speed` the size of the batches and, but for the row that says so, the optimizer: torch's fused AdamW.
"""

import argparse
import contextlib
import importlib.util
import io
import math
import multiprocessing
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "solutions"), str(ROOT)]

from course.models import build_model  # noqa: E402
from training.config import ModelConfig, TrainConfig, load_config  # noqa: E402
from training.data import find_text, read_text, split, to_tokens  # noqa: E402
from training.device import bfloat16_is_faster, choose_device, keep_freed_memory  # noqa: E402
from training.initialization import initialize  # noqa: E402
from training.tokenizer import CharTokenizer  # noqa: E402
from training.trainer import Trainer  # noqa: E402

TURN = 10  # steps
NANOGPT_STEPS = 2000  # of its recipe for CPUs
RECIPE = ModelConfig(n_layers=4, n_heads=4, embed_size=128, block_size=64, dropout=0.0)
VOCAB_SIZE = 65  # tiny Shakespeare's
OWN_ADAMW = "nanoGPT, its own AdamW"
UNFUSED = "learnGPT, LayerNorm not fused"
Precision = Literal["float32", "bfloat16"]


class HuggingFace(nn.Module):
    """transformers' GPT-2 behind our interface: forward(x, targets) -> (logits, loss)."""

    def __init__(self, vocab_size: int, config: ModelConfig):
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel  # pyright: ignore[reportMissingImports]

        settings = GPT2Config(
            vocab_size=vocab_size, n_positions=config.block_size, n_embd=config.embed_size, n_layer=config.n_layers,
            n_head=config.n_heads, resid_pdrop=config.dropout, embd_pdrop=config.dropout, attn_pdrop=config.dropout,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        self.gpt = GPT2LMHeadModel(settings)

    def forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.gpt(x, use_cache=False).logits
        return logits, nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def finished_gpt(vocab_size: int, config: ModelConfig) -> nn.Module:
    model = build_model(10, vocab_size, config)
    initialize(model)
    return model


def nanogpt(checkout: Path, vocab_size: int, config: ModelConfig) -> nn.Module:
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    assert spec and spec.loader, f"no model.py in {checkout}"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    settings = module.GPTConfig(
        block_size=config.block_size, vocab_size=vocab_size, n_layer=config.n_layers, n_head=config.n_heads,
        n_embd=config.embed_size, dropout=config.dropout, bias=False,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        return module.GPT(settings)


def use_own_optimizer(trainer: Trainer) -> None:
    """nanoGPT brings its optimizer with it; on CPUs it is not the fused one."""
    config, make = trainer.config, trainer.model.configure_optimizers
    assert callable(make)
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.optimizers = [make(config.weight_decay, config.learning_rate, (0.9, 0.99), trainer.device.type)]
    for group in trainer.optimizers[0].param_groups:
        group["peak_lr"] = config.learning_rate


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """The best of ten products of (1024, 1024) matrices, in floating-point operations a second."""
    a = torch.randn(1024, 1024, device=device, dtype=dtype)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        (a @ a).sum().item()
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / min(times)


def flops_per_token(vocab_size: int, config: ModelConfig) -> float:
    """6 N + 12 L C T, forward and backward, with N = 12 L C^2 + C V matrix weights.

    Source: Chowdhery et al. 2022, "PaLM: Scaling Language Modeling with Pathways", appendix B.
    """
    L, C, T = config.n_layers, config.embed_size, config.block_size
    return 6 * (12 * L * C**2 + C * vocab_size) + 12 * L * C * T


def build(name: str, vocab_size: int, config: ModelConfig, checkout: Path | None) -> nn.Module:
    if name.startswith("nanoGPT"):
        assert checkout
        return nanogpt(checkout, vocab_size, config)
    return HuggingFace(vocab_size, config) if name.startswith("Hugging Face") else finished_gpt(vocab_size, config)


def take_turns(pipe: Connection, name: str, precision: Precision, args: argparse.Namespace) -> None:
    """Ten training steps whenever it is asked for them; answers with the seconds of one."""
    if name.startswith("learnGPT"):
        keep_freed_memory()  # as main.py does
    text = torch.randint(VOCAB_SIZE, (100_000,))
    settings = TrainConfig(
        iterations=10**9, batch_size=12, precision=precision, optimizer="adamw", fused_layer_norm=name != UNFUSED
    )
    model = build(name, VOCAB_SIZE, RECIPE, args.nanogpt).to(choose_device(args.device))
    trainer = Trainer(model, text, text, settings, RECIPE.block_size, VOCAB_SIZE)
    if name == OWN_ADAMW:
        use_own_optimizer(trainer)
    while pipe.recv():
        start = time.perf_counter()
        for _ in range(TURN - 1):
            trainer.step()
        trainer.step().item()
        pipe.send((time.perf_counter() - start) / TURN)


def speed(args: argparse.Namespace) -> None:
    """Each row is a process of its own, so that none of them has what another one has set."""
    device = choose_device(args.device)
    config, vocab_size = RECIPE, VOCAB_SIZE
    precisions: list[Precision] = ["float32"]
    if bfloat16_is_faster(device):
        precisions.append("bfloat16")
    names = [OWN_ADAMW, "nanoGPT"] if args.nanogpt else []
    peaks = {name: peak_flops(device, getattr(torch, name)) for name in precisions}
    rows: list[tuple[str, Precision]] = [
        (name, precision) for name in [*names, "Hugging Face GPT-2", UNFUSED, "learnGPT"] for precision in precisions
    ]
    context = multiprocessing.get_context("spawn")
    pipes: dict[tuple[str, Precision], Connection] = {}
    for row in rows:
        pipes[row], theirs = context.Pipe()
        context.Process(target=take_turns, args=(theirs, *row, args), daemon=True).start()
    times: dict[tuple[str, Precision], list[float]] = {row: [] for row in rows}
    for turn in range(args.turns + 1):  # the first one warms up
        for row, pipe in pipes.items():
            pipe.send(True)
            seconds = pipe.recv()
            if turn:
                times[row].append(seconds)
    for pipe in pipes.values():
        pipe.send(False)

    print(
        f"{config.n_layers} layers, {config.n_heads} heads, {config.embed_size} wide, context {config.block_size}, ",
        end="",
    )
    print(f"batch 12, AdamW; on {device.type} with {torch.get_num_threads()} threads; torch {torch.__version__}")
    print("peak of matrix products: " + ", ".join(f"{n} {p / 1e9:.0f} GFLOP/s" for n, p in peaks.items()))
    print(f"{'':34}{'ms/step':>9}{'tokens/s':>10}{'ratio':>7}  {'range':<12}{'share of peak':>13}")
    for row in rows:
        seconds = statistics.median(times[row])
        ratios = [a / b for a, b in zip(times[rows[0]], times[row], strict=True)]
        rate = 12 * config.block_size / seconds
        share = rate * flops_per_token(vocab_size, config) / peaks[row[1]]
        print(
            f"{', '.join(row):34}{seconds * 1e3:9.1f}{rate:10,.0f}{statistics.median(ratios):7.2f}"
            f"  {min(ratios):.2f}-{max(ratios):.2f}   {share:13.0%}"
        )


def loss(args: argparse.Namespace) -> None:
    text = read_text(find_text(args.data))
    tokenizer = CharTokenizer.from_text(text)
    device = choose_device(args.device)
    customary = {
        "batch_size": 12, "optimizer": "adamw", "precision": "float32", "learning_rate": 1e-3, "weight_decay": 0.1,
        "warmup": 0.05, "decay": 0.95, "evaluations": 1,
    }  # fmt: skip
    print(f"{args.data}, {device.type}, {torch.get_num_threads()} threads; seconds of training steps alone")
    print(f"{'':42}{'seconds':>9}{'steps':>7}{'tokens/s':>10}{'validation loss':>17}")

    def run(name: str, model: ModelConfig, train: TrainConfig) -> float:
        torch.manual_seed(train.seed)
        training, validation = (
            to_tokens(part, tokenizer, model.block_size, which)
            for part, which in zip(split(text, 0.1), ("training", "validation"), strict=True)
        )
        gpt = build(name, tokenizer.vocab_size, model, args.nanogpt).to(device)
        trainer = Trainer(gpt, training, validation, train, model.block_size, tokenizer.vocab_size)
        if name == "nanoGPT":
            use_own_optimizer(trainer)
        last = trainer.fit()
        print(
            f"{name:42}{last.seconds:9.1f}{last.iteration:7,}{last.tokens_per_second:10,.0f}"
            f"{last.validation_loss or math.nan:17.4f}",
            flush=True,
        )
        return last.seconds

    seconds = args.seconds
    if args.nanogpt:
        seconds = run("nanoGPT", RECIPE, TrainConfig.model_validate({**customary, "iterations": NANOGPT_STEPS}))
    run("Hugging Face GPT-2", RECIPE, TrainConfig.model_validate({**customary, "seconds": seconds}))
    keep_freed_memory()  # as main.py does
    ours = load_config(ROOT / "config.yaml", args.preset, {"train.seconds": seconds, "train.iterations": "none"})
    run(f"learnGPT, preset {args.preset}", ours.model, ours.train)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "loss"])
    parser.add_argument("--nanogpt", type=Path, metavar="CHECKOUT")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--turns", type=int, default=20, help="speed: how many turns of ten steps each gets")
    parser.add_argument("--data", default="tinyshakespeare")
    parser.add_argument("--seconds", type=float, default=74, help="loss: the time for each, where nanoGPT is not there")
    parser.add_argument("--preset", default="shakespeare-74s")
    args = parser.parse_args()
    {"speed": speed, "loss": loss}[args.what](args)


if __name__ == "__main__":
    main()
