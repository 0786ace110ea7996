"""How long a learner waits: for a verdict of `watch` after a save, for the small commands, and for the page of `look`.

python benchmarks/loop.py watch [N ...]  from a save to the last exact check on the screen, by stage (asked: 1.5 s)
python benchmarks/loop.py commands       next, hint, progress, read: the whole process (asked: 0.4 s)
python benchmarks/loop.py stages [N ...] the exact checks of each stage: the whole process (asked: 3 s)

Medians, and the longest, of five in a copy of the course; `watch` in a pseudo-terminal, so not on Windows.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from checks.learner import Learner  # noqa: E402
from checks.pseudo_terminal import Terminal  # noqa: E402
from course.stages import STAGES, Stage  # noqa: E402

TURNS = 5
WARM_UP = 8.0  # seconds between two saves, in which a learner reads and the next process warms up


def report(name: str, times: list[float]) -> None:
    print(f"{name:24} {statistics.median(times):5.2f} s   {max(times):5.2f} s at the longest", flush=True)


def watch(learner: Learner, chosen: list[Stage]) -> None:
    """Right code is saved, so that all exact checks run."""
    for stage in chosen:
        learner.solve(stage.number)
        file = f"gpt/{stage.todos[-1].file}"
        code, times = learner.file(file), []
        with Terminal(learner, "-m", "course", "watch", str(stage.number)) as terminal:
            for turn in range(TURNS + 1):  # the first one, whose process is not warm yet, does not count
                start = time.perf_counter()
                while "exact checks pass" not in terminal.text and "is green" not in terminal.text:
                    time.sleep(0.005)
                times.append(time.perf_counter() - start)
                time.sleep(WARM_UP)
                terminal.text = ""
                learner.file(file, code + "\n" * turn)
        report(f"watch, stage {stage.number}", times[1:])


def commands(learner: Learner, _: list[Stage]) -> None:
    learner.solve(1, 2, 3, 4)
    for command in (["next"], ["hint", "5"], ["progress"], ["read", "5"]):
        report(" ".join(command), [timed(lambda c=command: learner.course(*c)) for _ in range(TURNS)])


def stages(learner: Learner, chosen: list[Stage]) -> None:
    learner.solve(*(stage.number for stage in STAGES))
    for stage in chosen:
        exact = ("-m", "pytest", "-q", stage.test, "-m", "not comparison")
        report(stage.test, [timed(lambda e=exact: learner.run(*e)) for _ in range(TURNS)])


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["watch", "commands", "stages"])
    parser.add_argument("stages", type=int, nargs="*", metavar="N", help="of these stages (all, if none is given)")
    args = parser.parse_args()
    chosen = [stage for stage in STAGES if not args.stages or stage.number in args.stages]
    with tempfile.TemporaryDirectory() as name:
        learner = Learner(Path(name), tests=True)
        {"watch": watch, "commands": commands, "stages": stages}[args.what](learner, chosen)


if __name__ == "__main__":
    main()
