"""From a text file to batches.

train_text, validation_text = split(read_text(find_text("input.txt")), validation=0.1)
train = to_tokens(train_text, tokenizer, block_size=128, part="training")
x, y = Batches(train, batch_size=32, block_size=128, seed=1)[0]
"""

import hashlib
import http.client
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from .config import Config, DataConfig, make_config
from .errors import UserError
from .tokenizer import BPETokenizer, CharTokenizer, Tokenizer


class Download(NamedTuple):
    url: str
    sha256: str


DOWNLOADS = {
    "tinyshakespeare": Download(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    )
}
CACHE = Path.home() / ".cache" / "learngpt"


def find_text(name: str) -> Path:
    """The path of a text file: `name` itself, or a known text that is downloaded once and then cached. Raises
    UserError if it is empty, or cannot be downloaded."""
    if not name:
        raise UserError("data.path is empty: name a text with --data PATH")
    if name in DOWNLOADS and not Path(name).exists():
        return download(DOWNLOADS[name], CACHE / f"{name}.txt")
    return Path(name)


def download(source: Download, target: Path, timeout: float = 20.0) -> Path:
    """Fetch the file unless it is there, check its sha256, and put it in place whole or not at all."""
    if target.exists() and sha256(target.read_bytes()) == source.sha256:
        return target
    alternative = "train on the course's own text (--data input.txt) or on any UTF-8 file (--data PATH)"
    try:
        with urllib.request.urlopen(source.url, timeout=timeout) as response:
            content = response.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{source.url} cannot be reached ({reason}); {alternative}") from None
    if sha256(content) != source.sha256:
        raise UserError(f"{source.url} does not hold the expected text (its sha256 differs); {alternative}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        part.write(content)
    return Path(part.name).replace(target)


def sha256(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def read_text(path: Path, option: str = "--data") -> str:
    """The text of a UTF-8 file, line ends as \\n. Raises UserError where there is none; `option` names the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no text file '{path}'; name another with {option} PATH") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"'{path}' is not UTF-8 text (byte {error.start} is 0x{error.object[error.start]:02x});"
            f" save it as UTF-8 in your editor, or name another with {option} PATH"
        ) from None
    except OSError as error:
        raise UserError(f"the text '{path}' cannot be read: {error.strerror}; name a file with {option} PATH") from None
    if "\0" in text:
        raise UserError(f"'{path}' is a binary file (it has a NUL byte); name a text file with {option} PATH")
    if not text.strip():
        raise UserError(f"'{path}' is empty; name a text with {option} PATH")
    return text


def split(text: str, validation: float) -> tuple[str, str]:
    """The first part for training, the last `validation` share of the characters for validation.

    The text is split, not its tokens: so runs with different tokenizers validate on the same text.
    """
    n_train = int(len(text) * (1 - validation))
    return text[:n_train], text[n_train:]


def learn_tokenizer(config: DataConfig, text: str) -> Tokenizer:
    """Characters are those of the whole text; byte pairs are learned on its training part alone."""
    if config.tokenizer == "char":
        return CharTokenizer.from_text(text)
    return BPETokenizer.from_text(split(text, config.validation)[0], config.vocab_size)


class Data(NamedTuple):
    """What a training needs of its text. sha256 is the text's."""

    training: Int[Tensor, " N"]
    validation: Int[Tensor, " M"]
    tokenizer: Tokenizer
    bytes_per_token: float
    sha256: str
    description: str


def prepare(config: Config, tokenizer: Tokenizer | None = None) -> tuple[Config, Data]:
    """Read, split and tokenize the text; with the tokenizer of an earlier run, or one that is learned here.

    The config comes back with a prompt that the text can go on from: a text of one line has no line break.
    """
    text = read_text(find_text(config.data.path))
    parts = split(text, config.data.validation)
    tokenizer = tokenizer or learn_tokenizer(config.data, text)
    if config.sample.prompt == "\n" and "\n" not in text:
        config = make_config(config.model_dump(), {"sample.prompt": text[0]})
    tokenizer.encode(config.sample.prompt)  # a character that the text lacks is better named now than after training
    training = to_tokens(parts[0], tokenizer, config.model.block_size, "training")
    validation = to_tokens(parts[1], tokenizer, config.model.block_size, "validation")
    bytes_per_token = len(tokenizer.decode_bytes(validation[1:].tolist())) / (len(validation) - 1)
    kind = f"{tokenizer.vocab_size:,} distinct tokens ({config.data.tokenizer}), {bytes_per_token:.2f} bytes each"
    description = f"{len(text):,} characters; {kind}"
    return config, Data(training, validation, tokenizer, bytes_per_token, sha256(text), description)


def to_tokens(text: str, tokenizer: Tokenizer, block_size: int, part: str) -> Int[Tensor, " N"]:
    """Raises UserError if the text is too short for one sequence of block_size tokens and its targets."""
    tokens = torch.tensor(tokenizer.encode(text), dtype=torch.long)
    if len(tokens) <= block_size:
        raise UserError(
            f"the {part} part of the text has {len(tokens)} tokens, too few for a context of {block_size};"
            f" take a longer text, or a smaller one with --model.block_size {max(1, len(tokens) - 1)}"
        )
    return tokens


def sample_batch(
    tokens: Int[Tensor, " N"], batch_size: int, block_size: int, generator: torch.Generator
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Sequences from random places, and their targets: the same places, one further."""
    starts = torch.randint(len(tokens) - block_size, (batch_size,), generator=generator)
    sequences = tokens.unfold(0, block_size + 1, 1)[starts]  # (B, T + 1); unfold copies nothing
    return sequences[:, :-1].contiguous(), sequences[:, 1:].contiguous()


class Batches:
    """The batches of a training, by number, from 0 on and without end.

    An epoch cuts the tokens (N, at least block_size + 1), from a random place on, into windows that do not overlap, and
    shuffles them. So each token comes once in an epoch, but for a few at both ends, where independent draws would bring
    some often and others not at all; and each epoch cuts elsewhere. What a batch holds depends on its number and the
    seed alone, not on what was asked for before.
    """

    def __init__(self, tokens: Int[Tensor, " N"], batch_size: int, block_size: int, seed: int):
        self.sequences = tokens.unfold(0, block_size + 1, 1)  # (N - T, T + 1), one for each place; copies nothing
        self.batch_size = batch_size
        self.block_size = block_size
        self.seed = seed
        self.per_epoch = max(1, len(self.sequences) // block_size)
        self._epoch = -1, torch.empty(0)

    def __getitem__(self, number: int) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
        first = number * self.batch_size
        epochs = range(first // self.per_epoch, (first + self.batch_size - 1) // self.per_epoch + 1)
        starts = torch.cat([self._starts(epoch) for epoch in epochs])
        begin = first % self.per_epoch
        sequences = self.sequences[starts[begin : begin + self.batch_size]]
        return sequences[:, :-1].contiguous(), sequences[:, 1:].contiguous()

    def _starts(self, epoch: int) -> Int[Tensor, " per_epoch"]:
        if epoch != self._epoch[0]:
            generator = torch.Generator().manual_seed(seed_of(self.seed, epoch))
            spare = len(self.sequences) - (self.per_epoch - 1) * self.block_size
            offset = torch.randint(spare, (1,), generator=generator)
            self._epoch = epoch, offset + self.block_size * torch.randperm(self.per_epoch, generator=generator)
        return self._epoch[1]


def seed_of(*parts: int) -> int:
    """A seed for each combination of numbers, the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")


def windows(
    tokens: Int[Tensor, " N"], batch_size: int, block_size: int
) -> Iterator[tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]]:
    """The whole text in windows that do not overlap, so that each token but the first is a target exactly once."""
    n_whole = (len(tokens) - 1) // block_size
    x = tokens[: n_whole * block_size].view(n_whole, block_size)
    y = tokens[1 : n_whole * block_size + 1].view(n_whole, block_size)
    yield from zip(x.split(batch_size), y.split(batch_size), strict=True)
    rest = tokens[n_whole * block_size :]
    if len(rest) > 1:
        yield rest[None, :-1], rest[None, 1:]
