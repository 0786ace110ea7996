"""Run the stage's test whenever a file in gpt/ is saved, and show what it says on one screen."""

import queue
import signal
import threading
import time
from types import FrameType
from typing import NoReturn

from training.console import Parser
from training.errors import UserError

from ..keys import Keys
from ..learner.standing import current, find_stage, standings
from ..messages import say
from ..stages import ROOT, STAGES, Stage
from ..terminal import console
from ..watching import lock, screen
from ..watching.changes import Changes
from ..watching.running import Result, Worker
from . import hint, next

SILENCE = 150.0  # seconds without a sign of a process until it is stopped; each test has its own limit below that


def main(argv: list[str]) -> int:
    parser = Parser("python -m course watch", say("watch_help"))
    parser.add_argument("stage", nargs="?", metavar="N", help=say("watch_stage_help"))
    wanted = parser.parse_args(argv).stage
    stage = find_stage(wanted) if wanted else current_stage()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which some shells have their children ignore
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), leave)
    with lock.hold(ROOT / ".course" / "watch.lock"), Keys() as keys:
        watch = Watch(stage, keys)
        try:
            watch.loop()
        finally:
            watch.close()
    return 0


def leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def current_stage() -> Stage:
    now = current(standings())
    return now.stage if now else STAGES[-1]


class Watch:
    """One loop that takes keys, saved files and the worker's events from one queue. One spare worker is kept warm, so
    that each run has a fresh process and need not wait for it."""

    def __init__(self, stage: Stage, keys: Keys):
        self.events: queue.SimpleQueue[tuple[str, object, dict]] = queue.SimpleQueue()
        self.out = console()
        self.changes = Changes(lambda: self.events.put(("saved", None, {})))
        self.spare: Worker | None = self.new_worker()
        self.worker: Worker | None = None
        self.overlay = False  # something else is on the screen until a key is pressed
        self.drawn: list[screen.Line] = []
        self.run(stage)
        threading.Thread(target=self.read_keys, args=(keys,), daemon=True).start()

    def new_worker(self) -> Worker:
        return Worker(lambda worker, event: self.events.put(("worker", worker, event)))

    def read_keys(self, keys: Keys) -> None:
        key: str | None = ""
        while key is not None or keys.terminal:
            try:
                key = keys.read(timeout=1.0)
            except (EOFError, OSError, KeyboardInterrupt):
                key = "q"
            if key:
                self.events.put(("key", None, {"key": key}))

    def run(self, stage: Stage) -> None:
        if self.worker:
            self.worker.kill()
        self.worker, self.spare = self.spare or self.new_worker(), None
        self.result = Result(stage)
        self.overlay = False
        self.worker.start(stage)

    def loop(self) -> None:
        while True:
            if self.events.empty():
                self.draw()
            try:
                kind, worker, event = self.events.get(timeout=self.changes.interval)
            except queue.Empty:
                kind, worker, event = "tick", None, {}
            if kind == "key":
                if event["key"] == "q":
                    return
                self.press(event["key"])
            elif kind == "worker" and worker is self.worker:
                self.take(event)
            if files := self.changes.look():
                self.run(self.stage_of(files))
            if not self.result.over and time.monotonic() - self.result.heard > SILENCE and self.worker:
                self.result.stop(say("watch_silent", seconds=int(SILENCE), where=self.result.where))
                self.worker.kill()

    def take(self, event: dict) -> None:
        if event["event"] == "ended" and self.worker:
            self.result.end(event["code"], self.worker.last_words())
        else:
            self.result.take(event)
        if self.spare is None and self.result.exact_over:
            self.spare = self.new_worker()  # not earlier: it would take its time from the exact checks

    def stage_of(self, files: set[str]) -> Stage:
        """The stage whose file was saved: the one in hand, if it is among several."""
        stages = [stage for stage in STAGES if files & {todo.file for todo in stage.todos}]
        now = current_stage()
        return now if now in stages or not stages else stages[0]

    def press(self, key: str) -> None:
        if key == "r":
            self.run(self.result.stage if not self.result.is_green else current_stage())
        elif self.overlay:
            self.overlay = False
            self.drawn = []
        elif key in ("h", "l", "m"):
            self.overlay = True
            with self.out:
                self.out.clear()
                {"h": self.show_hint, "l": lambda: next.show(self.out), "m": self.show_all}[key]()
                self.out.print(f"\n{say('watch_back')}", style="dim")

    def show_hint(self) -> None:
        try:
            hint.show(self.out, None if self.result.is_green else str(self.result.stage.number))
        except UserError as error:
            self.out.print(str(error), style="yellow")

    def show_all(self) -> None:
        for test in self.result.failures:
            self.out.print(say("watch_failed", test=test.name), style="bold red", soft_wrap=True)
            self.out.print(f"{test.message}\n", soft_wrap=True)
        if self.result.problem:
            self.out.print(self.result.problem, style="red", soft_wrap=True)
        for test in self.result.tests:
            if test.output:
                self.out.print(test.name, style="bold")
                self.out.print(test.output, soft_wrap=True)

    def draw(self) -> None:
        if self.overlay:
            return
        note = say("watch_polling", seconds=self.changes.interval) if self.changes.polling else ""
        picture = screen.picture(self.result, self.out.width, self.out.height, note)
        if picture == self.drawn:
            return
        self.drawn = picture
        with self.out:  # at once, so that nothing flickers
            self.out.clear()
            for n, line in enumerate(picture):
                self.out.print(line.text, style=line.style, end="\n" if n < len(picture) - 1 else "", soft_wrap=True)

    def close(self) -> None:
        self.changes.close()
        for worker in (self.worker, self.spare):
            if worker:
                worker.kill()
        self.out.print()
