"""One stage of one desk in a process of its own: limited, cut off, and ended whatever happens.

Where bubblewrap is installed, the process sees its desk (read-only), the Python that runs it, and nothing else: no
home, no network, no other process. Without it, the limits hold, but not the walls; `walls` says so.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from training.errors import UserError

MEMORY = 6 * 1024**3  # bytes, of the address space of one process and of all of them together in use
OUTPUT = 8 * 1024**2  # bytes that are read; whatever follows is thrown away
FIRST_UID = 61_000  # accounts that nobody has: one for each process that runs at the same time


class Limits(NamedTuple):
    """In seconds: by the clock for a whole stage and for one of its tests, and of computing for a whole stage.

    The clock's are wide, since a busy machine must not change a grade; the finished code computes for 3 to 7 seconds.
    """

    clock: float = 150.0
    test: float = 48.0
    computing: int = 60

    def times(self, factor: float) -> "Limits":
        return Limits(factor * self.clock, factor * self.test, max(1, round(factor * self.computing)))


class Line(BaseModel):
    """One line that came out of a sandbox: each kind fills in its own part (see child.py)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    nonce: str
    collected: list[str] = []
    probe: str = ""
    numbers: list[float] | str = ""
    test: str = ""
    outcome: str = ""
    message: str = ""
    changed: list[str] = []
    end: bool = False


class Outcome(NamedTuple):
    """lines: what came out, of the right nonce. ended: why the process did not end by itself, or "". forged: how
    many lines of another origin came with them."""

    lines: list[Line]
    ended: str
    forged: int

    @property
    def ran_out(self) -> bool:
        """Whether it was stopped for its time."""
        return self.ended.startswith("stopped after")


@cache
def bubblewrap() -> tuple[str, str]:
    """Its path, and "", where it can build walls on this machine; otherwise "", and why not."""
    path = shutil.which("bwrap")
    if not path:
        return "", "bubblewrap is not installed (on Debian: apt install bubblewrap)"
    try:
        command = [path, "--ro-bind", "/", "/", *_unshared(), sys.executable, "-I", "-c", ""]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"bubblewrap does not work here ({error})"
    said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    return ("", f"bubblewrap does not work here ({said})") if done.returncode else (path, "")


def walls() -> str:
    """How well a submission is shut in on this machine, in a sentence for the instructor."""
    path, why = bubblewrap()
    if path:
        return "bubblewrap: no files but the course's, no network, no other processes; limits on time, memory, output"
    return (
        "limits on time, memory, processes and output only, so a submission could read files of this account and use"
        f" the network: {why}"
    )


def run_stage(desk: Path, stage: int, slot: int = 0, limits: Limits = Limits()) -> Outcome:  # noqa: B008
    """Run a stage's probes and tests (stage 0: collect). slot: which of the processes at the same time this is."""
    if sys.platform == "win32":
        raise UserError("submissions cannot be shut in on Windows; grade in WSL, on Linux or on macOS")
    bwrap, why = bubblewrap()
    walled = bool(bwrap)
    is_root = os.geteuid() == 0
    if is_root and not walled and not _readable_by_all(Path(sys.executable).resolve()):
        raise UserError(
            f"a submission must not run as root, and no other account can read {sys.executable};"
            f" grade from another account, or with bubblewrap: {why}"
        )
    course = Path("/course") if walled else desk
    settings = {
        "course": str(course),
        "stage": stage,
        "uid": FIRST_UID + slot if is_root else None,
        "seconds": limits.test,
        "limits": {
            "CPU": limits.computing, "AS": MEMORY, "FSIZE": 64 * 1024**2, "NOFILE": 256, "CORE": 0,
            "NPROC": 64 + (0 if is_root or walled else _threads_of_this_account()),
        },
    }  # fmt: skip
    nonce = secrets.token_hex(16)
    with _scratch(is_root, settings["uid"]) as home:
        command = [sys.executable, "-I", "-B", str(course / "course/grading/child.py"), json.dumps(settings)]
        process = subprocess.Popen(
            [*([bwrap, *_walls_around(desk)] if walled else []), *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            env=_environment("/tmp" if walled else home),
        )  # fmt: skip
        assert process.stdin and process.stdout
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(nonce.encode() + b"\n")
            process.stdin.close()
        output = bytearray()
        reader = threading.Thread(target=_read, args=(process.stdout, output), daemon=True)
        reader.start()
        try:
            ended = _watch(process, limits.clock)
        finally:
            _kill(process)
        reader.join(timeout=5)
        process.stdout.close()
        lines, forged = _lines(bytes(output), nonce)
        number = -process.returncode if process.returncode < 0 else process.returncode - 128  # as bubblewrap has it
        if not ended and number in (signal.SIGXCPU, signal.SIGKILL):
            ended = f"stopped after {limits.computing} seconds of computing, or by itself"
        elif not ended and number > 0:
            ended = f"its process was ended by signal {number}"
        return Outcome(lines, ended, forged)


def _environment(home: str) -> dict[str, str]:
    names = {"HOME": home, "TMPDIR": home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
    return {**names, "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": home, "MPLBACKEND": "agg"}


def _unshared() -> list[str]:
    user = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if os.geteuid() == 0 else ["--unshare-user"]
    return [
        "--die-with-parent", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
        "--unshare-cgroup-try", *user, "--proc", "/proc", "--dev", "/dev",
    ]  # fmt: skip


def _walls_around(desk: Path) -> list[str]:
    shown = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", sys.base_prefix, sys.prefix]
    there = [path for path in dict.fromkeys(shown) if Path(path).exists()]
    above = dict.fromkeys(str(parent) for path in there for parent in reversed(Path(path).parents[:-1]))
    binds = [word for path in above for word in ("--perms", "0755", "--dir", path)]
    binds += [word for path in there for word in ("--ro-bind", path, path)]
    small = ["--size", str(256 * 1024**2), "--tmpfs"]
    return [
        *_unshared(), "--perms", "1777", *small, "/tmp", *binds,
        "--ro-bind", str(desk), "/course", "--perms", "1777", *small, "/course/runs", "--chdir", "/course", "--",
    ]  # fmt: skip


@contextlib.contextmanager
def _scratch(is_root: bool, uid: int | None):
    import tempfile

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        if is_root and uid is not None:
            os.chown(home, uid, uid)
        yield home


def _read(stream, output: bytearray) -> None:
    while chunk := stream.read1(65536):
        output += chunk[: max(0, OUTPUT - len(output))]


def _watch(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Wait for the end; the reason where it has to be brought about."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > deadline:
            return f"stopped after {seconds:.0f} seconds"
        if _memory_in_use(process.pid) > MEMORY:
            return f"stopped: it used more than {MEMORY // 1024**3} GiB of memory"
        time.sleep(0.1)
    return ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    for pid in [*_descendants(process.pid), process.pid]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, 9)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, 9)
    process.wait()


def _descendants(pid: int) -> list[int]:
    """Where there is /proc: the processes below this one, the youngest first."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(path.parent.name)] = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    found, front = [], [pid]
    while front:
        front = [child for child, parent in parents.items() if parent in front]
        found = front + found
    return found


def _memory_in_use(pid: int) -> int:
    total = 0
    for each in [pid, *_descendants(pid)]:
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{each}/statm").read_text(encoding="utf-8").split()[1]) * 4096
    return total


def _threads_of_this_account() -> int:
    count = 0
    for path in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):
            count += len(list(path.iterdir())) if path.stat().st_uid == os.getuid() else 0
    return count


def _readable_by_all(path: Path) -> bool:
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (path, *path.parents))


def _lines(output: bytes, nonce: str) -> tuple[list[Line], int]:
    lines, forged = [], 0
    for raw in output.splitlines():
        try:
            line = Line.model_validate_json(raw)
        except ValidationError:
            forged += 1
            continue
        lines.append(line)
        forged += line.nonce != nonce
    return lines, forged
