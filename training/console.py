"""What each command has in common: errors are sentences, and any console will do."""

import argparse
import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from .errors import UserError


def exit_code(command: Callable[[], int]) -> int:
    """What the command returns; 2 after a UserError, 130 after Ctrl-C."""
    # A console without a character shows ? in what is written, and its code in an error, and goes on.
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    try:
        code = command()
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # who reads, as `head` does, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


class Parser(argparse.ArgumentParser):
    """Shows the docstring as it is, takes no abbreviations, and raises UserError."""

    def __init__(self, prog: str, description: str | None):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=description, formatter_class=formatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help shows the options")
