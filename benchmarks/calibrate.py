"""How sure the comparisons of the stage tests are: each repeated over many seeds, and with its improvement taken out.

    python benchmarks/calibrate.py                   everything, 100 seeds each: some half an hour on two cores
    python benchmarks/calibrate.py --claim test_ffn_helps --seeds 20

Ctrl-C loses nothing: what was measured is in runs/calibration.jsonl, and the next call goes on from there. The result
is benchmarks/calibration.json, and calibration.md for people.

The chance of a false failure is that of a further run to miss the margin, if runs vary as the measured ones did: the
tail of Student's t with n - 1 degrees of freedom, which is the normal one widened by how little n runs say about mean
and spread. Where the values are not normal (Jarque and Bera's test, at 0.1 %), it is the larger one of that and an
exponential tail, fitted to the fifth of the values that is nearest to the margin. Ratios of times are judged by their
logarithms. A claim with several conditions fails if any of them does, so that their chances add up.
"""

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "solutions"), str(ROOT)]

from tests.experiments import all_experiments  # noqa: E402
from tests.kit.charts import aligned  # noqa: E402
from tests.kit.costs import one_thread  # noqa: E402
from tests.kit.experiment import Asked, Experiment  # noqa: E402

RAW = ROOT / "runs" / "calibration.jsonl"
RESULT = ROOT / "benchmarks" / "calibration.json"
LIMIT = 1e-6  # the largest chance of a false verdict that the course allows itself

Runs = dict[bool, dict[int, list[Asked]]]  # alike -> seed -> what was asked for, and what came


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--claim", action="append", help="the name of a test; all, if none is given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    args = parser.parse_args()
    chosen = [e for e in all_experiments() if not args.claim or e.name in args.claim]
    missing = [
        (experiment.name, seed, alike)
        for seed in range(args.seeds)
        for experiment in chosen
        for alike in (False, True)
        if seed not in stored(experiment)[alike]
    ]
    try:
        measure_all(missing, args.jobs)
    except KeyboardInterrupt:
        print(f"interrupted; {RAW.relative_to(ROOT).as_posix()} has what was measured")
        return 130
    entries = read_result() | {e.name: calibration(e, stored(e)) for e in chosen}
    order = [e.name for e in all_experiments()]
    entries = {name: entries[name] for name in order if name in entries}
    RESULT.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8", newline="\n")
    RESULT.with_suffix(".md").write_text(page(entries), encoding="utf-8", newline="\n")
    print("\n".join(aligned(summary(entries))))
    return 0 if all(entry["chance of a false verdict"] < LIMIT for entry in entries.values()) else 1


# ---- measuring


def measure_all(tasks: list[tuple[str, int, bool]], jobs: int) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    RAW.parent.mkdir(exist_ok=True)
    with (
        multiprocessing.get_context("spawn").Pool(jobs) as pool,
        Progress(*columns) as progress,
        RAW.open("a", encoding="utf-8") as file,
    ):
        bar = progress.add_task("measuring", total=len(tasks))
        for line in pool.imap_unordered(measure, tasks):
            file.write(json.dumps(line) + "\n")
            file.flush()
            progress.advance(bar)


def measure(task: tuple[str, int, bool]) -> dict[str, Any]:
    name, seed, alike = task
    experiment = next(e for e in all_experiments() if e.name == name)
    start = time.process_time()
    with one_thread():
        outcome = experiment.measure(seed, alike)
    return {
        "name": name, "settings": settings(experiment), "seed": seed, "alike": alike,
        "asked": [list(asked) for asked in outcome.asked], "seconds": round(time.process_time() - start, 3),
    }  # fmt: skip


def stored(experiment: Experiment) -> Runs:
    """The runs in RAW that were measured with the settings as they are now."""
    runs: Runs = {False: {}, True: {}}
    for line in raw_lines():
        if line["name"] == experiment.name and line["settings"] == settings(experiment):
            runs[line["alike"]][line["seed"]] = [Asked(*asked) for asked in line["asked"]]
    return runs


def raw_lines() -> Iterator[dict[str, Any]]:
    if RAW.exists():
        for line in RAW.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # cut off by a crash


def settings(experiment: Any) -> dict[str, Any]:
    """The numbers and names that the outcome depends on. Margins do not belong to them, nor does what is said."""
    said = ("name", "claim", "reason", "note", "margin")
    keys = [key for key in dir(experiment) if not key.startswith("_") and key not in said]
    values = {key: _plain(getattr(experiment, key)) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [_plain(part) for part in value] if not callable(getattr(value, "contextualizer", None)) else value[:2]
    if hasattr(value, "batch"):  # a task
        return {"task": type(value).__name__} | settings(value)
    return None


# ---- judging


def calibration(experiment: Experiment, runs: Runs) -> dict[str, Any]:
    """What the runs say about a claim: for each of its conditions, and as a whole."""
    measured, alike = ([*runs[taken_out].values()] for taken_out in (False, True))
    conditions = []
    for i, asked in enumerate(measured[0]):
        values, others = ([run[i].value for run in group] for group in (measured, alike))
        conditions.append(condition(asked, values, others))
    failing = sum(c["chance of a false failure"] for c in conditions)
    passing = min(c["chance to hold with the improvement taken out"] for c in conditions if not c["fact"])
    return {
        "stage": experiment.stage,
        "claim": experiment.claim,
        "runs": len(measured),
        "runs with the improvement taken out": len(alike),
        "chance of a false verdict": max(failing, passing),
        "chance of a false failure": failing,
        "chance to hold with the improvement taken out": passing,
        "conditions": conditions,
        "settings": settings(experiment),
    }


def condition(asked: Asked, values: list[float], others: list[float]) -> dict[str, Any]:
    worst = max(values) if asked.at_most else min(values)
    failing, model = chance_below(*_turned(asked, values))
    passing, other_model = chance_below(*_turned(asked._replace(at_most=not asked.at_most), others))
    away = _turned(asked, values)
    return {
        "asked for": f"{asked.what}: {'at most' if asked.at_most else 'at least'} {asked.margin:.4g}",
        "fact": asked.fact,
        "mean": statistics.fmean(values),
        "standard deviation": statistics.stdev(values),
        "worst": worst,
        "standard deviations to the margin": (statistics.fmean(away[0]) - away[1]) / (statistics.stdev(away[0]) or 1.0),
        "tail": "none: a fact" if asked.fact else model,
        "chance of a false failure": 0.0 if asked.fact else failing,
        "mean, improvement taken out": statistics.fmean(others),
        "standard deviation, improvement taken out": statistics.stdev(others),
        "tail, improvement taken out": other_model,
        "chance to hold with the improvement taken out": 1.0 if asked.fact else passing,
    }


def _turned(asked: Asked, values: list[float]) -> tuple[list[float], float]:
    """Values and margin such that to fail is to be below it."""
    margin = asked.margin
    if asked.ratio:
        values, margin = [math.log(value) for value in values], math.log(margin)
    return ([-value for value in values], -margin) if asked.at_most else (values, margin)


def chance_below(values: list[float], margin: float) -> tuple[float, str]:
    """The chance that a further value is below the margin, and the name of the model that says so."""
    n, mean, deviation = len(values), statistics.fmean(values), statistics.stdev(values)
    if deviation < 1e-12:
        return float(mean < margin), "no spread"
    chance = student_tail((mean - margin) / (deviation * math.sqrt(1 + 1 / n)), n - 1)
    if is_normal(values):
        return chance, "normal"
    nearest = sorted(values)[: max(2, n // 5) + 1]
    threshold = nearest.pop()
    excess = statistics.fmean(threshold - value for value in nearest)
    exponential = len(nearest) / n * math.exp(-max(0.0, threshold - margin) / excess) if excess else 0.0
    return max(chance, exponential), "exponential"


def is_normal(values: list[float]) -> bool:
    """Jarque and Bera's test of skewness and kurtosis, at 0.1 %."""
    mean, n = statistics.fmean(values), len(values)
    second, third, fourth = (statistics.fmean((value - mean) ** power for value in values) for power in (2, 3, 4))
    statistic = n / 6 * (third**2 / second**3 + (fourth / second**2 - 3) ** 2 / 4)
    return math.exp(-statistic / 2) > 0.001  # a chi-square with 2 degrees of freedom


def student_tail(t: float, degrees: int) -> float:
    """The chance that Student's t is above t: with x = sqrt(degrees) tan(angle), an integral of a power of a cosine.

    >>> round(student_tail(2.0, 10), 5), round(student_tail(5.0, 99) * 1e6, 3)
    (0.03669, 1.239)
    """
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    start, steps = math.atan(t / math.sqrt(degrees)), 4000
    width = (math.pi / 2 - start) / steps
    heights = [math.cos(start + i * width) ** (degrees - 1) for i in range(steps)] + [0.0]
    return scale * width / 3 * (heights[0] + 4 * sum(heights[1::2]) + 2 * sum(heights[2:-1:2]) + heights[-1])


# ---- saying


def read_result() -> dict[str, Any]:
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}


def summary(entries: dict[str, Any]) -> list[list[str]]:
    rows = [["condition", "runs", "mean", "sd", "worst", "sds away", "tail", "fails", "alike: mean", "sd", "holds"]]
    for name, entry in entries.items():
        rows.append([f"{entry['stage']} {name}", *[""] * 10])
        rows += [_row(entry, each) for each in entry["conditions"]]
    return rows


def _row(entry: dict[str, Any], each: dict[str, Any]) -> list[str]:
    fact = each["fact"]
    return [
        each["asked for"],
        str(entry["runs"]),
        f"{each['mean']:.4g}",
        f"{each['standard deviation']:.2g}",
        f"{each['worst']:.4g}",
        "" if fact else f"{each['standard deviations to the margin']:.1f}",
        "fact" if fact else each["tail"],
        "never" if fact else chance(each["chance of a false failure"]),
        f"{each['mean, improvement taken out']:.4g}",
        f"{each['standard deviation, improvement taken out']:.2g}",
        "" if fact else chance(each["chance to hold with the improvement taken out"]),
    ]


def chance(value: float) -> str:
    return f"{value:.0e}" if value >= 1e-12 else "< 1e-12"


def page(entries: dict[str, Any]) -> str:
    rows = summary(entries)
    lines = [
        "# How sure the comparisons are",
        "",
        "Made by `python benchmarks/calibrate.py`, which explains its model of chance; not edited by hand. *fails*:",
        "the chance of a false failure. *alike*: the same with the improvement taken out, so that",
        "the claim has to fail; *holds*: the chance that it holds all the same (only if all of its conditions do).",
        f"The course allows itself less than {LIMIT:g} for either.",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + "---|" * len(rows[0]),
    ]
    for row in rows[1:]:
        title = row[1:] == [""] * 10
        lines.append(f"| {f'**{row[0]}**' if title else row[0]} | " + " | ".join(row[1:]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
