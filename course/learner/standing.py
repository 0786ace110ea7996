"""Where the learner stands: what is written, what is green, and whether it has changed since."""

from datetime import datetime
from typing import NamedTuple

from training.errors import UserError

from ..messages import say
from ..stages import FIRST, ROOT, STAGES, Stage, Todo, waiting_todos
from . import records
from .regions import find_region, fingerprint, read_source

PACKAGE = ROOT / "gpt"


class Standing(NamedTuple):
    """A stage: its TODOs that wait, when its test was last green, and the files that have changed since."""

    stage: Stage
    waiting: dict[Todo, int]  # the TODO -> its line
    green: datetime | None
    changed: tuple[str, ...]
    hints: dict[Todo, int]  # the TODO -> how many hints were read

    @property
    def is_green(self) -> bool:
        """Green once, or handed out finished, and not taken back to a TODO since."""
        return (self.green is not None or self.stage.number < FIRST) and not self.waiting

    @property
    def todo(self) -> Todo:
        """The TODO to look at: the first one that waits, or simply the first."""
        return next(iter(self.waiting), self.stage.todos[0])


def standings() -> list[Standing]:
    history = records.read()
    waiting: dict[Stage, dict[Todo, int]] = {stage: {} for stage in STAGES}
    for stage, todo, line in waiting_todos(PACKAGE):
        waiting[stage][todo] = line
    found = []
    for stage in STAGES:
        greens = [r for r in history if r["kind"] == "green" and r["stage"] == stage.number]
        last = greens[-1] if greens else None
        now = fingerprints(stage)
        changed = tuple(name for name, mark in now.items() if last and last["files"].get(name) != mark)
        hints = {todo: hints_read(todo, history) for todo in stage.todos}
        when = datetime.fromisoformat(last["at"]) if last else None
        found.append(Standing(stage, waiting[stage], when, changed, hints))
    return found


def current(found: list[Standing]) -> Standing | None:
    """The first stage that is not green, or None after the last one."""
    return next((standing for standing in found if not standing.is_green), None)


def fingerprints(stage: Stage) -> dict[str, str]:
    """The files that hold the stage's TODOs."""
    return {name: fingerprint(PACKAGE / name) for name in dict.fromkeys(todo.file for todo in stage.todos)}


def hints_read(todo: Todo, history: list[records.Record]) -> int:
    return max((r.get("number", 0) for r in history if r["kind"] == "hint" and r["todo"] == todo.number), default=0)


def place(todo: Todo) -> tuple[str, int | None, str]:
    """gpt/head_v4.py, the line where the TODO begins, and its task; no line where its marker is gone."""
    path = PACKAGE / todo.file
    region = find_region(read_source(path), todo.number) if path.exists() else None
    return f"gpt/{todo.file}", region.first + 1 if region else None, region.task if region else ""


def find_stage(wanted: str) -> Stage:
    """Stage "7", also for TODO "7-2". Raises UserError if there is none."""
    number = wanted.partition("-")[0]
    stage = next((stage for stage in STAGES if str(stage.number) == number), None)
    if stage is None:
        raise UserError(say("no_stage", wanted=wanted, last=STAGES[-1].number))
    return stage


def find_todo(wanted: str | None) -> tuple[Standing, Todo]:
    """TODO "7-2"; for a stage, "7", or for None, the current stage: its first TODO that waits."""
    found = standings()
    if wanted is None:
        standing = current(found) or found[-1]
        return standing, standing.todo
    standing = found[STAGES.index(find_stage(wanted))]
    todo = next((todo for todo in standing.stage.todos if todo.number == wanted), None)
    if todo is None and "-" in wanted:
        numbers = ", ".join(todo.number for todo in standing.stage.todos)
        raise UserError(say("no_todo", wanted=wanted, stage=standing.stage.number, numbers=numbers))
    return standing, todo or standing.todo
