"""python -m course [COMMAND] [--lang en|ko]: what goes on around the code. Without a command: what comes next.

From a folder inside the course, `python ../course COMMAND` does the same. Each command explains itself with --help.
"""

import importlib
import io
import sys
from pathlib import Path

if not __package__:  # called as `python ../course`
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from course import messages
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
    "look": "a page to look inside your trained model",
    "doctor": "is it me or my machine?",
    "update": "take in a newer release, and keep what you wrote",
    "scaffold": "make gpt/ from solutions/gpt/ (for contributors)",
}


def main(argv: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console without a character shows ? and goes on
    try:
        name, *rest = messages.choose_language(argv) or ["next"]
        if name in ("-h", "--help"):
            print(__doc__, *(f"    {name:12}{text}" for name, text in COMMANDS.items()), sep="\n")
            return 0
        if name not in COMMANDS:
            raise UserError(f"there is no command '{name}'; python -m course --help lists them")
        return importlib.import_module(f"course.{name}").main(rest)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("course", "training"):
            raise
        print(f"error: {messages.say('not_installed', name=error.name)}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that may not be written to
        print(f"error: {messages.say('system', reason=error.strerror or error, file=error.filename)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
