"""Failures that read like a good teaching assistant: what was asked, what came, and no traceback of ours."""

import linecache
import re
import traceback
from pathlib import Path
from types import FrameType

from course.stages import ROOT, STAGES

PACKAGES = (ROOT / "gpt", ROOT / "solutions" / "gpt")


class Wrong(AssertionError):
    """What the learner's code gave is not what was asked; the message says how."""


def explain(error: BaseException) -> str | None:
    """The message for the learner, or None where the error is not of the learner's making."""
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, NotImplementedError) and (message := _waiting(error)):
        return message
    if isinstance(error, SyntaxError) and error.filename and _is_theirs(error.filename):
        line = (error.text or "").rstrip("\n")
        pointer = " " * max(0, (error.offset or 1) - 1) + "^"
        return f"{_short(error.filename)}, line {error.lineno}: {error.msg}\n\n    {line}\n    {pointer}"
    return _their_line(error)


def _waiting(error: NotImplementedError) -> str | None:
    """'TODO 5 is waiting in gpt/head_v4.py, line 41', its task, and where to read about it."""
    number = re.match(r"TODO (\d+(?:-\d+)?):", str(error))
    frame = _last_frame(error)
    if not number or not frame:
        return None
    stage = next(s for s in STAGES for todo in s.todos if todo.number == number[1])
    page = ROOT / "book" / "en" / stage.chapter
    chapter = f"Chapter: {page.relative_to(ROOT).as_posix()}    " if page.exists() else ""
    return (
        f"TODO {number[1]} is waiting in {_short(frame.filename)}, line {frame.lineno}:\n\n"
        f"    {str(error).partition(': ')[2]}\n\n"
        f"{chapter}Then again: pytest {stage.test} -s -vv"
    )


def _their_line(error: BaseException) -> str | None:
    """An exception inside the learner's code: their line, not ours."""
    frame = _last_frame(error)
    if frame is None:
        return None
    source = (linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return (
        f"{_short(frame.filename)}, line {frame.lineno}, in {frame.name}:\n\n    {source}\n\n"
        f"{type(error).__name__}: {error}"
    )


def _last_frame(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame that is in the learner's package."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((f for f in reversed(frames) if _is_theirs(f.filename)), None)


def _is_theirs(filename: str) -> bool:
    return Path(filename).resolve().parent in PACKAGES


def _short(filename: str) -> str:
    return Path(filename).resolve().relative_to(ROOT).as_posix()


def place_of(frame: FrameType | None) -> str:
    """', in gpt/head_v4.py, line 41', or nothing where the frame is not in the learner's package."""
    while frame and not _is_theirs(frame.f_code.co_filename):
        frame = frame.f_back
    return f", in {_short(frame.f_code.co_filename)}, line {frame.f_lineno}" if frame else ""


def place_of_error(error: BaseException) -> str:
    """The same, for the innermost frame of an exception's traceback."""
    frame = _last_frame(error)
    return f", in {_short(frame.filename)}, line {frame.lineno}" if frame else ""
