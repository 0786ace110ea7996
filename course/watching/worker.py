"""One run of a stage's test, in a process that is warm before it is needed: `python -m course.watching.worker`.

It starts pytest, waits on stdin for the number of a stage, runs its test, the exact checks first, and ends.
What happens is written to stdout, a JSON object a line:

    {"event": "ready"}
    {"event": "collected", "exact": 15, "comparisons": 1}
    {"event": "started", "test": "test_no_token_attends_to_its_future"}
    {"event": "running", "place": "gpt/head_v4.py, line 41"}                 each two seconds within a test
    {"event": "test", "test": ..., "passed": false, "message": ..., "output": ...}
    {"event": "done"}
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import pytest

from ..learner.standing import PACKAGE
from ..stages import ROOT, STAGES
from ..testing import pytest_arguments


def main() -> None:
    with os.fdopen(os.dup(0), encoding="utf-8") as commands, os.fdopen(os.dup(1), "w", 1, encoding="utf-8") as out:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the learner's code prints past pytest is no event
        os.chdir(ROOT)

        def send(event: str, **values: object) -> None:
            out.write(json.dumps({"event": event, **values}) + "\n")

        pytest.main(pytest_arguments("tests"), plugins=[Reporter(commands, send)])
    os._exit(0)  # whatever threads the learner's code has left


class Reporter:
    """A pytest plugin. A comparison is only run when all exact checks have passed."""

    def __init__(self, commands: TextIO, send: Callable[..., None]):
        self.commands = commands
        self.send = send
        self.exact = 0
        self.finished = 0
        self.failed = False
        self.started = 0.0
        threading.Thread(target=self._tell_place, daemon=True).start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """pytest has started, and not looked at any test yet: the last moment to wait in."""
        _warm_up()
        self.send("ready")
        number = self.commands.readline()
        if not number:
            os._exit(0)
        session.config.args[:] = [STAGES[int(number) - 1].test]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=_is_comparison)
        self.exact = sum(not _is_comparison(item) for item in items)
        self.send("collected", exact=self.exact, comparisons=len(items) - self.exact)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.send("test", test=report.nodeid, passed=False, message=report.longreprtext, output="")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started = time.monotonic()
        self.send("started", test=_name(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            self.failed |= report.failed
            message = report.longreprtext if report.failed else ""
            test = _name(report.nodeid)
            self.send("test", test=test, passed=not report.failed, message=message, output=report.capstdout)

    def pytest_runtest_logfinish(self) -> None:
        self.started = 0.0
        self.finished += 1

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        result = yield
        if self.failed and self.finished == self.exact:
            item.session.shouldstop = "an exact check has failed"
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self.send("done")  # what pytest tidies up after this takes a while

    def _tell_place(self) -> None:
        main_thread = threading.main_thread().ident or 0
        while True:
            time.sleep(2)
            if self.started and time.monotonic() - self.started > 2:
                self.send("running", place=_place(sys._current_frames().get(main_thread)))


def _warm_up() -> None:
    """The first import, the first product and gradient, and the first look at torch's meta device take long."""
    import hypothesis  # noqa: F401
    import torch

    for device in ("cpu", "meta"):
        layer = torch.nn.Linear(2, 2, device=device)
        x = layer(torch.ones(1, 2, 2, device=device))
        scores = (x @ x.transpose(1, 2)).masked_fill(torch.ones(2, 2, device=device).tril() == 0, -torch.inf)
        scores.softmax(dim=-1).var().backward()


def _is_comparison(item: pytest.Item) -> bool:
    return item.get_closest_marker("comparison") is not None


def _name(nodeid: str) -> str:
    return nodeid.rpartition("::")[2]


def _place(frame: FrameType | None) -> str:
    """gpt/head_v4.py, line 41; empty where the test is not in the learner's code."""
    while frame and Path(frame.f_code.co_filename).parent != PACKAGE:
        frame = frame.f_back
    return f"gpt/{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}" if frame else ""


if __name__ == "__main__":
    main()
