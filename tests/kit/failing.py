"""Failures that read like a good teaching assistant: what was asked, what came, and no traceback of ours."""

import linecache
import re
import textwrap
import traceback
from pathlib import Path
from types import FrameType

from course.stages import ROOT, STAGES

from .showing import WIDTH, filled

PACKAGES = (ROOT / "gpt", ROOT / "solutions" / "gpt")


class Wrong(AssertionError):
    """What the learner's code gave is not what was asked; the message says how. todo: the one that has to be mended."""

    def __init__(self, message: str, todo: str | None = None):
        super().__init__(message)
        self.todo = todo


def explain(error: BaseException) -> str | None:
    """The message for the learner, or None where the error is not of the learner's making."""
    if isinstance(error, Wrong):
        return filled(str(error))
    if is_waiting(error):
        return waiting(error)
    if isinstance(error, SyntaxError | ValueError) and "null bytes" in str(error):
        return next((not_utf_8(file) for p in PACKAGES for file in p.glob("*.py") if b"\0" in file.read_bytes()), None)
    if isinstance(error, SyntaxError) and error.filename and is_theirs(error.filename):
        return syntax_error(error)
    return their_line(error)


def is_waiting(error: BaseException) -> bool:
    return isinstance(error, NotImplementedError) and re.match(r"TODO [\d-]+:", str(error)) is not None


def waiting(error: BaseException) -> str | None:
    """'TODO 5 is waiting in gpt/head_v4.py, line 41', its task, and where to read about it."""
    frame = last_frame(error)
    if not frame:
        return None
    number, task = re.findall(r"TODO ([\d-]+): (.*)", str(error), re.DOTALL)[0]
    stage = next(s for s in STAGES for todo in s.todos if todo.number == number)
    page = ROOT / "book" / "en" / stage.chapter
    lines = [f"TODO {number} is waiting in {short(frame.filename)}, line {frame.lineno}:", "", f"    {task}", ""]
    if page.exists():
        lines.append(f"To read:  {page.relative_to(ROOT).as_posix()}")
    return "\n".join([*lines, f"To test:  pytest {stage.test} -s -vv"])


def syntax_error(error: SyntaxError) -> str:
    if re.search(r"codec can't decode|not UTF-8", str(error.msg)):
        return not_utf_8(Path(error.filename or ""))
    line = (error.text or "").strip()
    indent = (error.text or "").find(line)
    pointer = " " * min(max(0, (error.offset or 1) - 1 - indent), len(line)) + "^"
    kind = "" if type(error) is SyntaxError else f"{type(error).__name__}: "
    return f"{short(error.filename or '')}, line {error.lineno}: {kind}{error.msg}\n\n    {line}\n    {pointer}"


def not_utf_8(file: Path) -> str:
    return (
        f"{short(str(file))} is not saved as UTF-8, and so Python cannot read it.\n"
        "Save it again from your editor, with the encoding UTF-8 (not UTF-16)."
    )


def their_line(error: BaseException) -> str | None:
    """An exception inside the learner's code: their line, not ours."""
    frame = last_frame(error)
    if frame is None:
        return None
    source = textwrap.shorten(linecache.getline(frame.filename, frame.lineno or 0), WIDTH - 4, placeholder=" ...")
    advice = {
        "RecursionError": "A method calls itself, again and again.",
        "SystemExit": "This ends the whole program. Leave it to the caller: use return, or raise an error.",
    }.get(type(error).__name__, "")
    place = f"{short(frame.filename)}, line {frame.lineno}, in {frame.name}:"
    return filled(f"{place}\n\n    {source}\n\n{in_short(error)}\n{advice}").rstrip()


def in_short(error: BaseException) -> str:
    """'ValueError: what it says', a few lines of it."""
    return textwrap.shorten(f"{type(error).__name__}: {error}".removesuffix(": "), 4 * WIDTH, placeholder=" ...")


def last_frame(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame that is in the learner's package."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((f for f in reversed(frames) if is_theirs(f.filename)), None)


def is_theirs(filename: str) -> bool:
    return Path(filename).resolve().parent in PACKAGES


def short(filename: str) -> str:
    return Path(filename).resolve().relative_to(ROOT).as_posix()


def place_of(frame: FrameType | None) -> str:
    """', in gpt/head_v4.py, line 41', or nothing where the frame is not in the learner's package."""
    while frame and not is_theirs(frame.f_code.co_filename):
        frame = frame.f_back
    return f", in {short(frame.f_code.co_filename)}, line {frame.f_lineno}" if frame else ""


def place_of_error(error: BaseException) -> str:
    """The same, for the innermost frame of an exception's traceback."""
    frame = last_frame(error)
    return f", in {short(frame.filename)}, line {frame.lineno}" if frame else ""
