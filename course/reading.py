"""Chapters in the learner's language: where they are, what they are called, and how they look on the console."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import UserError

from .book import read_chapter
from .messages import language, say
from .stages import ROOT, Stage

if TYPE_CHECKING:
    from rich.console import Console


def chapter(stage: Stage) -> Path:
    """The chapter in the learner's language, or in English where there is no such one yet."""
    path = ROOT / "book" / language() / stage.chapter
    return path if path.exists() else ROOT / "book" / "en" / stage.chapter


def title(stage: Stage) -> str:
    """The stage's title; that of the chapter, where it is in another language."""
    path = chapter(stage)
    if language() == "en" or not path.exists() or path.parent.name != language():
        return stage.title
    heading = path.read_text(encoding="utf-8").partition("\n")[0]
    return heading.removeprefix(f"# {stage.number}. ").removeprefix("# ")


def page_of(stage: Stage) -> tuple[str, str]:
    """The chapter's text, and its language. Raises UserError where there is no chapter."""
    folder = chapter(stage).parent.name
    return read_chapter(stage.chapter, folder), folder


def find_chapter(number: str) -> tuple[str, str]:
    """The text of chapter "5", and its language: the learner's, or English. Raises UserError if there is none."""
    for folder in dict.fromkeys((language(), "en")):
        pages = sorted((ROOT / "book" / folder).glob(f"{number.zfill(2)}-*.md")) if number.isdecimal() else []
        if pages:
            return read_chapter(pages[0].name, folder), folder
    there = sorted({int(page.name[:2]) for page in (ROOT / "book").glob("*/[0-9][0-9]-*.md")})
    raise UserError(say("no_chapter", wanted=number, there=", ".join(map(str, there)) or "-"))


def print_markdown(out: "Console", text: str) -> None:
    """Rendered, or as it is where the console's characters are too few for bullets and lines."""
    text = re.sub(r"!\[([^\]]*)\]\((?:\.\./)*([^)]*)\)", r"[\1] (\2)", text)  # figures: what they show, and where
    if out.encoding.lower().startswith("utf"):
        from rich.markdown import Markdown

        out.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
    else:
        out.print(text)
