"""A program in a real pseudo-terminal: what is on its screen, and keys for it."""

import os
import re
import subprocess
import sys
import threading
import time
from types import TracebackType

from checks.learner import Learner

CLEAR = "\x1b[2J"


class Terminal:
    """`with Terminal(learner, "-m", "course", "watch") as terminal:`; the program is ended at the end."""

    def __init__(self, learner: Learner, *command: str, rows: int = 24, columns: int = 80, **environment: str):
        import fcntl
        import pty
        import struct
        import termios

        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.modes = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=learner.root, stdin=slave, stdout=slave, stderr=slave,
            env=learner.environment(TERM="xterm-256color", **environment), start_new_session=True,
        )  # fmt: skip
        self.text = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self.master, 65536):
                self.text += chunk.decode("utf-8", errors="replace")
        except OSError:  # the program has ended
            pass

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None):
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)

    def screen(self) -> str:
        """The last picture that was drawn, without colours."""
        last = self.text.rpartition(CLEAR)[2]
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).replace("\r\n", "\n")

    def wait_for(self, words: str, seconds: float = 100.0) -> str:
        """The first screen that holds the words, wherever its lines are broken."""
        end = time.monotonic() + seconds
        while " ".join(words.split()) not in " ".join((screen := self.screen()).split()):
            assert time.monotonic() < end, f"no '{words}' within {seconds} s on:\n{screen}"
            assert self.process.poll() is None, f"ended with {self.process.poll()}:\n{screen}"
            time.sleep(0.01)
        return screen

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait(self, seconds: float = 100.0) -> int:
        return self.process.wait(seconds)
