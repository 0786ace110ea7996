"""Taking a submission in: the stage files, and nothing else that it holds.

Archives are read member by member and never unpacked; git repositories are read blob by blob and never checked out.
Links are not followed. So neither a path with `..` in it nor a zip bomb, a hook or a file of another name gets
anywhere.
"""

import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from course.stages import STAGES
from training.errors import UserError

LARGEST = 256 * 1024  # bytes of one stage file; the longest finished one has 3,000
TOO_LARGE = f"a stage file is larger than {LARGEST // 1024} KiB"
MEMBERS = 20_000  # how far into a list of files we look
STAGE_FILES = tuple(dict.fromkeys(todo.file for stage in STAGES for todo in stage.todos))

Reader = Callable[[], bytes]


class Submission(NamedTuple):
    """name: the student's, from the file's name. files: stage file -> its bytes, as they came."""

    name: str
    files: dict[str, bytes]


def read_submission(path: str) -> Submission:
    """A folder, a .zip or .tar(.gz/.bz2/.xz) archive, or a git repository on this machine (also file://…).

    Raises UserError that names the submission where it is none of these, is damaged, or holds no stage file.
    """
    place = where(path)
    if not place.exists():
        raise UserError(f"there is no submission '{path}'")
    if path.startswith("file://") and (place / ".git").is_dir():
        place = place / ".git"  # a repository's URL means what is committed
    try:
        files = _choose(_members(place))
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, *_DAMAGED) as error:
        raise UserError(f"the submission '{path}' cannot be read: {error}") from None
    if not files:
        raise UserError(f"the submission '{path}' holds none of the stage files ({STAGE_FILES[0]}, ...)")
    return Submission(student_name(path), files)


def where(path: str) -> Path:
    return Path(path.removeprefix("file://"))


def student_name(path: str) -> str:
    """The student's name: that of the folder, or of the file without its ending."""
    place = where(path).resolve()
    name = place.name.removesuffix(".git")
    for ending in (".zip", ".tgz", ".tar", ".gz", ".bz2", ".xz"):
        name = name.removesuffix(ending) if place.is_file() else name
    return name.removesuffix(".tar")


_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, subprocess.SubprocessError)


def _members(place: Path) -> Iterator[tuple[PurePosixPath, Reader]]:
    if place.is_dir():
        is_bare = (place / "HEAD").is_file() and (place / "objects").is_dir()
        yield from _in_git(place) if is_bare else _in_folder(place)
    elif zipfile.is_zipfile(place):
        yield from _in_zip(place)
    elif tarfile.is_tarfile(place):
        yield from _in_tar(place)
    else:
        raise ValueError("it is neither a folder nor a zip or tar archive")


def _in_folder(place: Path) -> Iterator[tuple[PurePosixPath, Reader]]:
    for file in STAGE_FILES:
        for path in (place / "gpt" / file, place / file, *sorted(place.glob(f"*/gpt/{file}"))):
            if path.is_file() and not any(part.is_symlink() for part in (path, path.parent)):
                yield PurePosixPath(path.relative_to(place).as_posix()), lambda path=path: _start_of(path.open("rb"))


def _in_zip(place: Path) -> Iterator[tuple[PurePosixPath, Reader]]:
    with zipfile.ZipFile(place) as archive:
        for info in archive.infolist()[:MEMBERS]:
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            if not info.is_dir() and not is_link:
                yield PurePosixPath(info.filename), lambda info=info: _start_of(archive.open(info))


def _in_tar(place: Path) -> Iterator[tuple[PurePosixPath, Reader]]:
    with tarfile.open(place) as archive:
        for count, info in enumerate(archive):
            if count >= MEMBERS:
                return
            if info.isreg():
                yield PurePosixPath(info.name), lambda info=info: _start_of(archive.extractfile(info))


def _in_git(place: Path) -> Iterator[tuple[PurePosixPath, Reader]]:
    def git(*arguments: str) -> bytes:
        command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", f"--git-dir={place.resolve()}"]
        done = subprocess.run([*command, *arguments], capture_output=True, timeout=60)
        if done.returncode:
            raise ValueError(f"git says: {' '.join(done.stderr.decode(errors='replace').split())}")
        return done.stdout

    def content_of(blob: str, size: int) -> bytes:
        if size > LARGEST:
            raise ValueError(TOO_LARGE)
        return git("cat-file", "blob", blob)

    for entry in git("ls-tree", "-r", "-z", "-l", "HEAD").split(b"\0")[:MEMBERS]:
        about, _, path = entry.partition(b"\t")
        mode, _, blob, size = about.decode().split() if about else ("", "", "", "-")
        if mode in ("100644", "100755"):
            yield PurePosixPath(path.decode(errors="replace")), partial(content_of, blob, int(size))


def _start_of(stream) -> bytes:
    with stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(TOO_LARGE)
    return content


def _choose(members: Iterator[tuple[PurePosixPath, Reader]]) -> dict[str, bytes]:
    """Of each stage file the copy that is nearest to the top, in gpt/ rather than beside it, never in solutions/."""
    best: dict[str, tuple[tuple[int, bool], bytes]] = {}
    for path, read in members:
        parts = path.parts
        if path.name not in STAGE_FILES or ".." in parts or path.is_absolute() or "solutions" in parts:
            continue
        rank = len(parts) - ("gpt" in parts), parts[-2:-1] != ("gpt",)
        if path.name not in best or rank < best[path.name][0]:
            best[path.name] = rank, read()
    return {name: content for name, (_, content) in best.items()}
