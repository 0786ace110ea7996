"""How the stage tests fail: one message on the learner's file, at most a screen long. --tb=long gives all the rest."""

import inspect
import sys
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.failing import Wrong, explain, place_of

SAID = pytest.StashKey[dict[str, str]]()  # message -> the test that said it first
TIME_LIMIT = 120.0  # seconds for one test: many times what a right solution needs on a slow and busy machine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    if call.excinfo and report.failed and item.config.getoption("tbstyle") != "long":
        message = explain(call.excinfo.value)
        if message:
            said = item.config.stash.setdefault(SAID, {})
            first = said.setdefault(message, item.name)
            report.longrepr = Message(message if first == item.name else f"As in {first}.")
    return report


class Message:
    """A failure that is only its text, and is not said again in pytest's short summary."""

    def __init__(self, text: str):
        self.text = text

    def __str__(self) -> str:
        return self.text

    def toterminal(self, writer: Any) -> None:
        writer.line(self.text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Say what the test asks (with -s); end an endless loop; do not stop at a breakpoint() left behind."""
    doc = inspect.getdoc(getattr(item, "function", None))
    if doc and item.config.getoption("capture") == "no":
        print("\n    " + doc.split("\n\n")[0].replace("\n", "\n    "))
    stopped: list[str] = []

    def stop() -> None:
        stopped.append(place_of(sys._current_frames().get(threading.main_thread().ident or 0)))
        interrupt_main()

    timer = threading.Timer(TIME_LIMIT, stop)
    timer.daemon = True
    hook, sys.breakpointhook = sys.breakpointhook, _left_behind
    timer.start()
    try:
        return (yield)
    except KeyboardInterrupt:
        if not stopped:
            raise
        raise Wrong(f"Stopped after {TIME_LIMIT:.0f} seconds{stopped[0]}. Is there a loop that never ends?") from None
    finally:
        timer.cancel()
        sys.breakpointhook = hook


def _left_behind(*args: object, **kwargs: object) -> None:
    place = place_of(sys._getframe(1))
    if not place:
        import pdb

        pdb.Pdb().set_trace(sys._getframe(1))
        return
    raise Wrong(f"A breakpoint() was left behind{place}. (To step through your code: pytest --trace.)")
