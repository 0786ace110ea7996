"""What the watch shows: a title, how far the run is, the one message that matters, and the keys."""

import re
import time
from typing import NamedTuple

from ..learner.standing import current, place, standings
from ..messages import say
from ..reading import title
from ..stages import STAGES
from ..terminal import console, here
from .running import Outcome, Result

LONG = 10  # seconds after which a test may be in an endless loop
BAR = 40


class Line(NamedTuple):
    text: str
    style: str = ""


def picture(result: Result, width: int, height: int, note: str = "") -> list[Line]:
    """The whole screen, at most `height` lines of at most `width` cells."""
    heading = say("watch_title", stage=result.stage.number, stages=len(STAGES), title=title(result.stage))
    top = _fold([Line(heading, "bold"), *_progress(result), Line("")], width)
    bottom = _fold([Line(""), Line(f"{say('watch_keys')}   {note}".rstrip(), "dim")], width)
    body = _fold(_body(result), width)
    room = height - len(top) - len(bottom)
    if len(body) > room:
        rest = say("watch_more", lines=len(body) - room + 1)
        body = [*body[: room - 1], Line(rest, "dim")]
    return [*top, *body, *bottom]


def _progress(result: Result) -> list[Line]:
    total = result.exact + result.comparisons
    if not total:
        return [Line("")]
    failed = len(result.failures)
    passed = len(result.tests) - failed
    marks = ("+" * round(BAR * passed / total) + "x" * -(-BAR * failed // total))[:BAR]
    counts = say("watch_counts", passed=passed, failed=failed, left=total - passed - failed)
    style = "red" if failed else "green"
    return [Line(f"[{marks:{BAR}}]  {counts}", style)]


def _body(result: Result) -> list[Line]:
    if result.problem:
        return _lines(result.problem, "red")
    if result.failures:
        test = most_telling(result.failures)
        return [Line(say("watch_failed", test=test.name), "bold red"), Line(""), *_lines(test.message)]
    if result.is_green:
        return _green(result)
    lines = [Line(say("watch_exact", exact=result.exact), "bold green")] if result.exact_passed else []
    return [*lines, *_running(result)]


def most_telling(failures: list[Outcome]) -> Outcome:
    """The first failure that is about code which is there; else, the first TODO that waits."""
    return next((f for f in failures if not re.match(r"TODO \S+ is waiting|As in ", f.message)), failures[0])


def _running(result: Result) -> list[Line]:
    if not result.running:
        return [Line(say("watch_warming"), "dim")]
    seconds = int(time.monotonic() - result.since)
    lines = [Line(say("watch_running", test=result.running, seconds=seconds), "dim")]
    if result.place and seconds >= LONG:
        lines += [Line(""), Line(say("watch_long", place=here_in(result.place)), "yellow")]
    return lines


def here_in(place: str) -> str:
    """'gpt/head_v4.py, line 41' as seen from the folder that the learner is in."""
    file, comma, line = place.partition(",")
    return here(file) + comma + line


def _green(result: Result) -> list[Line]:
    lines = [Line(say("watch_green", stage=result.stage.number), "bold green")]
    for test in result.tests[result.exact :]:
        lines += [Line(""), *_lines(test.output.strip("\n"))]
    now = current(standings())
    if now is None:
        return [*lines, Line(""), Line(say("watch_all"), "bold")]
    file, line, _ = place(now.todo)
    then = say("watch_then", todo=now.todo.number, file=here(file), line=now.waiting.get(now.todo, line))
    return [*lines, Line(""), Line(then, "bold")]


def _lines(text: str, style: str = "") -> list[Line]:
    return [Line(line, style) for line in text.splitlines()]


def _fold(lines: list[Line], width: int) -> list[Line]:
    """Broken between words where possible, by the cells that they take."""
    from rich.text import Text

    out = console()
    return [
        Line(part.plain.rstrip(), line.style)
        for line in lines
        for part in (Text(line.text).wrap(out, width) if line.text else [Text()])
    ]
