"""Grade submissions: each stage's tests on each student's code, shut in, with points, reports and files for others.

    python -m course grade submissions/*                      folders, zip or tar archives, git repositories
    python -m course grade submissions/* --csv grades.csv     … and a table for a spreadsheet
    python -m course grade alice.zip --gradescope results.json

Only the stage files of gpt/ are taken from a submission; tests, training and all the rest are this course's own. Each
result is kept in --out as soon as it is there: called again after an interruption, it goes on where it stood.
"""

import argparse
import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from training.errors import UserError

from ..grading import formats
from ..grading.desk import course_hash, finished_files, make_desk
from ..grading.marking import Grade, StageResult, mark_stage, parse_points
from ..grading.sandbox import Limits, Outcome, run_stage, walls
from ..grading.submission import Submission, read_submission, student_name, where
from ..stages import STAGES


class Reference(NamedTuple):
    """What the finished code says: the tests of each stage, and the numbers of each TODO's probe."""

    tests: dict[int, list[str]]
    probes: dict[int, dict[str, Any]]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m course grade", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "submissions", nargs="+", metavar="SUBMISSION", help="a folder, an archive, or a git repository on this machine"
    )
    add("--points", metavar="STAGE=N,...", help="points of a stage (10 where none is said), shared by its tests")
    add("--stages", metavar="FROM-TO", help="grade these stages only, as in 1-6")
    add("--out", type=Path, default=Path("grades"), metavar="DIR", help="where results and reports go (grades/)")
    add("--json", type=Path, metavar="FILE", help="all results in one file")
    add("--gradescope", type=Path, metavar="FILE", help="Gradescope's results.json (of one submission)")
    add("--exercism", type=Path, metavar="FILE", help="an exercism-style results.json (of one submission)")
    add("--junit", type=Path, metavar="FILE", help="JUnit XML")
    add("--csv", type=Path, metavar="FILE", help="a line a student")
    add("--jobs", type=int, default=max(1, os.cpu_count() or 1), metavar="N", help="processes at the same time")
    add("--seconds", type=int, default=60, metavar="S", help="computing time for a stage of a submission (60)")
    args = parser.parse_args(argv)
    try:
        points = parse_points(args.points)
    except ValueError as error:
        raise UserError(f"--points: {error}") from None
    numbers = parse_stages(args.stages)
    if args.jobs < 1 or args.seconds <= 0:
        raise UserError("--jobs and --seconds have to be positive")
    for option in ("gradescope", "exercism"):
        if getattr(args, option) and len(args.submissions) > 1:
            raise UserError(f"--{option} is the result of one submission, and {len(args.submissions)} are named")

    missing = [path for path in args.submissions if not where(path).exists()]
    if missing:
        raise UserError(f"there is no submission '{missing[0]}'")

    limits = Limits().times(args.seconds / Limits().computing)
    grades = grade_all(args.submissions, {n: points[n] for n in numbers}, args.out, args.jobs, limits)
    write = _writer()
    write(args.out / "class.md", formats.class_report(grades, walls()))
    for grade in grades:
        write(args.out / f"{file_name(grade.student)}.md", formats.student_report(grade))
    for path, text in (
        (args.json, lambda: _json([grade.to_json() for grade in grades])),
        (args.gradescope, lambda: _json(formats.gradescope(grades[0]))),
        (args.exercism, lambda: _json(formats.exercism(grades[0]))),
        (args.junit, lambda: formats.junit(grades)),
        (args.csv, lambda: "\ufeff" + formats.as_csv(grades)),  # without that mark, Excel would not take it as UTF-8
    ):
        if path:
            write(path, text())
    for grade in grades:
        print(f"{grade.student:24} {grade.error or formats.summary(grade)}")
    print(f"{(args.out / 'class.md').as_posix()} has the class report; beside it is one for each student")
    return 0


def grade_all(paths: list[str], points: dict[int, float], out: Path, jobs: int, limits: Limits) -> list[Grade]:
    """The grades in the order of the paths, taken from `out` where the same files were graded by the same course."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    grades: dict[int, Grade] = {}
    todo: list[tuple[int, Submission, str]] = []
    names = {"class"}  # class.md is the report of all
    course = course_hash()
    for i, path in enumerate(paths):
        try:
            submission = read_submission(path)
        except UserError as error:
            grades[i] = Grade(_unused(student_name(path), names), [], str(error), possible=sum(points.values()))
            continue
        submission = submission._replace(name=_unused(submission.name, names))
        key = _key(submission, course, points, limits)
        known = _known(out, submission.name, key)
        if known:
            grades[i] = known
        else:
            todo.append((i, submission, key))
    if not todo:
        return [grades[i] for i in range(len(paths))]

    print(f"isolation: {walls()}")
    free = list(range(jobs))  # the slots, each with an account of its own
    lock = threading.Lock()
    ran_out: set[Path] = set()  # an endless loop in a file that all stages import is to cost minutes but once
    write = _writer()
    bar = Progress(TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, bar:
        root = Path(folder)
        root.chmod(0o755)
        reference = refer(root / "finished", limits)
        task = bar.add_task("stages", total=len(todo) * len(points))

        def run(desk: Path, number: int) -> tuple[StageResult, float]:
            with lock:
                slot = free.pop()
            try:
                start = time.monotonic()
                less = desk in ran_out
                outcome = run_stage(desk, number, slot, limits.times(1 / 3) if less else limits)
                if outcome.ran_out:
                    ran_out.add(desk)
                    why = " (a third of the time, since another stage of this submission had run out of it)"
                    outcome = outcome._replace(ended=outcome.ended + why * less)
                result = mark_stage(number, points[number], reference.tests[number], reference.probes[number], outcome)
                return result, time.monotonic() - start
            finally:
                with lock:
                    free.append(slot)
                bar.advance(task)

        with ThreadPoolExecutor(jobs) as pool:
            try:
                waiting = []
                for i, submission, key in todo:
                    desk = make_desk(root / str(i), submission.files)
                    waiting.append((i, submission, key, [pool.submit(run, desk, number) for number in points]))
                for i, submission, key, futures in waiting:
                    results = [future.result() for future in futures]
                    grade = Grade(submission.name, [r for r, _ in results], seconds=sum(s for _, s in results))
                    grades[i] = grade
                    write(out / f"{file_name(grade.student)}.json", _json({**grade.to_json(), "key": key}))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return [grades[i] for i in range(len(paths))]


def refer(desk: Path, limits: Limits) -> Reference:
    """Ask the finished code, in a sandbox like everybody else's."""
    outcome: Outcome = run_stage(make_desk(desk, finished_files()), 0, limits=limits)
    collected = [node for line in outcome.lines for node in line.collected]
    tests = {s.number: [node for node in collected if node.startswith(f"{s.test}::")] for s in STAGES}
    numbers = {line.probe: line.numbers for line in outcome.lines if line.probe}
    probes = {s.number: {t.number: numbers.get(t.number, "missing") for t in s.todos} for s in STAGES}
    if outcome.ran_out:
        raise UserError(f"the finished course itself was {outcome.ended}; give it more, with a larger --seconds")
    if not all(tests.values()) or any(isinstance(n, str) for stage in probes.values() for n in stage.values()):
        raise UserError(
            f"the finished course does not run in the sandbox ({outcome.ended or 'it gave no results'});"
            " pytest --solutions tells whether it runs outside"
        )
    return Reference(tests, probes)


def parse_stages(text: str | None) -> list[int]:
    """'1-6' or '5' -> the stages' numbers; all of them for None."""
    everything = [stage.number for stage in STAGES]
    if text is None:
        return everything
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    chosen = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not chosen or not set(chosen) <= set(everything):
        raise UserError(f"--stages {text}: it has to be FROM-TO within {everything[0]}-{everything[-1]}, as in 1-6")
    return list(chosen)


def file_name(student: str) -> str:
    """A name that every file system takes: long ones are cut, and marked so that they stay different."""
    name = re.sub(r"[^\w.-]", "_", student).lstrip(".") or "_"
    if len(name.encode()) <= 200:
        return name
    return name.encode()[:180].decode(errors="ignore") + "-" + hashlib.sha256(student.encode()).hexdigest()[:8]


def _unused(name: str, names: set[str]) -> str:
    candidates = (f"{name}-{i}" if i > 1 else name for i in range(1, 10**6))
    chosen = next(c for c in candidates if file_name(c).lower() not in names)
    names.add(file_name(chosen).lower())
    return chosen


def _key(submission: Submission, course: str, points: dict[int, float], limits: Limits) -> str:
    files = sorted((name, hashlib.sha256(content).hexdigest()) for name, content in submission.files.items())
    return hashlib.sha256(repr((files, course, sorted(points.items()), limits)).encode()).hexdigest()


def _known(out: Path, student: str, key: str) -> Grade | None:
    try:
        data = json.loads((out / f"{file_name(student)}.json").read_text(encoding="utf-8"))
        return Grade.from_json(data) if data["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _writer() -> Callable[[Path, str], None]:
    def write(path: Path, text: str) -> None:
        """Whole or not at all, so that an interruption leaves no half result."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            part.write_text(text, encoding="utf-8", errors="replace", newline="\n")
            part.replace(path)
        except OSError as error:
            raise UserError(f"'{path}' cannot be written: {error.strerror}; name another place") from None

    return write
