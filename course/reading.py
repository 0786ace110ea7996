"""Chapters on the console."""

import re
from typing import TYPE_CHECKING

from .book import read_chapter
from .stages import Stage
from .standing import chapter

if TYPE_CHECKING:
    from rich.console import Console


def page_of(stage: Stage) -> tuple[str, str]:
    """The chapter's text, and its language. Raises UserError where there is no chapter."""
    language = chapter(stage).parent.name
    return read_chapter(stage.chapter, language), language


def print_markdown(out: "Console", text: str) -> None:
    """Rendered, or as it is where the console's characters are too few for bullets and lines."""
    text = re.sub(r"!\[([^\]]*)\]\((?:\.\./)*([^)]*)\)", r"[\1] (\2)", text)  # figures: what they show, and where
    if out.encoding.lower().startswith("utf"):
        from rich.markdown import Markdown

        out.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
    else:
        out.print(text)
