"""The console, and how places are named on it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .stages import ROOT

if TYPE_CHECKING:
    from rich.console import Console


def console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def here(place: Path | str) -> str:
    """A path, or one below the course's root, as it is written in the folder that the learner is in."""
    try:
        return Path(os.path.relpath(ROOT / place)).as_posix()
    except ValueError:  # another drive
        return (ROOT / place).as_posix()


def course(command: str) -> str:
    """How to call a command from the folder that the learner is in."""
    return f"python -m course {command}" if Path.cwd() == ROOT else f"python {here('course')} {command}"


def pytest(test: str) -> str:
    return f"pytest {here(test)} -s -vv"
