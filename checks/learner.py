"""A learner's own copy of the course, and its commands called as a learner calls them."""

import compileall
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from checks.conftest import ROOT, Done
from course.scaffold import scaffold
from course.stages import STAGES

FOLDERS = ("course", "training", "solutions")
FILES = ("conftest.py", "main.py", "pyproject.toml", "config.yaml", "requirements.txt", "input.txt")
CHAPTER = """# {number}. {title}

## {idea}
The idea of {title}. ![A map](../../img/map.png)

## {hints}
### TODO {todo}
1. Look at the shapes.
2. Look at `x`:

   ```python
   x.shape
   ```
3. The last hint.

## {questions}
1. What is it?
   <details><summary>Answer</summary>

   It is forty-two.
   </details>
2. And why?
   <details><summary>Answer</summary>

   Because of the second answer.
   </details>

## {reading}
- A paper.
"""
KOREAN = {"idea": "아이디어", "hints": "힌트", "questions": "질문", "reading": "더 읽을거리"}
ENGLISH = {"idea": "The idea", "hints": "Hints", "questions": "Questions", "reading": "Further reading"}
PASSES = "def test_one():\n    pass\n\n\ndef test_two():\n    pass\n"


class Learner:
    """Has the course in `root` with everything to be written, small chapters, and stage tests that pass at once."""

    def __init__(self, root: Path, tests: bool = False):
        self.root = root
        for folder in (*FOLDERS, *(["tests"] if tests else [])):
            compileall.compile_dir(ROOT / folder, quiet=2)  # once for all, since what is called here writes no bytecode
            shutil.copytree(ROOT / folder, root / folder)
        for file in FILES:
            shutil.copy(ROOT / file, root / file)
        for path, text in scaffold().items():
            self.file(path.relative_to(ROOT), text)
        self.file("gpt/__init__.py", (ROOT / "solutions/gpt/__init__.py").read_text(encoding="utf-8"))
        for stage in STAGES:
            names = {"number": stage.number, "title": stage.title, "todo": stage.todos[0].number}
            self.file(f"book/en/{stage.chapter}", CHAPTER.format(**names, **ENGLISH))
            self.file(f"book/ko/{stage.chapter}", CHAPTER.format(**{**names, "title": "장의 제목"}, **KOREAN))
            if not tests:
                self.file(stage.test, PASSES)

    def file(self, name: str | Path, text: str | None = None) -> str:
        """Write a file of the course, or read it."""
        path = self.root / name
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        return path.read_bytes().decode("utf-8")

    def solve(self, *stages: int) -> None:
        """Write the finished code of these stages into gpt/."""
        for stage in stages:
            for todo in STAGES[stage - 1].todos:
                shutil.copy(self.root / "solutions/gpt" / todo.file, self.root / "gpt" / todo.file)

    def environment(self, **changes: str) -> dict[str, str]:
        quiet = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON", "COLUMNS", "LINES"))}
        return {**quiet, "LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1", **changes}

    def run(self, *command: str, folder: str = ".", stdin: str = "", **environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, *command], cwd=self.root / folder, env=self.environment(**environment), input=stdin,
            capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=600,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def course(self, *arguments: str, **environment: str) -> Done:
        return self.run("-m", "course", *arguments, **environment)

    def pytest(self, *arguments: str) -> Done:
        """The small stage tests need no plugins."""
        return self.run("-m", "pytest", "-q", *arguments, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def plain(text: str) -> str:
    """Without colours, and without the blanks that rich puts at the ends of lines."""
    return "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines())
