"""A stage's test in a process of its own (worker.py), seen from outside."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..messages import say
from ..stages import ROOT, Stage

Event = dict[str, Any]


class Worker:
    """The process. It leaves half of the processors to the editor and to the worker that warms up meanwhile, since
    threads that wait for each other take many times as long. Its events go to `put`, from a thread; the last one is
    {"event": "ended", "code": ...}."""

    def __init__(self, put: Callable[["Worker", Event], None]):
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the worker lives)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course.watching.worker"],
            cwd=ROOT,
            env={"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2)), **os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            encoding="utf-8",
        )
        threading.Thread(target=self._read, args=(put,), daemon=True).start()

    def _read(self, put: Callable[["Worker", Event], None]) -> None:
        for line in self.process.stdout or ():
            put(self, json.loads(line))
        put(self, {"event": "ended", "code": self.process.wait()})

    def start(self, stage: Stage) -> None:
        """Run the test of a stage. May be called before the process is warm."""
        if self.process.stdin and self.process.poll() is None:
            self.process.stdin.write(f"{stage.number}\n")
            self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()[-500:]


class Outcome(NamedTuple):
    name: str
    passed: bool
    message: str
    output: str


@dataclass
class Result:
    """What is known so far of one run."""

    stage: Stage
    exact: int = 0
    comparisons: int = 0
    tests: list[Outcome] = field(default_factory=list)
    running: str = ""  # the test that runs now
    since: float = field(default_factory=time.monotonic)  # when it began
    place: str = ""  # where in the learner's code it is, if it takes long
    heard: float = field(default_factory=time.monotonic)  # when the last event came
    over: bool = False
    problem: str = ""  # the run did not come to its end, and why

    def take(self, event: Event) -> None:
        self.heard = time.monotonic()
        match event["event"]:
            case "collected":
                self.exact, self.comparisons = event["exact"], event["comparisons"]
            case "started":
                self.running, self.since, self.place = event["test"], self.heard, ""
            case "running":
                self.place = event["place"]
            case "test":
                self.tests.append(Outcome(event["test"], event["passed"], event["message"], event["output"]))
            case "done":
                self.over, self.running = True, ""

    def end(self, code: int, last_words: str) -> None:
        """The process is no more."""
        if not self.over:
            self.stop(say("watch_died", code=code, where=self.where) + f"\n\n{last_words}")

    def stop(self, problem: str) -> None:
        self.over, self.problem = True, problem

    @property
    def where(self) -> str:
        return f", {self.place or self.running}" if self.running else ""

    @property
    def failures(self) -> list[Outcome]:
        return [test for test in self.tests if not test.passed]

    @property
    def exact_over(self) -> bool:
        return self.over or 0 < self.exact <= len(self.tests)

    @property
    def exact_passed(self) -> bool:
        return self.exact_over and not self.failures and not self.problem

    @property
    def is_green(self) -> bool:
        return self.over and self.exact_passed and len(self.tests) == self.exact + self.comparisons > 0
