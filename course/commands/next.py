"""Where the learner is, and what comes next, on one screen."""

from typing import TYPE_CHECKING

from training.console import Parser

from ..book import hints
from ..learner.standing import PACKAGE, Standing, current, place, standings
from ..messages import say
from ..reading import chapter, title
from ..stages import STAGES
from ..terminal import console, course, here, pytest

if TYPE_CHECKING:
    from rich.console import Console


def main(argv: list[str]) -> int:
    Parser("python -m course next", say("next_help")).parse_args(argv)
    show(console())
    return 0


def show(out: "Console") -> None:
    found = standings()
    now = current(found)
    stages = sum(standing.is_green for standing in found)
    written = sum(len(standing.stage.todos) - len(standing.waiting) for standing in found)
    todos = sum(len(stage.todos) for stage in STAGES)
    out.print(say("next_title", green=stages, stages=len(STAGES), written=written, todos=todos), style="bold")
    out.print()
    for standing in found:
        _print_row(out, standing, standing is now)
    out.print()
    if now is None:
        out.print(say("next_finished"), style="bold")
        for text, command in (("next_train", f"python {here('main.py')}"), ("next_look", course("look"))):
            out.print(f"  {say(text, command=command)}", soft_wrap=True)
    else:
        _print_next(out, now)
    for standing in found:
        if standing.is_green and standing.changed:
            files = ", ".join(here(f"gpt/{name}") for name in standing.changed)
            out.print(
                say("next_changed", files=files, test=pytest(standing.stage.test)), style="yellow", soft_wrap=True
            )


def _print_row(out: "Console", standing: Standing, is_now: bool) -> None:
    from rich.cells import set_cell_size

    marks = " ".join(f"[{' ' if todo in standing.waiting else 'x'}] {todo.number:4}" for todo in standing.stage.todos)
    name = set_cell_size(title(standing.stage), 29)
    style = "green" if standing.is_green else "bold" if is_now else "dim"
    line = f"{'>' if is_now else ' '}{standing.stage.number:3}  {name} {marks:27} {state(standing)}"
    out.print(line.rstrip(), style=style, no_wrap=True, crop=False)


def state(standing: Standing) -> str:
    if standing.is_green and standing.changed:
        return say("state_changed")
    if standing.is_green:
        return say("state_green" if standing.green else "state_given")
    return "" if standing.waiting else say("state_written")


def _print_next(out: "Console", now: Standing) -> None:
    todo = now.todo
    file, line, task = place(todo)
    if not (PACKAGE / todo.file).exists():
        out.print(say("next_gone", file=here(file), command=course(f"reset {todo.number}")), style="bold red")
    elif not now.waiting:
        out.print(say("next_written", stage=now.stage.number), style="bold")
    else:
        out.print(say("next_todo", todo=todo.number, file=here(file), line=now.waiting[todo]), style="bold")
        out.print(f"  {task}")
    page = chapter(now.stage)
    rows = [("next_test", pytest(now.stage.test), ""), ("next_watch", course("watch"), say("next_watching"))]
    if page.exists():
        rows.insert(0, ("next_chapter", here(page), course(f"read {now.stage.number}")))
        if there := len(hints(page.read_text(encoding="utf-8"), todo.number, page.parent.name)):
            read = say("next_hints", read=now.hints[todo], there=there)
            rows.append(("next_hint", course(f"hint {todo.number}"), read))
    for label, first, second in rows:
        out.print(f"  {say(label)}  {first:38} {second}".rstrip(), soft_wrap=True)
