"""A Markdown page as the checks see it: its headings, links, code fences, and the prose between them."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token


class Fence(NamedTuple):
    language: str
    code: str
    line: int  # of its first line of code, from 0


class Heading(NamedTuple):
    level: int
    text: str


class Page:
    def __init__(self, path: Path, text: str):
        self.path = path
        self.text = text
        self.tokens = MarkdownIt("commonmark").enable("table").parse(text)

    @property
    def fences(self) -> list[Fence]:
        return [Fence(t.info.strip(), t.content, t.map[0] + 1) for t in self.tokens if t.type == "fence" and t.map]

    @property
    def headings(self) -> list[Heading]:
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return [Heading(int(t.tag[1]), after.content) for t, after in pairs if t.type == "heading_open"]

    @property
    def anchors(self) -> set[str]:
        """What a link's #fragment may name: each heading in GitHub's spelling."""
        found: set[str] = set()
        for heading in self.headings:
            text = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading.text).lower()
            slug = "".join(c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM").replace(" ", "-")
            found.add(next(s for s in [slug, *(f"{slug}-{n}" for n in range(1, 99))] if s not in found))
        return found

    @property
    def links(self) -> list[str]:
        """The targets of all links and images, those in HTML included."""
        found = [str(t.attrs.get("href") or t.attrs.get("src")) for t in self._all() if t.attrs]
        html = "".join(t.content for t in self._all() if t.type.startswith("html"))
        return found + re.findall(r'(?:href|src|srcset)="([^"]+)"', html)

    @property
    def images_without_words(self) -> list[str]:
        return [str(t.attrs["src"]) for t in self._all() if t.type == "image" and not t.content.strip()]

    @property
    def inline_code(self) -> list[str]:
        return [t.content for t in self._all() if t.type == "code_inline"]

    @property
    def blocks(self) -> list[str]:
        """Paragraphs, headings, list items and cells of tables: their words, without code, formulas and addresses."""
        return [text for token in self.tokens if token.type == "inline" and (text := _text(token).strip())]

    def _all(self) -> Iterator[Token]:
        for token in self.tokens:
            yield token
            yield from token.children or ()


def _text(token: Token) -> str:
    said = {"softbreak": " ", "hardbreak": " ", "code_inline": "`"}
    parts = [t.content if t.type == "text" else said.get(t.type, "") for t in token.children or ()]
    return re.sub(r"\$\$.*?\$\$|\$[^$]+\$", "`", "".join(parts), flags=re.DOTALL)


@cache
def page(path: Path) -> Page:
    return Page(path, path.read_text(encoding="utf-8"))
