"""Grades in the formats of those who read them.

gradescope  results.json of an autograder (Gradescope documentation, "Autograder Specifications")
junit       the XML that CI servers show (Jenkins' junit-10.xsd)
exercism    results.json of a test runner, version 2 (Exercism documentation, "The interface", test runners)
csv         a line a student
markdown    a report for the student, and one for the class
"""

import csv
import io
import re
import statistics
import xml.etree.ElementTree as ET
from collections import Counter
from typing import Any

from course.stages import STAGES

from .marking import Grade, StageResult, Verdict

LONGEST = 20_000  # characters of a message that go into a file of others


def gradescope(grade: Grade) -> dict[str, Any]:
    tests = [
        {
            "name": f"Stage {stage.number}: {test.title}",
            "number": f"{stage.number}.{i}",
            "score": round(stage.points / len(stage.tests), 4) if test.passed and not stage.void else 0.0,
            "max_score": round(stage.points / len(stage.tests), 4),
            "status": "passed" if test.passed and not stage.void else "failed",
            "output": _told(stage, test),
            "output_format": "text",
            "visibility": "visible",
        }
        for stage in grade.stages
        for i, test in enumerate(stage.tests, start=1)
    ]
    return {
        "score": round(grade.score, 4),
        "execution_time": round(grade.seconds, 1),
        "output": _clean(grade.error or summary(grade)),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def junit(grades: list[Grade]) -> str:
    root = ET.Element("testsuites", name="learnGPT")
    for grade in grades:
        for stage in grade.stages:
            failed = len(stage.tests) - stage.passed
            suite = ET.SubElement(
                root, "testsuite", name=f"{_clean(grade.student)}, stage {stage.number}",
                tests=str(len(stage.tests)), failures=str(failed), errors="0", skipped="0",
            )  # fmt: skip
            for test in stage.tests:
                case = ET.SubElement(
                    suite, "testcase", name=test.name, classname=f"{_clean(grade.student)}.test_{stage.number}"
                )
                if not test.passed or stage.void:
                    told = _told(stage, test)
                    ET.SubElement(case, "failure", message=told.split("\n")[0], type="failure").text = told
        if grade.error:
            suite = ET.SubElement(
                root, "testsuite", name=_clean(grade.student), tests="1", failures="0", errors="1", skipped="0"
            )
            case = ET.SubElement(suite, "testcase", name="submission", classname=_clean(grade.student))
            ET.SubElement(case, "error", message=_clean(grade.error), type="submission")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def exercism(grade: Grade) -> dict[str, Any]:
    if grade.error:
        return {"version": 2, "status": "error", "message": _clean(grade.error), "tests": []}
    tests: list[dict[str, Any]] = []
    for stage in grade.stages:
        for test in stage.tests:
            entry: dict[str, Any] = {"name": f"Stage {stage.number} > {test.title}", "test_code": test.name}
            if test.passed and not stage.void:
                tests.append({**entry, "status": "pass"})
            else:
                tests.append({**entry, "status": "fail", "message": _told(stage, test)})
    return {"version": 2, "status": "pass" if all(s.done for s in grade.stages) else "fail", "tests": tests}


def as_csv(grades: list[Grade]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    numbers = [stage.number for stage in next((g for g in grades if g.stages), Grade("", [])).stages]
    writer.writerow(["student", "score", "max_score", *(f"stage_{n}" for n in numbers), "note"])
    for grade in grades:
        scores = [f"{stage.score:.2f}" for stage in grade.stages] or ["0.00" for _ in numbers]
        note = grade.error or "; ".join(f"stage {s.number}: {s.void}" for s in grade.stages if s.void)
        name = grade.student
        name = f"'{name}" if name[:1] in "=+-@\t" else name  # a spreadsheet would take it for a formula
        writer.writerow([name, f"{grade.score:.2f}", f"{grade.points:.2f}", *scores, note])
    return out.getvalue()


def summary(grade: Grade) -> str:
    done = sum(stage.done for stage in grade.stages)
    return f"{grade.score:.1f} of {grade.points:.0f} points; {done} of {len(grade.stages)} stages complete."


def student_report(grade: Grade) -> str:
    lines = [f"# {grade.student}", "", grade.error or summary(grade), ""]
    if grade.stages:
        lines += ["| stage | tests passed | points |", "|---|---|---|"]
    for stage in grade.stages:
        title = STAGES[stage.number - 1].title
        lines.append(
            f"| {stage.number} {title} | {stage.passed} of {len(stage.tests)} | {stage.score:.1f} of {stage.points:g} |"
        )
    for stage in grade.stages:
        if stage.done:
            continue
        lines += ["", f"## Stage {stage.number}: {STAGES[stage.number - 1].title}", ""]
        if stage.void:
            lines.append(f"No points: {stage.void}. Please talk to your instructor.")
            continue
        said: dict[str, list[str]] = {}
        for test in stage.tests:
            if not test.passed and not test.message.startswith("As in "):
                said.setdefault(_clean(test.message), []).append(test.title)
        for message, titles in said.items():
            more = f" (and {len(titles) - 1} more)" if len(titles) > 1 else ""
            lines += [f"**{titles[0]}**{more}", "", *(f"    {line}" for line in message.splitlines()), ""]
    return "\n".join(lines).rstrip() + "\n"


def class_report(grades: list[Grade], walls: str) -> str:
    graded = [grade for grade in grades if not grade.error]
    lines = ["# The class", "", f"{len(grades)} submissions, {len(graded)} graded. Run inside: {walls}.", ""]
    if graded:
        scores = sorted(grade.score for grade in graded)
        lines += [
            f"Points: median {statistics.median(scores):.1f}, from {scores[0]:.1f} to {scores[-1]:.1f}"
            f" of {graded[0].points:g}.", "",
            "| stage | complete | tests passed | most frequent known mistakes |", "|---|---|---|---|",
        ]  # fmt: skip
        for i, stage in enumerate(graded[0].stages):
            column = [grade.stages[i] for grade in graded]
            share = sum(s.passed for s in column) / sum(len(s.tests) for s in column)
            frequent = Counter(m for s in column for m in s.mistakes).most_common(3)
            named = "; ".join(f"{name} ({count})" for name, count in frequent)
            done = sum(s.done for s in column)
            title = STAGES[stage.number - 1].title
            lines.append(f"| {stage.number} {title} | {done} of {len(graded)} | {share:.0%} | {named} |")
        hardest = Counter(todo for grade in graded for stage in grade.stages for todo in stage.wrong).most_common(5)
        named = ", ".join(f"TODO {todo} (not right in {count} of {len(graded)})" for todo, count in hardest)
        lines += ["", f"Hardest: {named or 'none'}.", ""]
        lines += [f"| student | points | {' | '.join(str(s.number) for s in graded[0].stages)} | to look at |"]
        lines += ["|---" * (len(graded[0].stages) + 3) + "|"]
    for grade in grades:
        marks = ["void" if s.void else "all" if s.done else f"{s.passed}/{len(s.tests)}" for s in grade.stages]
        look = grade.error or "; ".join(f"stage {s.number}: {s.void}" for s in grade.stages if s.void)
        if graded:
            marks = marks or ["" for _ in graded[0].stages]
            lines.append(f"| {_cell(grade.student)} | {grade.score:.1f} | {' | '.join(marks)} | {_cell(look)} |")
        else:
            lines.append(f"- {grade.student}: {look}")
    return "\n".join(lines) + "\n"


def _told(stage: StageResult, test: Verdict) -> str:
    return _clean(f"No points: {stage.void}." if stage.void else test.message)


def _clean(text: str) -> str:
    """Without control characters, which XML and terminals do not take, and not endless."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)[:LONGEST]


def _cell(text: str) -> str:
    return _clean(text).replace("|", "/").replace("\n", " ")
