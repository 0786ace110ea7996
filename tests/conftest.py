"""How the stage tests fail: one message on the learner's file, at most a screen long. --tb=long gives all the rest."""

import inspect
import signal
import sys
import textwrap
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.failing import Wrong, explain, place_of
from tests.kit.loading import fresh_torch

FIRST = pytest.StashKey[dict[str, "Message"]]()  # a TODO -> the message of the first test that failed for it
ASKED = pytest.StashKey[str]()  # what the last test asked; the same with other numbers is not said again
SLOW = pytest.StashKey[bool]()  # whether a test ran into the time limit
AT_MOST = 3  # messages of one test file on the screen: a stage has up to three TODOs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A warning in the learner's code is shown at the end, and is no failure."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Path | None:
    """Where a comparison is drawn if somebody looks on (-s), as in runs/tests/5-attention_beats_the_average.png."""
    if request.config.getoption("capture") != "no":
        return None
    stage, name = request.path.stem.removeprefix("test_"), request.node.name.removeprefix("test_")
    return request.config.rootpath / "runs" / "tests" / f"{stage}-{name}.png"


class Message:
    """A failure that is only its text."""

    def __init__(self, text: str, test: str = ""):
        self.text, self.test = text, test
        self.more = 0  # tests that failed for the same cause, or later in the same file, and are not on the screen

    def __str__(self) -> str:
        return self.text

    def toterminal(self, writer: Any) -> None:
        writer.line(self.text)
        if self.more:
            writer.line(f"\n({self.more} more {'tests fail' if self.more > 1 else 'test fails'}. Mend this first.)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """One message for each TODO, that of the first test that fails: the first ones are the simplest."""
    report: Any = yield
    if not call.excinfo or not report.failed or item.config.getoption("tbstyle") == "long":
        return report
    text = explain(call.excinfo.value)
    if text:
        first = item.config.stash.setdefault(FIRST, {})
        cause = f"{item.path} {getattr(call.excinfo.value, 'todo', None) or text}"
        here = [message for known, message in first.items() if known.startswith(f"{item.path} ")]
        shown = first.get(cause) or (here[-1] if len(here) == AT_MOST else None)
        report.longrepr = Message(f"As in {shown.test}." if shown and shown.text == text else text, item.name)
        report.is_shown = shown is None
        if shown:
            shown.more += 1
        else:
            first[cause] = report.longrepr
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    failed = terminalreporter.stats.get("failed", [])
    if failed:
        terminalreporter.stats["failed"] = [report for report in failed if getattr(report, "is_shown", True)]
        if all(isinstance(report.longrepr, Message) for report in failed):
            terminalreporter.reportchars = ""  # a summary would say their names once more
    try:
        return (yield)
    finally:
        if failed:
            terminalreporter.stats["failed"] = failed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Say what the test asks (with -s); end an endless loop; do not stop at a breakpoint() left behind."""
    doc = inspect.getdoc(getattr(item, "function", None))
    if doc and item.config.getoption("capture") == "no" and doc != item.config.stash.get(ASKED, None):
        item.config.stash[ASKED] = doc
        print("\n" + textwrap.fill(doc.split("\n\n")[0], 79, initial_indent="    ", subsequent_indent="    "))
    limit = float(item.config.getini("time_limit")) * (20 if item.get_closest_marker("comparison") else 1)
    if item.config.stash.get(SLOW, False):
        limit /= 10
    stopped: list[str] = []

    def stop() -> None:
        while not ended.wait(0 if not stopped else 1):  # again, where a bare `except:` has swallowed it
            stopped.append(place_of(sys._current_frames().get(threading.main_thread().ident or 0)))
            interrupt_main()

    ended = threading.Event()
    timer = threading.Timer(limit, stop)
    timer.daemon = True
    hook, sys.breakpointhook = sys.breakpointhook, left_behind
    # A job in the background of a shell ignores Ctrl-C, and so would not hear interrupt_main either.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with fresh_torch():
            return (yield)
    except KeyboardInterrupt:
        if not stopped:
            raise
        item.config.stash[SLOW] = True
        raise Wrong(f"Stopped after {limit:g} seconds{stopped[0]}. Is there a loop that never ends?") from None
    finally:
        ended.set()
        timer.cancel()
        sys.breakpointhook = hook
        signal.signal(signal.SIGINT, handler)


def left_behind(*args: object, **kwargs: object) -> None:
    place = place_of(sys._getframe(1))
    if not place:
        import pdb

        pdb.Pdb().set_trace(sys._getframe(1))
        return
    raise Wrong(f"A breakpoint() was left behind{place}. (To step through your code: pytest --trace.)")
