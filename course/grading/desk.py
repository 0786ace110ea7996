"""A desk: a pristine course for one submission, without the finished code."""

import hashlib
import shutil
from pathlib import Path

from course.stages import ROOT, STAGES

PARTS = (
    "tests", "training", "course/__init__.py", "course/stages.py", "course/grading/__init__.py",
    "course/grading/child.py", "course/grading/probes.py", "conftest.py", "pyproject.toml", "input.txt", "config.yaml",
    "gpt/__init__.py",
)  # fmt: skip


def make_desk(folder: Path, files: dict[str, bytes]) -> Path:
    """Copy the course's own parts into `folder`, with the submission's stage files as its gpt/.

    A stage file that the submission lacks stays away: the tests say so to the student.
    """
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    for name, content in files.items():
        (folder / "gpt" / name).write_bytes(content)
    (folder / "runs").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # the process that reads them has an account of its own
    return folder


def finished_files() -> dict[str, bytes]:
    """The stage files of solutions/gpt/."""
    names = {todo.file for stage in STAGES for todo in stage.todos}
    return {name: (ROOT / "solutions" / "gpt" / name).read_bytes() for name in sorted(names)}


def course_hash() -> str:
    """Changes whenever a part of the course that grades changes."""
    digest = hashlib.sha256()
    for part in (*PARTS, "course/grading/marking.py", "solutions"):
        for path in sorted([ROOT / part, *(ROOT / part).rglob("*")]):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
