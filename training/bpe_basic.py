"""Byte-pair encoding as the textbook has it: count the pairs, merge the most frequent one, count anew.

>>> merges = [(merge.left, merge.right) for merge in learn("low low low lower newest", 3)]
>>> vocabulary(merges)[256:]
[b'lo', b'low', b' low']
>>> encode("low slow", merges)
[257, 220, 82, 257]
>>> decode([257, 220, 82, 257], merges)
'low slow'

Each merge costs a pass over the whole text. bpe.py learns the same merges, much faster.

Sources: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2; on bytes, and
with these words: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2), section 2.2.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import regex  # Python's re does not know Unicode's letters (\p{L}) and numbers (\p{N})

Pair = tuple[int, int]

# GPT-2's words: an English ending; or letters, numbers, other signs, each with a space before them; or white space, the
# last of it left to the word that follows. Nothing is lost between them.
WORD = regex.compile(r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

# GPT-2's order of the single bytes, ids 0 to 255: those that are a visible character in Latin-1 come first.
VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTES = [*VISIBLE, *sorted(set(range(256)) - set(VISIBLE))]
BYTE_IDS = {byte: i for i, byte in enumerate(BYTES)}


class Merge(NamedTuple):
    """Two tokens become one. The text had them `frequency` times (aa in aaa: 2), and lost them `replaced` times (1)."""

    left: int
    right: int
    frequency: int
    replaced: int


def words(text: str | bytes) -> list[str]:
    """The king's men: "The", " king", "'s", " men". Bytes that are not UTF-8 become halves of surrogate pairs."""
    return WORD.findall(text if isinstance(text, str) else text.decode("utf-8", "surrogateescape"))


def byte_ids(word: str) -> list[int]:
    return [BYTE_IDS[byte] for byte in word.encode("utf-8", "surrogateescape")]


def merged(word: Sequence[int], pair: Pair, new: int) -> list[int]:
    """The word with `new` for the pair, from left to right: merged([7, 7, 7], (7, 7), 300) is [300, 7]."""
    result: list[int] = []
    for token in word:
        if result and (result[-1], token) == pair:
            result[-1] = new
        else:
            result.append(token)
    return result


def learn(text: str | bytes, n_merges: int) -> Iterator[Merge]:
    """Yield n_merges merges, which make the tokens 256, 257, ...; fewer if all words become single tokens before.

    The most frequent pair is next; of equally frequent ones, the one with the smallest ids.
    """
    tokens = [byte_ids(word) for word in words(text)]
    for new in range(256, 256 + n_merges):
        counts = Counter(chain.from_iterable(pairwise(word) for word in tokens))
        if not counts:
            return
        pair = min(counts, key=lambda pair: (-counts[pair], pair))
        length = sum(map(len, tokens))
        tokens = [merged(word, pair, new) for word in tokens]
        yield Merge(*pair, counts[pair], length - sum(map(len, tokens)))


def vocabulary(merges: Iterable[Pair]) -> list[bytes]:
    """The bytes of each token, by id."""
    tokens = [bytes([byte]) for byte in BYTES]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return tokens


def encode(text: str | bytes, merges: Sequence[Pair]) -> list[int]:
    """All merges, in the order in which they were learned."""
    tokens = [byte_ids(word) for word in words(text)]
    for new, pair in enumerate(merges, start=256):
        tokens = [merged(word, pair, new) for word in tokens]
    return [token for word in tokens for token in word]


def decode(ids: Iterable[int], merges: Iterable[Pair]) -> str:
    tokens = vocabulary(merges)
    return b"".join(tokens[i] for i in ids).decode("utf-8", "replace")
