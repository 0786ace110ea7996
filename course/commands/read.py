"""A chapter in the terminal, without what it is better not to see yet: hints and answers."""

import os
import re

from training.console import Parser

from ..book import SECTIONS
from ..learner.standing import find_todo
from ..messages import say
from ..reading import find_chapter, print_markdown
from ..terminal import console, course


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


def without_secrets(text: str, language: str, number: str) -> str:
    """The chapter with commands in the place of its hints and of the answers to its questions."""
    heading = f"## {SECTIONS['hints'][language]}"
    command = course(f"hint {number}")
    text = re.sub(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", f"{heading}\n`{command}`\n\n", text, flags=re.M | re.S)
    text = re.sub(r"\n*^ *<details>.*?</details>", "", text, flags=re.M | re.S)
    heading = f"## {SECTIONS['questions'][language]}\n"
    return text.replace(heading, f"{heading}`{course(f'questions {number}')}`\n")
