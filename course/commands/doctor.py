"""Is it me or my machine? What the course needs, what is there, and whether the finished code passes here."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from training.console import Parser

from ..messages import say
from ..stages import ROOT, STAGES
from ..terminal import course
from ..testing import pytest_arguments

OLDEST_PYTHON = (3, 10)
ROOM = 1.0  # GB that some runs with their checkpoints come to need
SLOW = (
    1.0  # seconds for the reference step; in two minutes of training, a model learns little with fewer than 120 of it
)
QUICK = 5  # the stage whose test stands for all


class Finding(NamedTuple):
    """What was looked at, what came, and, where something is wrong, the way out."""

    what: str
    came: str
    remedy: str = ""


def main(argv: list[str]) -> int:
    parser = Parser("python -m course doctor", say("doctor_help"))
    parser.add_argument("--quick", action="store_true", help=say("doctor_quick_help"))
    quick = parser.parse_args(argv).quick
    wrong = 0
    for what, came, remedy in examine(quick):
        wrong += bool(remedy)
        print(f"{'!!' if remedy else 'ok'}  {what}: {came}", flush=True)
        if remedy:
            print(f"    -> {remedy}", flush=True)
    print("\n" + say("doctor_wrong" if wrong else "doctor_well", count=wrong))
    return 1 if wrong else 0


def examine(quick: bool) -> Iterator[Finding]:
    """One finding after another, the quick ones first; what needs torch only where torch is there."""
    yield python()
    yield (found := names())
    if found.remedy:  # then nothing below can be trusted, or even imported
        return
    yield packages()
    yield folder()
    yield files()
    yield console()
    try:
        import torch  # noqa: F401
    except Exception as error:  # a half-installed torch fails in many ways
        yield Finding("torch", f"{type(error).__name__}: {error}", say("doctor_install"))
        return
    yield speed()
    if (ROOT / "solutions").exists():
        if sys.stdout.isatty():
            print(f"..  {say('doctor_finished')} ...", end="\r", flush=True)
        yield finished_code([QUICK] if quick else [stage.number for stage in STAGES], exact_only=quick)


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    too_old = sys.version_info[:2] < OLDEST_PYTHON
    return Finding("Python", f"{version} ({sys.executable})", say("doctor_python", wanted=wanted) if too_old else "")


def packages() -> Finding:
    """Whether what is installed is what requirements.txt pins."""
    import importlib.metadata

    wrong, there = [], {}
    for name, wanted in requirements().items():
        try:
            there[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            there[name] = say("doctor_missing")
        if there[name].partition("+")[0] != wanted:  # 2.13.0+cpu is 2.13.0
            wrong.append(say("doctor_version", name=name, there=there[name], wanted=wanted))
    came = ", ".join(wrong) if wrong else say("doctor_pinned", count=len(there), torch=there.get("torch"))
    return Finding(say("doctor_packages"), came, say("doctor_install") if wrong else "")


def requirements() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {m[1]: m[2] for line in lines if (m := re.match(r"([\w.-]+)(?:\[.*\])?==(\S+)", line))}


def folder() -> Finding:
    """Whether there is room, and whether files may be written."""
    import tempfile

    free = shutil.disk_usage(ROOT).free / 1e9
    came = say("doctor_room", free=f"{free:.1f}", folder=ROOT)
    try:
        with tempfile.TemporaryFile(dir=ROOT) as file:
            file.write(bytes(1000))
    except OSError as error:
        return Finding(say("doctor_folder"), f"{came}; {error.strerror}", say("doctor_writable"))
    return Finding(say("doctor_folder"), came, say("doctor_make_room") if free < ROOM else "")


def names() -> Finding:
    """A file called random.py beside the course's own is what `import random` finds, also inside of torch."""
    taken = sys.stdlib_module_names | {name.lower().replace("-", "_") for name in requirements()}
    guilty = [path.name for path in ROOT.glob("*.py") if path.stem in taken]
    guilty += [path.parent.name + "/" for path in ROOT.glob("*/__init__.py") if path.parent.name in taken]
    remedy = say("doctor_rename", files=", ".join(guilty)) if guilty else ""
    return Finding(say("doctor_names"), ", ".join(guilty) or say("doctor_no_names"), remedy)


def files() -> Finding:
    todos = [todo for stage in STAGES for todo in stage.todos]
    gone = [todo for todo in todos if not (ROOT / "gpt" / todo.file).exists()]
    commands = ", ".join(course(f"reset {todo.number}") for todo in gone)
    came = ", ".join(dict.fromkeys(todo.file for todo in gone))
    came = say("doctor_gone", files=came) if gone else say("doctor_files_there")
    return Finding("gpt/", came, commands)


def console() -> Finding:
    """Every encoding will do for English."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        say("doctor_help").encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Finding(say("doctor_console"), encoding, say("doctor_encoding"))
    return Finding(say("doctor_console"), encoding)


def speed() -> Finding:
    """The time of a training step of the usual size, with torch's own layers."""
    import torch

    from training.device import choose_device

    device = choose_device()
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True, norm_first=True)
    model = torch.nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).to(device)
    x = torch.randn(32, 96, 128, device=device)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        loss = model(x).square().mean()
        torch.autograd.grad(loss, list(model.parameters()))[0].sum().item()  # .item() waits for the device
        times.append(time.perf_counter() - start)
    seconds = sorted(times[1:])[2]
    came = say("doctor_step", device=device.type, threads=torch.get_num_threads(), ms=round(1000 * seconds))
    return Finding(say("doctor_speed"), came, say("doctor_slow") if seconds > SLOW else "")


def finished_code(stages: list[int], exact_only: bool) -> Finding:
    tests = [f"tests/test_{number}.py" for number in stages]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *pytest_arguments(*tests, solutions=True, exact_only=exact_only)],
        cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    seconds = round(time.perf_counter() - start)
    if done.returncode == 0:
        numbers = f"{stages[0]}-{stages[-1]}" if len(stages) > 1 else stages[0]
        return Finding(say("doctor_finished"), say("doctor_passes", stages=numbers, seconds=seconds))
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    came = ", ".join(failed) or (done.stdout + done.stderr).strip()[-300:]
    again = f"{sys.executable} -m pytest {' '.join(tests)} --solutions"
    return Finding(say("doctor_finished"), came, say("doctor_machine", command=again))
