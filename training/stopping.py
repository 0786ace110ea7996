"""How a training is asked to end: Ctrl-C, a scheduler's SIGTERM, a closed terminal."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stop:
    """While `listening`, the first signal is only noted in `heard`; the loop ends once it was asked to.

    Between the two, processes that train together agree: one that ended by itself would leave the others waiting.
    A second Ctrl-C interrupts as usual.
    """

    def __init__(self) -> None:
        self.heard = 0
        self.number = 0

    @property
    def asked(self) -> bool:
        return self.number != 0

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name if self.number else ""

    @property
    def exit_code(self) -> int:
        """Ctrl-C is the user's own wish, and no failure; for other signals 128 and their number, as shells have it."""
        return 0 if self.number in (0, signal.SIGINT) else 128 + self.number

    def ask(self, number: int) -> None:
        self.number = self.number or number

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        hangup = getattr(signal, "SIGHUP", None)

        def hear(number: int, frame: object) -> None:
            self.heard = self.heard or number
            signal.signal(number, before[number])
            if number == hangup:  # there is no terminal to write to any more
                sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115

        heard = [n for n in SIGNALS if n != hangup or signal.getsignal(n) != signal.SIG_IGN]  # nohup lets it be ignored
        before = {number: signal.signal(number, hear) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
