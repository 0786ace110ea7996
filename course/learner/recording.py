"""A pytest plugin: remembers a stage as green when the whole of its test file has passed on the learner's code."""

from pathlib import Path
from typing import Any

import pytest

from ..messages import say
from ..stages import STAGES, Stage
from ..terminal import course
from . import records
from .standing import fingerprints


class Recorder:
    """Watches one session. A selection of tests (-k, -m, --lf, file::test) leaves no record."""

    def __init__(self) -> None:
        self.before: dict[Stage, dict[str, str]] = {}  # the files, before the first test imports them
        self.collected: dict[str, set[str]] = {}
        self.passed: set[str] = set()
        self.spoilt: set[str] = set()  # test files of which something was left out, or failed
        self.said: list[str] = []

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.spoilt |= {_name(item.nodeid) for item in items}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.before = {stage: fingerprints(stage) for stage in STAGES}
        for item in session.items:
            self.collected.setdefault(_name(item.nodeid), set()).add(item.nodeid)
        self.spoilt |= {_name(argument) for argument in session.config.args if "::" in argument}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.spoilt.add(_name(report.nodeid))
        elif report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.getoption("lf", False) or session.config.getoption("collectonly"):
            return
        for stage in STAGES:
            name = _name(stage.test)
            tests = self.collected.get(name, set())
            whole = tests and tests <= self.passed and name not in self.spoilt
            if whole and fingerprints(stage) == self.before[stage]:  # nothing was saved meanwhile
                self.record(stage)

    def record(self, stage: Stage) -> None:
        try:
            records.add("green", stage=stage.number, files=self.before[stage])
            self.said.append(say("recorded", stage=stage.number, command=course("next")))
        except OSError as error:  # green all the same
            self.said.append(say("not_recorded", stage=stage.number, reason=error.strerror))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for line in self.said:
            terminalreporter.write_line(line, green=True)


def _name(nodeid: str) -> str:
    """test_5.py"""
    return Path(nodeid.partition("::")[0]).name
