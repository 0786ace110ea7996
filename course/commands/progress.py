"""What is green, since when, and with how many hints."""

import json
from pathlib import Path
from typing import Any

from training.console import Parser
from training.errors import UserError

from ..learner import records
from ..learner.standing import Standing, standings
from ..messages import say
from ..reading import title
from ..terminal import console, here


def main(argv: list[str]) -> int:
    parser = Parser("python -m course progress", say("progress_help"))
    parser.add_argument("--json", action="store_true", help=say("progress_json_help"))
    parser.add_argument("--merge", type=Path, metavar="FILE", help=say("progress_merge_help"))
    args = parser.parse_args(argv)
    if args.merge:
        merge(args.merge)
    found = standings()
    if args.json:
        print(json.dumps([as_json(standing) for standing in found], indent=2))
        return 0
    show(found)
    return 0


def merge(path: Path) -> None:
    try:
        others, damaged = records.parse(path.read_bytes())
    except OSError as error:
        raise UserError(say("merge_unreadable", file=path, reason=error.strerror)) from None
    if damaged and not others:
        raise UserError(say("merge_none", file=path))
    print(say("merged", new=records.merge(others), file=here(records.FILE), damaged=damaged))


def as_json(standing: Standing) -> dict[str, Any]:
    return {
        "stage": standing.stage.number,
        "green": standing.is_green,
        "green_at": standing.green.isoformat() if standing.green else None,
        "changed_since": list(standing.changed),
        "todos": [
            {"todo": todo.number, "written": todo not in standing.waiting, "hints": standing.hints[todo]}
            for todo in standing.stage.todos
        ],
    }


def show(found: list[Standing]) -> None:
    from rich.cells import set_cell_size

    out = console()
    head = (say(f"progress_{name}") for name in ("stage", "green", "hints"))
    widths = 34, 20, 7
    out.print(" ".join(map(set_cell_size, head, widths)), style="bold")
    for standing in found:
        green = standing.green.astimezone().strftime("%Y-%m-%d %H:%M") if standing.green else "-"
        note = say("state_changed") if standing.changed else ""
        if standing.green and standing.waiting:
            note = say("state_taken_back")
        row = f"{standing.stage.number:2}  {title(standing.stage)}", green, str(sum(standing.hints.values()))
        line = " ".join(map(set_cell_size, row, widths)) + f" {note}"
        out.print(line.rstrip(), style="green" if standing.is_green else "", no_wrap=True, crop=False)
    out.print(say("progress_kept", file=here(records.FILE)), style="dim", soft_wrap=True)
