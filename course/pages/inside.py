"""What the page of `look` shows of a trained model, as numbers that fit into JSON."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from training.report import Run
from training.sampling import write_text

from ..models import load_model
from ..reading import title
from ..stages import STAGES
from .attention import attention_weights

TOKENS = 96  # more do not fit a screen
POSITIONS = 128
LOGITS = 300_000  # numbers; a large vocabulary is kept for the last tokens only
POINTS = 300  # of the loss curve
SAMPLES = 40

Data = dict[str, Any]


@torch.inference_mode()
def look_inside(folder: Path, prompt: str | None) -> Data:
    """Raises UserError where the run or the prompt does not do."""
    run = Run.load(folder)
    stage = STAGES[run.about["stage"] - 1]
    model = load_model(run)
    indices = torch.tensor([run.tokenizer.encode(prompt or written_by(model, run))])
    block_size = run.config.model.block_size
    shown = indices[:, -min(block_size, TOKENS) :]
    logits, _ = model(shown)
    return {
        "run": folder.resolve().name,
        "stage": stage.number,
        "title": title(stage),
        "solutions": bool(run.about["solutions"]),
        "parameters": sum(p.numel() for p in model.parameters()),
        "dropped": indices.shape[1] - shown.shape[1],
        "vocabulary": [run.tokenizer.decode([i]) for i in range(run.tokenizer.vocab_size)],
        "tokens": shown[0].tolist(),
        "attention": [thousandths(heads) for heads in attention_weights(model, shown)],
        "learned": any(hasattr(module, "query") for module in model.modules()),
        "logits": hundredths(logits[0][-max(1, LOGITS // logits.shape[-1]) :]),
        "temperature": run.config.sample.temperature,
        "positions": positions(model),
        "probe": probe(model, shown, logits),
        **training(folder),
    }


def written_by(model: nn.Module, run: Run) -> str:
    """A prompt in the model's own words."""
    length = min(48, run.config.model.block_size)
    pieces = write_text(model, run.tokenizer, run.config.model.block_size, run.config.sample, seed=1, length=length)
    return (run.config.sample.prompt + "".join(pieces)).strip("\n") or run.config.sample.prompt


def positions(model: nn.Module) -> Data | None:
    """How alike the positions' vectors are: cosines from -1 to 1."""
    learned = getattr(model, "pos_embedding_table", None)
    table = learned.weight if learned is not None else getattr(model, "pos_table", None)
    if table is None:
        return None
    table = nn.functional.normalize(table[:POSITIONS], dim=-1)  # (P, C)
    return {"learned": learned is not None, "similarity": hundredths(table @ table.T)}


def probe(model: nn.Module, indices: Int[Tensor, "1 T"], logits: Float[Tensor, "1 T V"]) -> Data | None:
    """What moves when one token is replaced by another: for each place, the change of the probabilities that come out
    at all places, as half the sum of absolute differences (total variation, from 0 to 1).

    The other token is the one that the model itself finds likeliest there.
    """
    T, V = logits.shape[1:]
    if V < 2:
        return None
    scores = torch.cat([logits[0, -1:], logits[0, :-1]])  # at place 0, any other token will do
    others = scores.scatter(1, indices[0, :, None], -torch.inf).argmax(dim=-1)  # (T,)
    variants = indices.repeat(T, 1)
    variants[range(T), range(T)] = others
    before, after = logits.softmax(dim=-1), torch.cat([model(part)[0] for part in variants.split(16)]).softmax(dim=-1)
    moved = (after - before).abs().sum(dim=-1) / 2  # (T, T): row, the place that was changed
    leak = moved.tril(-1).max().item()
    return {"others": others.tolist(), "moved": thousandths(moved), "causal": leak < 1e-4}


def training(folder: Path) -> Data:
    """The loss curve, thinned out, and what the model wrote on its way."""
    steps = []
    for line in read(folder / "metrics.jsonl").splitlines():
        try:
            step = json.loads(line)
            steps.append((step["iteration"], step["loss"], step.get("validation_loss")))
        except (ValueError, KeyError, TypeError):  # a line that was cut off
            continue
    width = -(-len(steps) // POINTS) or 1
    parts = [steps[i : i + width] for i in range(0, len(steps), width)]
    curve = [[part[-1][0], round(sum(loss for _, loss, _ in part) / len(part), 4)] for part in parts]
    validation = [[iteration, round(loss, 4)] for iteration, _, loss in steps if loss is not None]
    pieces = re.split(r"^--- (iteration .*) ---\n", read(folder / "samples.txt"), flags=re.MULTILINE)
    samples = [[title, text.strip("\n")[:3000]] for title, text in zip(pieces[1::2], pieces[2::2], strict=True)]
    return {"loss": curve, "validation": validation, "samples": samples[-SAMPLES:]}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def thousandths(numbers: Tensor) -> list[Any]:
    return (numbers * 1000).round().int().tolist()


def hundredths(numbers: Tensor) -> list[Any]:
    return (numbers * 100).round().int().tolist()
