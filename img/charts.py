"""Heat maps and curves. Every number in them is computed by the finished code when the figure is drawn."""

from fractions import Fraction
from functools import cache
from typing import Any

import torch
from pen import BLUE, GREY, KIND, OCHRE, RED, SIGNED, arrow, card, colors, figure, heat, panel, save, ticks, tint, words
from torch import Tensor, nn

from course.models import build_model
from course.stages import ROOT
from gpt.block_v1 import BlockVer1
from gpt.block_v2 import BlockVer2
from gpt.block_v3 import BlockVer3
from gpt.block_v4 import BlockVer4
from gpt.gpt_v1 import GPTVer1
from gpt.gpt_v3 import GPTVer3
from gpt.gpt_v4 import GPTVer4
from gpt.head_v2 import HeadVer2
from gpt.head_v3 import HeadVer3
from gpt.head_v4 import HeadVer4
from gpt.multi_head_v2 import MultiHeadVer2
from training.config import load_config
from training.data import read_text, sample_batch, split
from training.initialization import initialize
from training.sampling import next_token_probabilities
from training.tokenizer import CharTokenizer
from training.trainer import Step, Trainer

# What the text says


@cache
def play() -> tuple[CharTokenizer, Tensor]:
    text = read_text(ROOT / "input.txt")
    tokenizer = CharTokenizer.from_text(text)
    return tokenizer, torch.tensor(tokenizer.encode(text))


@cache
def bigram() -> GPTVer1:
    """GPTVer1 with the best table that it can have: the logarithms of the shares in the text."""
    tokenizer, tokens = play()
    size = tokenizer.vocab_size
    counts = torch.bincount(tokens[:-1] * size + tokens[1:], minlength=size * size).view(size, size)
    model = GPTVer1(size, block_size=8)
    model.token_embedding_table.weight.data = (counts / counts.sum(dim=1, keepdim=True)).log()
    return model


def visible(text: str) -> list[str]:
    return [{" ": "␣", "\n": "↵"}.get(character, character) for character in text]


@figure("bigram")
def bigram_table() -> None:
    page = card(690, "What follows what", "shares in input.txt")
    tokenizer, _ = play()
    shown = "\n ,.'" + "abcdefghijklmnopqrstuvwxyz"
    ids = torch.tensor(tokenizer.encode(shown))
    logits, _ = bigram()(ids[:, None])
    axes = panel(page, 64, 96, 556, 556)
    image = heat(axes, logits[:, 0].softmax(dim=-1)[:, ids].detach(), gamma=0.5)
    ticks(axes, visible(shown), visible(shown))
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.set_ylabel("last character")
    axes.set_xlabel("next character", labelpad=8)
    axes.xaxis.set_label_position("top")
    colors(page, image, 640, 96, 12, 556, [0, 0.05, 0.2, 0.5, 1])
    save(page, "bigram")


@figure("sampling-temperature")
def sampling_temperature() -> None:
    page = card(330, "Temperature", "what the bigram model expects after an h")
    tokenizer, _ = play()
    logits = bigram()(torch.tensor([tokenizer.encode("h")]))[0][0, -1].detach()
    likeliest = logits.argsort(descending=True)[:8]
    for place, temperature in enumerate((0.5, 1.0, 2.0)):
        shares = next_token_probabilities(logits, temperature)[likeliest]
        axes = panel(page, 70 + 212 * place, 106, 180, 170, f"temperature {temperature:g}", ylim=(0, 1))
        axes.bar(range(8), shares, color=BLUE)
        ticks(axes, visible(tokenizer.decode(likeliest.tolist())))
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_xlabel("next character")
    save(page, "sampling-temperature")


# The average of the past


@figure("average-weights")
def average_weights() -> None:
    page = card(320, "The average of the past", "HeadVer2: one matrix product")
    x = torch.tensor([[[2.0], [4.0], [9.0], [1.0]]])
    weights, out = HeadVer2()(torch.eye(4)[None])[0], HeadVer2()(x)[0]  # W times the identity is W
    heat(panel(page, 110, 92, 240, 184, "weights (T, T)"), weights, fractions(weights), size=15)
    for left, column, title, sign in ((410, x[0], "x (T, C)", "×"), (530, out, "out (T, C)", "=")):
        heat(panel(page, left, 92, 60, 184, title), torch.full((4, 1), 0.12), fractions(column), size=15)
        words(page, left - 30, 184, sign, 20)
    for axes in page.figure.axes[1:]:
        ticks(axes)
    save(page, "average-weights")


def fractions(matrix: Tensor) -> list[list[str]]:
    return [[str(Fraction(value).limit_denominator(9)) for value in row] for row in matrix.tolist()]


@figure("mask-softmax")
def mask_softmax() -> None:
    page = card(506, "Scores, mask, softmax", "above: all scores 0, as in HeadVer3; below: other scores")
    average = HeadVer3()
    average(torch.zeros(1, 4, 1))
    future = torch.ones(4, 4).triu(1).bool()
    odds = torch.tensor([[1, 2, 1, 1], [1, 2, 2, 1], [1, 1, 2, 4], [4, 1, 2, 1]])
    weights = odds.log().masked_fill(future, -torch.inf).softmax(dim=-1)
    for top, exponentials, wei in ((104, torch.ones(4, 4), average.wei), (310, odds, weights)):
        scores = exponentials.log()
        names = [["0" if e == 1 else f"log {e:g}" for e in row] for row in exponentials.tolist()]
        masked = [[name if s <= t else "−∞" for s, name in enumerate(row)] for t, row in enumerate(names)]
        heat(panel(page, 34, top, 184, 164), scores, names, -2, 2, SIGNED)
        heat(panel(page, 258, top, 184, 164), scores.masked_fill(future, torch.nan), masked, -2, 2, SIGNED)
        heat(panel(page, 482, top, 184, 164), wei, fractions(wei))
        for axes in page.figure.axes[-3:]:
            ticks(axes)
        for left in (222, 446):
            arrow(page, (left, top + 82), (left + 32, top + 82))
    for x, name in ((126, "scores"), (350, "no future: mask"), (574, "weights: softmax")):
        words(page, x, 84, name, 13.5)
    save(page, "mask-softmax")


# Attention


@cache
def trained(stage: int, *options: tuple[str, Any]) -> tuple[Any, list[Step]]:
    """The model that the course has at a stage, trained for a fixed number of steps, and the steps on the way."""
    overrides = {"train.seconds": None, "train.device": "cpu", "train.precision": "float32", **dict(options)}
    config = load_config(ROOT / "config.yaml", overrides=overrides)
    tokenizer, _ = play()
    parts = split(read_text(ROOT / config.data.path), config.data.validation)
    training, validation = (torch.tensor(tokenizer.encode(part)) for part in parts)
    torch.manual_seed(config.train.seed)
    model = build_model(stage, tokenizer.vocab_size, config.model)
    initialize(model)
    steps: list[Step] = []
    trainer = Trainer(model, training, validation, config.train, config.model.block_size, tokenizer.vocab_size)
    trainer.fit(steps.append, steps.append)
    if trainer.stop.asked:
        raise SystemExit("stopped before the training was over: nothing is drawn")
    return model, steps


BRIEFLY = (
    ("model.embed_size", 64), ("model.block_size", 48), ("train.batch_size", 16), ("train.learning_rate", 3e-3),
    ("train.iterations", 2000), ("train.evaluations", 1), ("train.optimizer", "adamw"),
)  # fmt: skip


@figure("attention-weights")
def attention_weights() -> None:
    page = card(640, "Where a trained head looks", "HeadVer4 of stage 5, after 2,000 steps")
    text = "A skiff, your honour, and a coop"
    tokenizer, _ = play()
    model, _ = trained(5, *BRIEFLY)
    model(torch.tensor([tokenizer.encode(text)]))
    axes = panel(page, 80, 76, 520, 500)
    image = heat(axes, past(model.contextualizer.wei[0]), gamma=0.6)
    ticks(axes, visible(text), visible(text))
    axes.set_ylabel("the token that looks")
    axes.set_xlabel("the token that it looks at")
    colors(page, image, 624, 76, 12, 500, [0, 0.1, 0.3, 0.6, 1])
    save(page, "attention-weights")


@figure("scaled-scores")
def scaled_scores() -> None:
    page = card(330, "Why scores are scaled", "8 tokens, random queries and keys, D = 64")
    axes = panel(page, 478, 100, 186, 170, "largest weight of the last row", ylim=(0, 1), xscale="log", xlabel="D")
    sizes = [2**n for n in range(9)]
    for scaled, left, title, name, color, y in (
        (True, 40, "q kᵀ / √D", "scaled", BLUE, 0.28),
        (False, 236, "q kᵀ", "not scaled", RED, 0.93),
    ):
        weights, variances = zip(*(random_attention(size, scaled) for size in sizes), strict=True)
        axes.plot(sizes, [wei[:, -1].amax(dim=-1).mean() for wei in weights], "o-", color=color, markersize=3.5)
        words(axes, 14, y, name, 13, color)
        at = sizes.index(64)
        one = panel(page, left, 100, 170, 170, title)
        heat(one, past(weights[at][0]), [[""] * 8] * 8, gamma=0.6)
        ticks(one)
        words(page, left + 85, 292, f"variance {variances[at]:.2g}", 13, GREY)
    axes.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
    axes.minorticks_off()
    save(page, "scaled-scores")


def random_attention(size: int, scaled: bool) -> tuple[Tensor, float]:
    """HeadVer4's weights of 8 random tokens, 500 times over, and the variance of the scores."""
    torch.manual_seed(5)
    head = HeadVer4(block_size=8, embed_size=8, head_size=size)
    head(torch.zeros(500, 8, 8), debug=True)
    if scaled:
        return head.wei, float(head.var)
    scores = head.wei.log() * size**0.5  # the logarithm of a weight is its score, but for a term that its row shares
    return scores.softmax(dim=-1), float(head.var) * size


def past(weights: Tensor) -> Tensor:
    """The weights, with nothing where the future is."""
    return weights.masked_fill(torch.ones_like(weights).triu(1).bool(), torch.nan)


@figure("positional-encodings")
def positional_encodings() -> None:
    page = card(400, "Sinusoidal positions", "pos_encodings(64, 32)")
    table = GPTVer3.pos_encodings(64, 32)
    axes = panel(page, 72, 76, 250, 268, xlabel="column", ylabel="position")
    image = heat(axes, table, low=-1, cmap=SIGNED)
    axes.set_xticks([0, 8, 16, 24, 31])
    axes.set_yticks([0, 16, 32, 48, 63])
    colors(page, image, 334, 76, 10, 268, [-1, 0, 1])
    for place, column in enumerate((0, 4, 8, 12)):
        axes = panel(page, 440, 76 + 69 * place, 226, 56, ylim=(-1.2, 1.2), xlim=(0, 63))
        axes.plot(table[:, column], color=BLUE)
        axes.plot(table[:, column + 1], color=RED)
        axes.set_yticks([])
        axes.set_xticks([0, 16, 32, 48, 63], ["0", "16", "32", "48", "63"] if place == 3 else [""] * 5)
        axes.set_ylabel(f"{column}, {column + 1}", rotation=0, ha="right", va="center")
    axes.set_xlabel("position")
    words(page, 440, 62, "columns in pairs:", ha="left")
    words(page, 570, 62, "sine", color=BLUE, ha="left")
    words(page, 616, 62, "cosine", color=RED, ha="left")
    save(page, "positional-encodings")


# Training


@figure("gradients-by-depth")
def gradients_by_depth() -> None:
    page = card(400, "How much gradient reaches each block", "before the first step")
    left = panel(page, 74, 100, 250, 236, "torch's weights, the whole block", yscale="log")
    right = panel(page, 414, 100, 250, 236, "GPT-2's weights, the queries", yscale="log")
    for axes, kind, start, name, color, label, y, x in (
        (left, BlockVer1, None, "", RED, "BlockVer1", 1e-4, 6.6),
        (left, BlockVer2, None, "", KIND["residual"], "BlockVer2: residuals", 4, 4),
        (right, BlockVer2, initialize, "head.query.weight", KIND["residual"], "BlockVer2", 6e-8, 4.5),
        (right, BlockVer3, initialize, "head.query.weight", OCHRE, "BlockVer3: LayerNorm", 2e-3, 4.5),
    ):
        norms = gradients(kind, start, name)
        axes.plot(range(1, 9), norms, "o-", color=color, markersize=4)
        words(axes, x, y, label, 13, color)
    for axes in (left, right):
        axes.set_xticks(range(1, 9))
        axes.set_xlabel("block, from the input to the output")
        axes.minorticks_off()
    left.set_ylabel("norm of the gradient")
    left.set_ylim(1e-9, 1e2)
    right.set_ylim(1e-9, 1e-2)
    save(page, "gradients-by-depth")


def gradients(kind: Any, start: Any, name: str) -> list[float]:
    """The norm of the gradient in each of 8 blocks, of the parameters whose name begins with `name`."""
    tokenizer, tokens = play()
    torch.manual_seed(1)
    blocks = [kind(MultiHeadVer2(32, 32, 4), 32) for _ in range(8)]
    model = GPTVer4(nn.Sequential(*blocks), tokenizer.vocab_size, block_size=32, embed_size=32)
    if start:
        start(model)
    _, loss = model(*sample_batch(tokens, 32, 32, torch.Generator().manual_seed(1)))
    loss.backward()
    some = [[p.grad for n, p in block.named_parameters() if n.startswith(name)] for block in blocks]
    return [float(nn.utils.get_total_norm([grad for grad in grads if grad is not None])) for grads in some]


@figure("dropout")
def dropout() -> None:
    page = card(310, "Dropout", "p = 1/4: empty cells are 0, the others 4/3 as large")
    torch.manual_seed(3)
    layer = BlockVer4(nn.Identity(), 6, dropout=0.25).dropout1
    x = 3.0 * torch.randint(1, 5, (5, 6)) * torch.randint(0, 2, (5, 6)).mul(2).sub(1)
    for place, title in enumerate(("evaluation", "training", "training, once more")):
        out = layer.train(place > 0)(x)
        cells = [[f"{value:g}".replace("-", "−") if value else "" for value in row] for row in out.tolist()]
        axes = panel(page, 30 + 220 * place, 100, 200, 170, title)
        heat(axes, torch.where(out == 0, torch.nan, out), cells, -24, 24, SIGNED)
        ticks(axes)
    save(page, "dropout")


@figure("loss-curve")
def loss_curve() -> None:
    page = card(380, "Loss of the finished GPT", "500 steps of python main.py --solutions")
    _, steps = trained(10, ("train.iterations", 500))
    axes = panel(page, 76, 76, 500, 246, xlabel="steps", ylabel="loss (nats a character)")
    axes.plot([s.iteration for s in steps], [s.loss for s in steps], color=tint(BLUE, 0.5), linewidth=1)
    seen = [(s.iteration, s.validation_loss) for s in steps if s.validation_loss is not None]
    axes.plot(*zip(*seen, strict=True), "o-", color=RED)
    end, loss = seen[-1]
    words(axes, 1.03 * end, loss, f"validation\n{loss:.2f}", 13, RED, ha="left", va="bottom")
    words(axes, 70, 3.0, "training", 13, BLUE, ha="left")
    save(page, "loss-curve")
