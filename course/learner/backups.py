"""The learner's code as it was before a command changed it."""

import shutil
from pathlib import Path

from ..stages import ROOT
from .records import stamp

FOLDER = ROOT / ".course" / "backups"


def new_folder(reason: str) -> Path:
    """.course/backups/2026-01-31-154502-reset-5, made when something is put into it."""
    names = [f"{stamp()}-{reason}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 100)))]
    return next(FOLDER / name for name in names if not (FOLDER / name).exists())


def keep(path: Path, folder: Path) -> Path:
    """Copy a file of the course into the folder, under the path that it has in the course."""
    kept = folder / path.relative_to(ROOT)
    kept.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(path, kept))
