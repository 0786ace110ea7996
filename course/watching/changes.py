"""Notices when a file of the learner's is saved: by file events, or, where none arrive, by looking again and again."""

import threading
import time
from collections.abc import Callable

from ..learner.standing import PACKAGE

SLOW = 0.5  # seconds between two looks where events are trusted
QUICK = 0.2  # and where they are not
PATIENCE = 2.0  # how long an event may take until events are not trusted any more

State = dict[str, tuple[int, int]]


class Changes:
    """`wake` is called, from a thread, when something has happened in gpt/; `look` says what."""

    def __init__(self, wake: Callable[[], None]):
        self.wake = wake
        self.seen = state()
        self.last_look = self.last_event = time.monotonic()
        self.unannounced: float | None = None  # when a change was found of which no event had told
        self.polling = False
        self.closed = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        import watchfiles

        try:
            for _ in watchfiles.watch(
                PACKAGE, watch_filter=None, debounce=60, step=20, stop_event=self.closed, recursive=False,
                raise_interrupt=False,
            ):  # fmt: skip
                self.last_event = time.monotonic()
                self.wake()
        except OSError:  # no more watches to be had, or a file system without events
            self.polling = True

    @property
    def interval(self) -> float:
        return QUICK if self.polling else SLOW

    def look(self) -> set[str]:
        """The names of the files that were saved, made or deleted since the last look."""
        now, before = state(), self.seen
        if before.keys() - now.keys():  # many editors take a file away, then put the new one in its place
            time.sleep(0.1)
            now = state()
        self.seen = now
        changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        self._judge_events(bool(changed))
        return changed

    def _judge_events(self, changed: bool) -> None:
        """Whether the changes that are found were also told of."""
        clock = time.monotonic()
        if self.last_event >= (self.unannounced or self.last_look):
            self.unannounced = None
        elif changed and not self.unannounced:
            self.unannounced = clock
        if self.unannounced and clock - self.unannounced > PATIENCE:
            self.polling = True
        self.last_look = clock

    def close(self) -> None:
        self.closed.set()


def state() -> State:
    found = {}
    for path in PACKAGE.glob("*.py"):
        try:
            status = path.stat()
            found[path.name] = status.st_mtime_ns, status.st_size
        except FileNotFoundError:  # gone since the folder was read
            continue
    return found
