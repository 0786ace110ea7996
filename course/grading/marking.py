"""From what came out of a sandbox to points.

A test gives its share of the stage's points if it passed. A stage is void, and gives none, where its results cannot be
believed: a line of another origin among them, a function that judges exchanged, the test that has to fail reported as
passed, or every test passed while a probe's numbers are not those of right code.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from course.stages import STAGES

from . import probes
from .sandbox import Line, Outcome


@dataclass(frozen=True)
class Verdict:
    """name: as pytest has it, without the file. message: what the student is told, where it did not pass."""

    name: str
    passed: bool
    message: str = ""

    @property
    def title(self) -> str:
        """The name as a sentence: "no token attends to its future [2-5]"."""
        return self.name.removeprefix("test_").replace("_", " ").replace("[", " [", 1)


@dataclass(frozen=True)
class StageResult:
    """wrong: the TODOs whose probes are not right. void: why no point is given in spite of what was reported, or ""."""

    number: int
    points: float
    tests: list[Verdict]
    wrong: list[str]
    void: str = ""

    @property
    def passed(self) -> int:
        return 0 if self.void else sum(test.passed for test in self.tests)

    @property
    def score(self) -> float:
        return self.points * self.passed / len(self.tests)

    @property
    def done(self) -> bool:
        return self.passed == len(self.tests)

    @property
    def mistakes(self) -> list[str]:
        """The known mistakes that the tests named, each once."""
        found = (re.search(r"Known mistake: (.+?)\.\n", test.message) for test in self.tests)
        return list(dict.fromkeys(match[1] for match in found if match))


@dataclass(frozen=True)
class Grade:
    """A student's results; error: why there are none, or "". possible: the points to be had where there are none."""

    student: str
    stages: list[StageResult]
    error: str = ""
    seconds: float = 0.0
    possible: float = 0.0

    @property
    def score(self) -> float:
        return sum(stage.score for stage in self.stages)

    @property
    def points(self) -> float:
        return sum(stage.points for stage in self.stages) if self.stages else self.possible

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "score": round(self.score, 4), "max_score": self.points}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Grade":
        stages = [
            StageResult(s["number"], s["points"], [Verdict(**test) for test in s["tests"]], s["wrong"], s["void"])
            for s in data["stages"]
        ]
        return cls(data["student"], stages, data["error"], data["seconds"])


def mark_stage(
    number: int, points: float, expected: list[str], right: Mapping[str, probes.Numbers | str], outcome: Outcome
) -> StageResult:
    """expected: the node ids of the stage's tests. right: what the finished code gives for each of its probes."""
    said: dict[str, Line] = {}
    taken: dict[str, probes.Numbers | str] = {}
    changed: dict[str, None] = {}
    repeated = ended = False
    for line in outcome.lines:
        if line.test:
            repeated |= line.test in said and line.outcome != said[line.test].outcome
            said[line.test] = line
        if line.probe:
            taken[line.probe] = line.numbers
        changed |= dict.fromkeys(line.changed)
        ended |= line.end
    missing = outcome.ended or "the process was gone before it"
    tests = []
    for node in expected:
        line = said.get(node)
        passed = line is not None and line.outcome == "passed"
        message = "" if passed else line.message.strip() if line else f"Not run: {missing}."
        tests.append(Verdict(node.partition("::")[2], passed, message))
    canary = said.get("::canary")
    wrong = [todo for todo, numbers in right.items() if not probes.same(taken.get(todo, "nothing"), numbers)]
    void = ""
    if outcome.forged or repeated:
        void = "lines that the tests did not write stood among their results"
    elif changed:
        void = f"it exchanged what the tests judge with: {', '.join(list(changed)[:5])}"
    elif canary and canary.outcome != "failed":
        void = "a test that has to fail was reported as passed"
    elif all(test.passed for test in tests) and (wrong or not canary or not ended):
        what = f"TODO {', '.join(wrong)}" if wrong else "the end of the run"
        void = f"all tests were reported as passed, but {what} does not bear it out"
    return StageResult(number, points, tests, wrong, void)


def parse_points(text: str | None) -> dict[int, float]:
    """'5=20,10=20' -> points by stage; 10 for each that is not named. Raises ValueError that says what is wrong."""
    points = {stage.number: 10.0 for stage in STAGES}
    for part in (text or "").split(",") if text else []:
        match = re.fullmatch(r"\s*(\d+)\s*=\s*(\d+(?:\.\d+)?)\s*", part)
        if not match or int(match[1]) not in points:
            raise ValueError(f"'{part}' is not STAGE=POINTS, as in 5=20,10=20 (stages {min(points)} to {max(points)})")
        points[int(match[1])] = float(match[2])
    return points
