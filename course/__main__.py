"""python -m course COMMAND: what goes on around the code. `python -m course COMMAND --help` explains each."""

import importlib
import importlib.util
import sys

from training.console import exit_code
from training.errors import UserError

COMMANDS = {  # each is the module course.NAME, which has main(argv) -> exit code and is imported only when called
    "scaffold": "make gpt/ from solutions/gpt/ (for contributors)",
    "grade": "grade submissions, shut in, with reports and files for Gradescope, CI and spreadsheets",
    "release": "make what is handed out to students, or Gradescope's autograder",
}


def main(argv: list[str]) -> int:
    return exit_code(lambda: call(argv))


def call(argv: list[str]) -> int:
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help"):
        print(__doc__, *(f"    {name:12}{text}" for name, text in COMMANDS.items()), sep="\n")
        return 0
    if name not in COMMANDS:
        raise UserError(f"there is no command '{name}'; python -m course --help lists them")
    if importlib.util.find_spec(f"course.{name}") is None:
        raise UserError(f"this copy of the course has no '{name}': it is for instructors and contributors")
    return importlib.import_module(f"course.{name}").main(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
