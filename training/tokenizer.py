"""Text to numbers and back: a number for each character, or for each of a number of frequent pieces (byte pairs)."""

import codecs
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from .bpe import BPE, parts
from .bpe_basic import BYTES, VISIBLE, Pair
from .errors import UserError


class Tokenizer(Protocol):
    """What training and writing need. `to_json` is what a run keeps, and `load_tokenizer` reads."""

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Iterable[int]) -> str: ...

    def decode_bytes(self, ids: Iterable[int]) -> bytes: ...

    def to_json(self) -> str: ...


def load_tokenizer(text: str) -> Tokenizer:
    """Raises ValueError, TypeError or LookupError where the text is not that of to_json."""
    content = json.loads(text)
    return CharTokenizer(content["characters"]) if "characters" in content else BPETokenizer.from_json(content)


def decode_stream(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """The text, piece by piece, as the ids come. A character that a token leaves unfinished waits for its rest."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for i in ids:
        if piece := decoder.decode(tokenizer.decode_bytes([i])):
            yield piece
    if rest := decoder.decode(b"", final=True):
        yield rest


class CharTokenizer:
    """Each distinct character is a token; ids follow the order of their code points.

    >>> tokenizer = CharTokenizer.from_text("hello")
    >>> tokenizer.encode("hole")
    [1, 3, 2, 0]
    >>> tokenizer.decode([1, 3, 2, 0])
    'hole'
    """

    def __init__(self, characters: Iterable[str]):
        self.characters = list(characters)
        self._ids = {character: i for i, character in enumerate(self.characters)}

    @classmethod
    def from_text(cls, text: str) -> "CharTokenizer":
        return cls(sorted(set(text)))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> list[int]:
        """Raises UserError that names the characters which the vocabulary does not have."""
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            unknown = " ".join(repr(c) for c in dict.fromkeys(text) if c not in self._ids)
            known = repr("".join(self.characters))
            raise UserError(f"the training text has no {unknown}; it is made of {known}") from None

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return self.decode(ids).encode()

    def to_json(self) -> str:
        return json.dumps({"characters": "".join(self.characters)}, ensure_ascii=False)


# How Hugging Face's tokenizers spell the bytes in their files: the visible ones as they are, the others from U+0100 on.
SPELLING = dict(zip(BYTES, [*map(chr, VISIBLE), *map(chr, range(0x100, 0x200 - len(VISIBLE)))], strict=True))


class BPETokenizer(BPE):
    """Our BPE with the learning and the encoding done by Hugging Face's tokenizers: the same merges and ids, sooner.

    (The same but around some 17,000 rare characters of which the two libraries' Unicode tables differ in the class.)

    >>> tokenizer = BPETokenizer.from_text("low low low lower newest", vocab_size=259)
    >>> tokenizer.encode("low slow")
    [257, 220, 82, 257]
    """

    def __init__(self, merges: Sequence[Pair], specials: Sequence[str] = ()):
        super().__init__(merges, specials)
        self._fast = _fast_tokenizer(self.tokens[: 256 + len(merges)], self.merges)
        self._fast.add_special_tokens(self.specials)
        if self._fast.get_vocab_size() != self.vocab_size:
            raise UserError(f"one of the special tokens {self.specials} is spelled as another token; name it otherwise")

    @classmethod
    def from_text(cls, text: str, vocab_size: int) -> "BPETokenizer":
        """Learns vocab_size - 256 merges, or as many as the text has."""
        from tokenizers.trainers import BpeTrainer

        learner = _fast_tokenizer(BPE([]).tokens, [])
        trainer = BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=list(SPELLING.values()), special_tokens=[], show_progress=False
        )
        learner.train_from_iterator(parts(text), trainer)
        return cls.from_json(json.loads(learner.to_str()))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "BPETokenizer":
        """Raises ValueError, TypeError or LookupError where the content is not that of to_json."""
        ids = content["model"]["vocab"]
        specials = {token["content"]: token["id"] for token in content["added_tokens"]}
        tokenizer = cls([(ids[left], ids[right]) for left, right in content["model"]["merges"]], list(specials))
        if tokenizer._fast.get_vocab() != ids | specials:
            raise ValueError("the ids are in another order than those of BPE")
        return tokenizer

    def to_json(self) -> str:
        """In the format of tokenizers: tokenizers.Tokenizer.from_file reads it."""
        return self._fast.to_str(pretty=True)

    def encode(self, text: str | bytes, specials: bool = False) -> list[int]:
        self._fast.encode_special_tokens = not specials
        try:
            pieces = [text] if specials or isinstance(text, bytes) else parts(text)
            return [i for piece in pieces for i in self._fast.encode_batch_fast([piece])[0].ids]
        except TypeError:  # it wants text, and bytes that are not UTF-8 are none
            return super().encode(text, specials)


def _fast_tokenizer(tokens: Sequence[bytes], merges: Sequence[Pair]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    spelled = ["".join(SPELLING[byte] for byte in token) for token in tokens]
    vocabulary = {token: i for i, token in enumerate(spelled)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(spelled[left], spelled[right]) for left, right in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
    return tokenizer
