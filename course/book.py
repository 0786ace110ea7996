"""The chapters as data: their sections, hints and questions. One Markdown text serves the page and the commands.

A chapter is book/LANGUAGE/NN-name.md. It has one title (#) and the sections of SECTIONS (##), in their order, each
under its heading in the chapter's language; other sections may stand between them. Under Hints each TODO has a heading
of its own (### TODO 2-1) and a numbered list; under Questions each question is a numbered item with its answer folded
away in <details>.
"""

import re
from pathlib import Path
from typing import NamedTuple

from training.errors import UserError

from .stages import ROOT

LANGUAGES = ("en", "ko")
SECTIONS = {
    "goals": {"en": "What you will know", "ko": "이 장에서 배우는 것"},
    "idea": {"en": "The idea", "ko": "아이디어"},
    "formula": {"en": "The formula", "ko": "수식"},
    "todo": {"en": "Your TODO", "ko": "TODO"},
    "test": {"en": "What the test checks", "ko": "테스트가 확인하는 것"},
    "comparison": {"en": "What the comparison shows", "ko": "비교가 보여 주는 것"},
    "hints": {"en": "Hints", "ko": "힌트"},
    "questions": {"en": "Questions", "ko": "질문"},
    "reading": {"en": "Further reading", "ko": "더 읽을거리"},
}


class Question(NamedTuple):
    question: str
    answer: str


def read_chapter(name: str, language: str = "en", root: Path = ROOT) -> str:
    """The Markdown of a chapter. Raises UserError where it is missing."""
    path = root / "book" / language / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        place = path.relative_to(root).as_posix()
        raise UserError(f"the chapter {place} is not there; git checkout {place} brings it back") from None


def sections(text: str) -> dict[str, str]:
    """The text under each ## heading, fenced code passed over."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            lines = found.setdefault(line.removeprefix("## ").strip(), [])
        else:
            lines.append(line)
    return {heading: "\n".join(body).strip() for heading, body in found.items()}


def hints(text: str, todo: str, language: str = "en") -> list[str]:
    """The hints for a TODO ("2-1"), from a nudge to nearly the answer."""
    body = sections(text).get(SECTIONS["hints"][language], "")
    parts = re.split(r"^### TODO (\d+(?:-\d+)?)[^\n]*\n", body, flags=re.MULTILINE)
    by_todo = dict(zip(parts[1::2], parts[2::2], strict=True))
    return _items(by_todo.get(todo, ""))


def questions(text: str, language: str = "en") -> list[Question]:
    """The questions, each with the answer that the page folds away."""
    found = []
    for item in _items(sections(text).get(SECTIONS["questions"][language], "")):
        question, _, rest = item.partition("<details>")
        answer = re.sub(r"<summary>.*?</summary>", "", rest, flags=re.DOTALL).replace("</details>", "")
        found.append(Question(question.strip(), answer.strip()))
    return found


def _items(text: str) -> list[str]:
    """The items of a numbered list, each with the indented lines that belong to it."""
    parts = re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]
    return [re.sub(r"^ {2,3}", "", part.strip(), flags=re.MULTILINE) for part in parts]
