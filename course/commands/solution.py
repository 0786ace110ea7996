"""The finished code beside the learner's, once the stage is green."""

import difflib
from pathlib import Path

from training.console import Parser
from training.errors import UserError

from ..learner.regions import find_region, read_source
from ..learner.standing import PACKAGE, find_todo
from ..messages import say
from ..stages import ROOT, Todo
from ..terminal import console, course, here, pytest


def main(argv: list[str]) -> int:
    parser = Parser("python -m course solution", say("solution_help"))
    parser.add_argument("todo", nargs="?", metavar="N[-M]", help=say("todo_help"))
    parser.add_argument("--anyway", action="store_true", help=say("solution_anyway_help"))
    args = parser.parse_args(argv)
    standing, todo = find_todo(args.todo)
    if not (ROOT / "solutions" / "gpt").exists():
        raise UserError(say("solution_none"))
    if not standing.is_green and not args.anyway:
        hint, anyway = course(f"hint {todo.number}"), course(f"solution {todo.number} --anyway")
        raise UserError(say("solution_not_yet", test=pytest(standing.stage.test), hint=hint, anyway=anyway))
    wanted = [todo] if args.todo == todo.number or not args.todo else standing.stage.todos
    for one in wanted:
        show_difference(one)
    return 0


def show_difference(todo: Todo) -> None:
    out = console()
    mine, finished = PACKAGE / todo.file, ROOT / "solutions" / "gpt" / todo.file
    lines = [
        *difflib.unified_diff(code(mine, todo), code(finished, todo), here(mine), here(finished), n=99, lineterm="")
    ]
    if not lines:
        out.print(say("solution_same", todo=todo.number), style="bold")
    for line in lines[:2] + lines[3:]:  # without the @@ line
        style = {"-": "red", "+": "green"}.get(line[:1], "")
        out.print(line, style=style, soft_wrap=True)


def code(path: Path, todo: Todo) -> list[str]:
    """The lines between a TODO's markers; the whole file where the markers are gone."""
    if not path.exists():
        return []
    text = read_source(path)
    region = find_region(text, todo.number)
    return text.splitlines()[region.first + 1 : region.last] if region else text.splitlines()
