"""Take in a newer release of the course, and keep what the learner wrote.

The release is a folder, a .zip, or anything that `git clone` takes. Everything that the release has replaces what is
here, except that each TODO's code in gpt/ stays the learner's; runs/, .course/ and files of the learner's own stay as
they are. Whatever is replaced or taken away is kept in .course/backups/.
"""

import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from training.console import Parser
from training.errors import UserError

from ..learner.backups import keep, new_folder
from ..learner.regions import find_region, read_source, replace_region, write_bytes
from ..messages import say
from ..scaffold import fresh_folder, scaffold
from ..stages import ROOT
from ..terminal import here

OURS = ("course", "training", "tests", "checks", "solutions", "benchmarks", "book", "img", ".ci", ".github")
TODO = r"^ *# TODO (\d+(?:-\d+)?): "
LEFT_ALONE = {".git", ".course", "runs", "gpt", "__pycache__", ".venv", "venv", ".pytest_cache", ".ruff_cache"}


class Plan(NamedTuple):
    """Paths as in the course, and their new contents; what goes; and what the learner should hear of."""

    write: dict[str, bytes]
    remove: list[str]
    notes: list[str]


def main(argv: list[str]) -> int:
    parser = Parser("python -m course update", say("update_help"))
    parser.add_argument("release", metavar="PATH_OR_GIT", help=say("update_release_help"))
    parser.add_argument("--dry-run", action="store_true", help=say("update_dry_help"))
    args = parser.parse_args(argv)
    with opened(args.release) as release:
        made = plan(release)
        show(made, release)
        if not args.dry_run and (made.write or made.remove):
            carry_out(made)
    return 0


@contextmanager
def opened(source: str) -> Iterator[Path]:
    """The folder of a release. Raises UserError where there is none."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(source)
        if path.is_dir() and not (path / "HEAD").exists():  # a folder with HEAD is a bare git repository
            yield checked(path, source)
        elif path.is_file():
            try:
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(scratch)  # leaves out what would land elsewhere
            except (zipfile.BadZipFile, RuntimeError) as error:
                raise UserError(say("update_no_zip", source=source, reason=error)) from None
            yield checked(Path(scratch), source)
        else:
            clone(source, Path(scratch) / "clone")
            yield checked(Path(scratch) / "clone", source)


def clone(source: str, folder: Path) -> None:
    command = ["git", "clone", "--quiet", "--depth=1", "--", source, str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, encoding="utf-8", errors="replace"
        )
    except FileNotFoundError:
        raise UserError(say("update_no_git", source=source)) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [""])[-1]
        raise UserError(say("update_no_clone", source=source, reason=reason))


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], capture_output=True, stdin=subprocess.DEVNULL, encoding="utf-8", errors="replace"
    )


def checked(folder: Path, source: str) -> Path:
    """The folder, or the one in it that holds the course, as in an archive. Raises UserError if there is no course."""
    for place in (folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())):
        if all((place / part).exists() for part in ("course/stages.py", "gpt/__init__.py", "tests", "pyproject.toml")):
            if place.resolve() == ROOT:
                raise UserError(say("update_itself", source=source))
            return place
    raise UserError(say("update_no_course", source=source))


def plan(release: Path) -> Plan:
    """What would be written and removed. Changes nothing."""
    made = Plan({}, [], [])
    new = {name: release / name for name in files(release)}
    for name, path in new.items():
        content, mine = path.read_bytes(), ROOT / name
        if not mine.exists() or mine.read_bytes() != content:
            made.write[name] = content
    ours = {part for part in OURS if (release / part).exists()}
    made.remove.extend(name for name in files(ROOT) if name.partition("/")[0] in ours and name not in new)
    before = as_they_come(ROOT) or {}
    came = as_they_come(release) or {p.name: p.read_text(encoding="utf-8") for p in (release / "gpt").glob("*.py")}
    for name, text in sorted(came.items()):
        if text != before.get(name) or not (ROOT / "gpt" / name).exists():
            plan_stage_file(made, name, text, before.get(name, text))
    return made


def files(root: Path) -> list[str]:
    """What belongs to the course in a folder: in git's checkout what git tracks, else all but LEFT_ALONE."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    if (root / ".git").exists() and shutil.which("git"):
        tracked = git("-C", str(root), "ls-files", "-z").stdout.split("\0")
        names = sorted(set(names) & set(tracked))
    return [name for name in names if not LEFT_ALONE & set(name.split("/")) and not (root / name).is_symlink()]


def as_they_come(root: Path) -> dict[str, str] | None:
    """The files of gpt/ before a learner wrote in them, or None where that is not known."""
    if (root / "solutions" / "gpt").exists():
        return {path.name: text for path, text in scaffold(root).items()}
    if fresh_folder(root).exists():
        return {path.name: path.read_text(encoding="utf-8") for path in fresh_folder(root).glob("*.py")}
    return None


def plan_stage_file(made: Plan, name: str, new: str, before: str) -> None:
    """The new file with the learner's code between its markers; the learner's file where that is not possible."""
    place, mine = f"gpt/{name}", ROOT / "gpt" / name
    if not mine.exists():
        made.write[place] = new.encode()
        return
    old = read_source(mine)
    merged = new
    for number in re.findall(TODO, new, re.MULTILINE):
        region, theirs = find_region(merged, number), find_region(old, number)
        if region and theirs:
            code = "\n".join(old.splitlines()[theirs.first + 1 : theirs.last]) + "\n"
            if code.strip() != theirs.waiting.strip():  # else the new file's own line waits there
                merged = replace_region(merged, region, code)
        elif region:
            made.notes.append(say("update_no_marks", todo=number, file=place))
            return
    if merged.splitlines() == old.splitlines():
        return
    made.write[place] = merged.encode("utf-8", errors="surrogateescape")
    if emptied(old) != emptied(before):
        made.notes.append(say("update_outside", file=place))


def emptied(text: str) -> list[str]:
    """The lines outside of the TODOs."""
    for number in re.findall(TODO, text, re.MULTILINE):
        if region := find_region(text, number):
            text = replace_region(text, region, region.waiting)
    return text.splitlines()


def show(made: Plan, release: Path) -> None:
    print(say("update_versions", old=version(ROOT), new=version(release)))
    for name in made.write:
        print(f"  {'+' if not (ROOT / name).exists() else '*'} {name}")
    for name in made.remove:
        print(f"  - {name}")
    for note in made.notes:
        print(f"  ! {note}")
    if not (made.write or made.remove):
        print(say("update_nothing"))


def version(root: Path) -> str:
    found = re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "?"


def carry_out(made: Plan) -> None:
    """Keep everything first; only then change, each file whole. Broken off, it can simply be run again."""
    folder = new_folder("update")
    replaced = [name for name in (*made.write, *made.remove) if (ROOT / name).exists()]
    for name in replaced:
        keep(ROOT / name, folder)
    last = ("course/", "pyproject.toml")  # so that a broken-off update still knows how to go on
    for name in sorted(made.write, key=lambda name: name.startswith(last)):
        write_bytes(ROOT / name, made.write[name])
    for name in made.remove:
        (ROOT / name).unlink()
    for cache in ROOT.glob("*/**/__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)
    print(say("update_done", count=len(made.write) + len(made.remove)))
    if replaced:
        print(say("update_kept", folder=here(folder)))
    if "requirements.txt" in made.write:
        print(say("update_requirements"))
