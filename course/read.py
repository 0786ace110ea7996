"""A chapter in the terminal, without what it is better not to see yet: hints and answers."""

import os
import re

from training.console import Parser
from training.errors import UserError

from .book import SECTIONS, read_chapter
from .messages import language, say
from .reading import print_markdown
from .stages import ROOT
from .standing import find_todo
from .terminal import console, course


def main(argv: list[str]) -> int:
    parser = Parser("python -m course read", say("read_help"))
    parser.add_argument("chapter", nargs="?", metavar="N", help=say("chapter_help"))
    wanted = parser.parse_args(argv).chapter
    text, found_in = find_chapter(wanted if wanted is not None else str(find_todo(None)[0].stage.number))
    number = re.match(r"# (\d+)", text)
    text = without_secrets(text, found_in, number[1] if number else "")
    out = console()
    if not out.is_terminal or text.count("\n") < out.height or os.name == "nt":
        print_markdown(out, text)
    else:
        os.environ.setdefault("LESS", "-FRX")
        with out.pager(styles=True):
            print_markdown(out, text)
    return 0


def find_chapter(number: str) -> tuple[str, str]:
    """The text of chapter "5", and its language: the learner's, or English. Raises UserError if there is none."""
    for folder in dict.fromkeys((language(), "en")):
        pages = sorted((ROOT / "book" / folder).glob(f"{number.zfill(2)}-*.md")) if number.isdecimal() else []
        if pages:
            return read_chapter(pages[0].name, folder), folder
    there = sorted({int(page.name[:2]) for page in (ROOT / "book").glob("*/[0-9][0-9]-*.md")})
    raise UserError(say("no_chapter", wanted=number, there=", ".join(map(str, there)) or "-"))


def without_secrets(text: str, language: str, number: str) -> str:
    """The chapter with commands in the place of its hints and of the answers to its questions."""
    heading = f"## {SECTIONS['hints'][language]}"
    command = course(f"hint {number}")
    text = re.sub(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", f"{heading}\n`{command}`\n\n", text, flags=re.M | re.S)
    text = re.sub(r"\n*^ *<details>.*?</details>", "", text, flags=re.M | re.S)
    heading = f"## {SECTIONS['questions'][language]}\n"
    return text.replace(heading, f"{heading}`{course(f'questions {number}')}`\n")
