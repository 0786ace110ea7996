"""What runs beside a submission: limits first, then its probes and its tests. Results go out line by line.

    python -I child.py SETTINGS < nonce

SETTINGS is JSON: course (the desk's path), stage (0: only say what there
is to test, and what all probes give), uid (an account of its own, or
null), limits (names as in the resource module) and seconds (for one test). Lines without the nonce, which came on
standard input, are not ours.
"""

import json
import os
import sys
from typing import Any

import pytest

GUARDED = (
    "builtins", "json", "os", "torch", "torch.nn", "torch.nn.functional", "torch.autograd", "torch.linalg",
    "torch.testing", "pytest", "_pytest.runner", "_pytest.reports", "_pytest.python", "_pytest.skipping",
)  # fmt: skip


def main(settings: dict[str, Any]) -> int:
    out = Out()
    restrict(settings["limits"], settings["uid"])
    sys.path.insert(0, settings["course"])
    os.chdir(settings["course"])
    stage = settings["stage"]
    options = ["-p", "no:cacheprovider", "--no-record", "--capture=sys", "--tb=short"]
    options += ["-o", "filterwarnings=default", "-o", f"time_limit={settings['seconds']}"]
    what = [f"tests/test_{stage}.py"] if stage else ["tests", "--collect-only"]
    return pytest.main([*options, *what], plugins=[Recorder(out, stage)])


def restrict(limits: dict[str, int], uid: int | None) -> None:
    import resource

    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


class Out:
    """The way out: standard output as it was, which the submission's own prints do not get into."""

    def __init__(self) -> None:
        self.nonce = sys.stdin.readline().strip()
        self.stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)

    def say(self, **what: Any) -> None:
        self.stream.write(json.dumps({"nonce": self.nonce, **what}) + "\n")
        self.stream.flush()


ITSELF = {"torch.manual_seed"}  # torch wraps it when it loads its compiler


class Recorder:
    """A pytest plugin that says what is collected, what the probes give, and how each test ends."""

    def __init__(self, out: Out, stage: int):
        self.out = out
        self.stage = stage

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.out.say(collected=[item.nodeid for item in session.items])
        self.guard = Guard()
        from course.grading import probes

        for todo in probes.PROBES:
            if self.stage in (0, int(todo.split("-")[0])):
                self.out.say(probe=todo, numbers=probes.take(todo))
        session.items.append(Canary.from_parent(session, name="canary"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            message = "" if report.passed else str(report.longrepr)[:4000]
            self.out.say(test=report.nodeid, outcome=report.outcome, message=message, changed=self.guard.changed())

    def pytest_sessionfinish(self) -> None:
        self.out.say(end=True)


class Canary(pytest.Item):
    """A test that has to fail: where it is said to have passed, nobody can be believed."""

    def runtest(self) -> None:
        raise AssertionError("as it should")

    def reportinfo(self) -> tuple[str, None, str]:
        return "canary", None, self.name


class Guard:
    """Remembers the functions and classes of what judges, to see later whether somebody exchanged one."""

    def __init__(self) -> None:
        import torch

        modules = {name: module for name, module in sys.modules.items() if name in GUARDED or name.startswith("tests")}
        spaces = {**modules, "torch.Tensor": torch.Tensor, "torch.nn.Module": torch.nn.Module}
        self.modules = modules
        self.before = {
            f"{name}.{key}": (vars(space), key, value)
            for name, space in spaces.items()
            for key, value in list(vars(space).items())
            if callable(value)
        }

    def changed(self) -> list[str]:
        exchanged = [name for name, module in self.modules.items() if sys.modules.get(name) is not module]
        now = {name for name, (space, key, value) in self.before.items() if space.get(key) is not value}
        return exchanged + sorted(now - ITSELF)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
