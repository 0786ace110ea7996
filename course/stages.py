"""The stage map: the one table from which everything else knows what the stages are."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from training.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


class Todo(NamedTuple):
    """One region that the learner fills in: its number, and its file in gpt/."""

    number: str
    file: str


class Model(NamedTuple):
    """What main.py trains: `module.Class` of the GPT, of the head inside it, and of the blocks that hold the heads."""

    gpt: str
    head: str | None = None
    block: str | None = None


class Stage(NamedTuple):
    """`chapter` names the Markdown file in book/en and book/ko."""

    number: int
    title: str
    chapter: str
    todos: tuple[Todo, ...]
    model: Model

    @property
    def test(self) -> str:
        return f"tests/test_{self.number}.py"


_ALL = (
    Stage(1, "The bigram model", "01-bigram.md", (Todo("1", "gpt_v1.py"),), Model("gpt_v1.GPTVer1")),
    Stage(
        2,
        "The average of the past",
        "02-average.md",
        (Todo("2-1", "head_v1.py"), Todo("2-2", "gpt_v2.py")),
        Model("gpt_v2.GPTVer2", "head_v1.HeadVer1"),
    ),
    Stage(
        3,
        "One matrix product",
        "03-matrix-product.md",
        (Todo("3", "head_v2.py"),),
        Model("gpt_v2.GPTVer2", "head_v2.HeadVer2"),
    ),
    Stage(
        4,
        "Mask and softmax",
        "04-mask-and-softmax.md",
        (Todo("4", "head_v3.py"),),
        Model("gpt_v2.GPTVer2", "head_v3.HeadVer3"),
    ),
    Stage(
        5,
        "Self-attention",
        "05-attention.md",
        (Todo("5", "head_v4.py"),),
        Model("gpt_v2.GPTVer2", "head_v4.HeadVer4"),
    ),
    Stage(
        6,
        "Positions",
        "06-positions.md",
        (Todo("6-1", "gpt_v3.py"), Todo("6-2", "gpt_v3.py")),
        Model("gpt_v3.GPTVer3", "head_v4.HeadVer4"),
    ),
    Stage(
        7,
        "Several heads",
        "07-multi-head.md",
        (Todo("7-1", "multi_head_v1.py"), Todo("7-2", "multi_head_v2.py"), Todo("7-3", "gpt_v4.py")),
        Model("gpt_v4.GPTVer4", "multi_head_v2.MultiHeadVer2"),
    ),
    Stage(
        8,
        "Feed-forward and residuals",
        "08-feed-forward.md",
        (Todo("8-1", "feed_forward.py"), Todo("8-2", "block_v1.py"), Todo("8-3", "block_v2.py")),
        Model("gpt_v4.GPTVer4", "multi_head_v2.MultiHeadVer2", "block_v2.BlockVer2"),
    ),
    Stage(
        9,
        "LayerNorm",
        "09-layer-norm.md",
        (Todo("9-1", "layer_norm.py"), Todo("9-2", "block_v3.py")),
        Model("gpt_v4.GPTVer4", "multi_head_v2.MultiHeadVer2", "block_v3.BlockVer3"),
    ),
    Stage(
        10,
        "Dropout",
        "10-dropout.md",
        (Todo("10", "block_v4.py"),),
        Model("gpt_v4.GPTVer4", "multi_head_v2.MultiHeadVer2", "block_v4.BlockVer4"),
    ),
)

WEEKS = ((1, 4), (5, 7), (8, 10))  # a class of three weeks: the first and the last stage of each


def _release() -> dict[str, int]:
    """What `python -m course release` wrote into this copy of the course, if it is one that was handed out."""
    path = Path(__file__).with_name("release.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


STAGES = _ALL[: _release().get("stages", len(_ALL))]
FIRST = _release().get("first", 1)  # the stages before came finished


NO_SOLUTIONS = "this copy of the course has no solutions/; leave --solutions out to use your own code in gpt/"


def use_package(solutions: bool) -> Path:
    """Let `import gpt` find the finished package, or the learner's; returns its folder. Raises UserError where this
    copy of the course came without the finished one."""
    folder = ROOT / "solutions" if solutions else ROOT
    if not folder.is_dir():
        raise UserError(NO_SOLUTIONS)
    sys.path.insert(0, str(folder))
    return folder / "gpt"


class Waiting(NamedTuple):
    """A TODO that is not written yet, and the line on which it waits."""

    stage: Stage
    todo: Todo
    line: int


def waiting_todos(package: Path) -> list[Waiting]:
    """The unwritten TODOs of a `gpt` package, in the order of the course. A missing file counts as unwritten."""
    waiting = []
    for stage in STAGES:
        for todo in stage.todos:
            path = package / todo.file
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            mark = f'raise NotImplementedError("TODO {todo.number}:'
            lines = [n for n, line in enumerate(text.splitlines(), 1) if line.strip().startswith(mark)]
            if lines or not text:
                waiting.append(Waiting(stage, todo, lines[0] if lines else 1))
    return waiting


def stage_to_train(package: Path, wanted: int | None = None) -> int:
    """The wanted stage, or the furthest that is written. Raises UserError that names the TODO in the way."""
    waiting = waiting_todos(package)
    if not waiting or (wanted and wanted < waiting[0].stage.number):
        return wanted or STAGES[-1].number
    stage, todo, line = waiting[0]
    if wanted is None and stage.number > 1:
        return stage.number - 1
    raise UserError(
        f"TODO {todo.number} comes first: {package.name}/{todo.file}, line {line};"
        f" its test: pytest {stage.test} -s -vv"
        + "\nMeanwhile, to see the finished GPT at work: python main.py --solutions"
        * (ROOT / "solutions").is_dir()
    )
