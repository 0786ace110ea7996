"""How long grading takes, and whether it always says the same.

python benchmarks/grading.py one               one right submission, all stages: seconds (asked: under 90)
python benchmarks/grading.py class             30 submissions, a crash and an endless loop among them, unattended
python benchmarks/grading.py repeat --times 50     the same half-right submission again and again: how many grades?
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course.commands.grade import grade_all  # noqa: E402
from course.grading.marking import Grade, parse_points  # noqa: E402
from course.grading.sandbox import Limits, walls  # noqa: E402
from course.stages import STAGES  # noqa: E402


def submit(folder: Path, solved: int, extra: str = "") -> str:
    """A submission with the first `solved` stages finished, and `extra` at the end of the first file."""
    target = folder / "gpt"
    shutil.copytree(ROOT / "gpt", target)
    for stage in STAGES[:solved]:
        for todo in stage.todos:
            shutil.copyfile(ROOT / "solutions" / "gpt" / todo.file, target / todo.file)
    with target.joinpath("gpt_v1.py").open("a", encoding="utf-8") as file:
        file.write(extra)
    return str(folder)


def grade(paths: list[str], out: Path, points: dict[int, float]) -> tuple[list[Grade], float]:
    start = time.perf_counter()
    grades = grade_all(paths, points, out, jobs=2, limits=Limits())
    return grades, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["one", "class", "repeat"])
    parser.add_argument("--times", type=int, default=50)
    args = parser.parse_args()
    print(walls())
    points = parse_points(None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.what == "one":
            grades, seconds = grade([submit(folder / "right", 10)], folder / "out", points)
            print(f"{grades[0].score:g} of {grades[0].points:g} points in {seconds:.0f} s")
        elif args.what == "class":
            paths = [submit(folder / f"student {i}", 1 + i % 10) for i in range(28)]
            paths.insert(9, submit(folder / "crash", 10, "\nimport os\nos.abort()\n"))
            paths.insert(19, submit(folder / "loop", 10, "\nwhile True:\n    pass\n"))
            grades, seconds = grade(paths, folder / "out", points)
            for each in grades:
                print(f"{each.student:12} {each.score:6.1f}  {sum(s.done for s in each.stages):2} stages complete")
            print(f"{len(grades)} submissions in {seconds / 60:.1f} minutes")
        else:
            path = submit(folder / "half", 3)
            some = {n: points[n] for n in (2, 3, 4)}
            seen = {str(grade([path], folder / f"out{i}", some)[0][0].stages) for i in range(args.times)}
            print(f"{args.times} repetitions of stages 2 to 4: {len(seen)} different results")


if __name__ == "__main__":
    main()
