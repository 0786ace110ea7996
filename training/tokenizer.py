"""Text to numbers and back, a number for each character."""

from collections.abc import Iterable

from .errors import UserError


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
            unknown = " ".join(ascii(c) for c in dict.fromkeys(text) if c not in self._ids)
            known = ascii("".join(self.characters))
            raise UserError(f"the training text has no {unknown}; it is made of {known}") from None

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids)
