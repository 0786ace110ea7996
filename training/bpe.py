"""Byte-pair encoding, fast enough to use. What it does is told by bpe_basic.py; the merges and the ids are the same.

>>> merges = [(merge.left, merge.right) for merge in learn("low low low lower newest", 3)]
>>> tokenizer = BPE(merges, specials=["<end>"])
>>> tokenizer.encode("low slow<end>", specials=True)
[257, 220, 82, 257, 259]
>>> tokenizer.decode([257, 220, 82, 257, 259])
'low slow<end>'
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import regex

from .bpe_basic import Merge, Pair, byte_ids, merged, vocabulary, words
from .errors import UserError

CUT = regex.compile(r"\S\s")


def parts(text: str, size: int = 1 << 17) -> Iterator[str]:
    """The text in parts of `size` characters or somewhat more. Each is cut before a space, where a word ends anyway."""
    start = 0
    while start < len(text):
        cut = CUT.search(text, start + size)
        end = cut.start() + 1 if cut else len(text)
        yield text[start:end]
        start = end


def replace(word: list[int], pair: Pair, new: int) -> list[tuple[Pair, int]]:
    """Put `new` in the place of the pair, in the word itself. Returns the neighbouring pairs lost (-1) and won (+1).

    >>> word = [7, 5, 6, 8]
    >>> replace(word, (5, 6), 300)
    [((7, 5), -1), ((7, 300), 1), ((6, 8), -1), ((300, 8), 1)]
    >>> word
    [7, 300, 8]
    """
    left, right = pair
    changes: list[tuple[Pair, int]] = []
    i = 0
    while i < len(word) - 1:
        if word[i] == left and word[i + 1] == right:
            if i > 0:
                changes += [((word[i - 1], left), -1), ((word[i - 1], new), 1)]
            if i + 2 < len(word):
                changes += [((right, word[i + 2]), -1), ((new, word[i + 2]), 1)]
            word[i : i + 2] = [new]
        i += 1
    return changes


def learn(text: str | bytes, n_merges: int) -> Iterator[Merge]:
    """The merges of bpe_basic.learn, without its recounting: each distinct word is kept once, with how often it stands
    in the text, and the counts of pairs are put right where a pair was replaced.

    The pairs wait in a heap, the most frequent one with the smallest ids on top. A count that has fallen since is
    noticed there, and its pair goes back with the new one; none can have risen, as replacing makes pairs of new tokens.

    What it costs: N characters with D bytes in distinct words are read once, O(N), and their pairs counted once, O(D).
    Each replacement makes a word shorter, so there are fewer than D of them, be the merges many or few. (Without spaces
    the text is one long word, and each merge has to look through it again.)
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    distinct: Counter[str] = Counter()
    for part in parts(text):
        distinct.update(words(part))
    tokens, times = [_bytes_of(word) for word in distinct], list(distinct.values())
    del distinct

    counts: dict[Pair, int] = defaultdict(int)
    where: dict[Pair, list[int]] = defaultdict(list)  # the words that have the pair, or had it once
    for i, word in enumerate(tokens):
        for pair in pairwise(word):
            counts[pair] += times[i]
            where[pair].append(i)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)

    new = 256
    while heap and new < 256 + n_merges:
        frequency, pair = -heap[0][0], heap[0][1]
        if frequency != counts[pair]:
            heapq.heapreplace(heap, (-counts[pair], pair))
            continue
        heapq.heappop(heap)
        if frequency == 0:
            continue
        replaced = 0
        won: set[Pair] = set()
        for i in where.pop(pair):
            length = len(tokens[i])
            for neighbours, change in replace(tokens[i], pair, new):
                counts[neighbours] += change * times[i]
                if change > 0:
                    where[neighbours].append(i)
                    won.add(neighbours)
            replaced += times[i] * (length - len(tokens[i]))
        for neighbours in won:
            heapq.heappush(heap, (-counts[neighbours], neighbours))
        yield Merge(*pair, frequency, replaced)
        new += 1


class BPE:
    """Encodes with merges that were learned. Ids: the 256 bytes, the merges, the special tokens, each in their order.

    A special token (say <|endoftext|>, between documents) is a string with an id of its own. In the text it is text
    like any other, lest a reader could forge it, unless `encode` is told that the text may hold specials.
    Raises UserError for special tokens that are empty or the same.
    """

    def __init__(self, merges: Sequence[Pair], specials: Sequence[str] = ()):
        if "" in specials or len(set(specials)) < len(specials):
            raise UserError(f"special tokens have to be different, and not empty; these are {list(specials)}")
        self.merges = list(merges)
        self.specials = list(specials)
        self.tokens = vocabulary(merges) + [special.encode() for special in specials]  # the bytes of each id
        self._merge_ids = {pair: i for i, pair in enumerate(self.merges, start=256)}
        self._special_ids = {special: i for i, special in enumerate(specials, start=256 + len(self.merges))}
        longest_first = sorted(specials, key=len, reverse=True)
        self._special = regex.compile("(" + "|".join(map(regex.escape, longest_first)) + ")")

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    def encode(self, text: str | bytes, specials: bool = False) -> list[int]:
        """Any text has its ids, and so has any string of bytes, UTF-8 or not. Raises UserError for a character that
        has no bytes, as half of a surrogate pair."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        known: dict[str, list[int]] = {}
        ids: list[int] = []
        for piece in self._special.split(text) if specials and self.specials else [text]:
            if specials and piece in self._special_ids:
                ids.append(self._special_ids[piece])
                continue
            for word in words(piece):
                if word not in known:
                    known[word] = self._encode_word(_bytes_of(word))
                ids += known[word]
        return ids

    def _encode_word(self, word: list[int]) -> list[int]:
        """Merge the pair that was learned first, until there is none: a merge makes only pairs that come later."""
        while pairs := [pair for pair in pairwise(word) if pair in self._merge_ids]:
            first = min(pairs, key=self._merge_ids.__getitem__)
            word = merged(word, first, self._merge_ids[first])
        return word

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that were encoded. Raises UserError for an id that the vocabulary does not have."""
        ids = list(ids)
        if wrong := [i for i in ids if not 0 <= i < self.vocab_size]:
            raise UserError(f"there is no token {wrong[0]}; the ids go from 0 to {self.vocab_size - 1}")
        return b"".join(self.tokens[i] for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text; bytes that are not UTF-8 (a token may be half a character) show as U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def ranks(self) -> dict[bytes, int]:
        """The id of each token but the special ones by its bytes, which is what tiktoken calls mergeable ranks.

        The bytes are enough: before its last merge, a token was always the same two. As long as no merge has crossed
        the borders of a string, what is around it does not matter, and the merges within it go the same way.
        """
        return {token: i for i, token in enumerate(self.tokens[: 256 + len(self.merges)])}


def _bytes_of(word: str) -> list[int]:
    try:
        return byte_ids(word)
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise UserError(f"the text has {half}, half of a surrogate pair, which is no character; remove it") from None
