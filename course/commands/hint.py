"""The next hint for a TODO, one more each time."""

from typing import TYPE_CHECKING

from training.console import Parser
from training.errors import UserError

from ..book import hints
from ..learner import records
from ..learner.standing import find_todo, hints_read
from ..messages import say
from ..reading import page_of, print_markdown, title
from ..terminal import console, course

if TYPE_CHECKING:
    from rich.console import Console


def main(argv: list[str]) -> int:
    parser = Parser("python -m course hint", say("hint_help"))
    parser.add_argument("todo", nargs="?", metavar="N[-M]", help=say("todo_help"))
    parser.add_argument("--again", action="store_true", help=say("hint_again_help"))
    args = parser.parse_args(argv)
    show(console(), args.todo, args.again)
    return 0


def show(out: "Console", wanted: str | None, again: bool = False) -> None:
    """Raises UserError where there is no hint."""
    standing, todo = find_todo(wanted)
    text, language = page_of(standing.stage)
    there = hints(text, todo.number, language)
    if not there:
        raise UserError(say("hint_none", todo=todo.number))
    read = min(hints_read(todo, records.read()), len(there))
    out.print(f"TODO {todo.number}, {title(standing.stage)}", style="bold")
    if read == len(there) or again:
        shown = range(read)
    else:
        shown = range(read, read + 1)
        records.add("hint", todo=todo.number, number=read + 1)
    for n in shown:
        out.print(f"\n{say('hint_title', number=n + 1, there=len(there))}", style="bold")
        print_markdown(out, there[n])
    left = len(there) - max(read, shown.stop)
    command = course(f"hint {todo.number}" if left else f"solution {todo.number}")
    out.print("\n" + say("hint_left" if left else "hint_last", left=left, command=command), style="dim", soft_wrap=True)
