"""python -m course [COMMAND] [--lang en|ko]: what goes on around the code. Without a command: what comes next.

From a folder inside the course, `python ../course COMMAND` does the same. Each command explains itself with --help.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

if not __package__:  # called as `python ../course`
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from course import messages
from training.console import exit_code
from training.errors import UserError

COMMANDS = {  # each is the module course.NAME, which has main(argv) -> exit code and is imported only when called
    "next": "where you are, and what comes next",
    "watch": "run the stage's test whenever you save",
    "hint": "the next hint for a TODO",
    "read": "a chapter, in the terminal",
    "questions": "a chapter's questions, and their answers",
    "progress": "what is green, since when, and with how many hints",
    "reset": "put a TODO back as it came",
    "solution": "the finished code beside yours",
    "ladder": "train every finished stage, and see what each adds",
    "look": "a page to look inside your trained model",
    "doctor": "is it me or my machine?",
    "update": "take in a newer release, and keep what you wrote",
    "scaffold": "make gpt/ from solutions/gpt/ (for contributors)",
    "grade": "grade submissions, shut in, with reports and files for Gradescope, CI and spreadsheets",
    "release": "make what is handed out to students, or Gradescope's autograder",
}


def main(argv: list[str]) -> int:
    return exit_code(lambda: call(argv))


def call(argv: list[str]) -> int:
    name, *rest = messages.choose_language(argv) or ["next"]
    if name in ("-h", "--help"):
        print(__doc__, *(f"    {name:12}{text}" for name, text in COMMANDS.items()), sep="\n")
        return 0
    if name not in COMMANDS:
        raise UserError(f"there is no command '{name}'; python -m course --help lists them")
    if importlib.util.find_spec(f"course.{name}") is None:
        raise UserError(f"this copy of the course has no '{name}': it is for instructors and contributors")
    try:
        return importlib.import_module(f"course.{name}").main(rest)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("course", "training"):
            raise
        raise UserError(messages.say("not_installed", name=error.name)) from None
    except OSError as error:  # a full disk, a folder that may not be written to
        raise UserError(messages.say("system", reason=error.strerror or error, file=error.filename)) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
