"""python -m course [COMMAND]: what goes on around the code; from a folder inside the course, python ../course."""

import importlib
import importlib.util
import sys
from pathlib import Path

if not __package__:  # called as `python ../course`
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from course import messages
from training.console import exit_code
from training.errors import UserError

COMMANDS = (  # each is course/commands/NAME.py, which has main(argv) -> exit code and is imported only when called
    "next", "watch", "hint", "read", "questions", "progress", "reset", "solution", "ladder", "look", "doctor", "update",
    "scaffold", "grade", "release",
)  # fmt: skip


def main(argv: list[str]) -> int:
    return exit_code(lambda: call(argv))


def call(argv: list[str]) -> int:
    name, *rest = messages.choose_language(argv) or ["next"]
    if name in ("-h", "--help"):
        print(messages.say("help"), *(f"    {c:12}{messages.say(f'command_{c}')}" for c in COMMANDS), sep="\n")
        return 0
    if name not in COMMANDS:
        raise UserError(f"there is no command '{name}'; python -m course --help lists them")
    if importlib.util.find_spec(f"course.commands.{name}") is None:
        raise UserError(f"this copy of the course has no '{name}': it is for instructors and contributors")
    try:
        return importlib.import_module(f"course.commands.{name}").main(rest)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("course", "training"):
            raise
        raise UserError(messages.say("not_installed", name=error.name)) from None
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, a folder that may not be written to
        raise UserError(messages.say("system", reason=error.strerror or error, file=error.filename)) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
