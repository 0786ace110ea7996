"""Single keys, without Enter, on every system."""

import os
import re
import sys
import time

if sys.platform == "win32":
    import msvcrt
else:
    import select
    import termios
    import tty

HANGUL = str.maketrans("ㅂㄱㅗㅣㅡ", "qrhlm")  # the same keys, while a Korean keyboard writes Hangul
ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[@-~]|O.|.)?")  # what arrows and function keys send


class Keys:
    """with Keys() as keys: keys.read(timeout=1.0). Where stdin is no terminal, no key ever comes."""

    def __enter__(self) -> "Keys":
        self.pending = ""
        self.terminal = sys.stdin is not None and sys.stdin.isatty()
        if sys.stdin and self.terminal and sys.platform != "win32":
            self.before = termios.tcgetattr(sys.stdin.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        if sys.stdin and self.terminal and sys.platform != "win32":
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self.before)

    def read(self, timeout: float | None = None) -> str | None:
        """The next key, in lower case; None when none came in time, or none can come."""
        if not self.terminal:
            time.sleep(timeout or 0)
            return None
        end = time.monotonic() + (timeout if timeout is not None else 1e9)
        while not self.pending:
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.pending = _waiting_keys(min(left, 0.5))
        key, self.pending = self.pending[0], self.pending[1:]
        return key.lower().translate(HANGUL)


if sys.platform == "win32":

    def _waiting_keys(timeout: float) -> str:
        end = time.monotonic() + timeout
        while not msvcrt.kbhit():
            if time.monotonic() > end:
                return ""
            time.sleep(0.02)
        key = msvcrt.getwch()
        if key == "\x03":
            raise KeyboardInterrupt
        if key in "\0\xe0":  # an arrow or a function key comes in two parts
            msvcrt.getwch()
            return ""
        return key

else:

    def _waiting_keys(timeout: float) -> str:
        tty.setcbreak(
            sys.stdin.fileno(), termios.TCSANOW
        )  # each time, for a shell resets it when it brings us back (fg)
        if not select.select([sys.stdin], [], [], timeout)[0]:
            return ""
        keys = os.read(sys.stdin.fileno(), 64)
        if not keys:
            raise EOFError("the terminal is gone")
        return ESCAPES.sub(b"", keys).decode(errors="ignore")
