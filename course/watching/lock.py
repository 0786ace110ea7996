"""A lock that the system takes back when its holder ends, however it ends: nothing to tidy up after a crash."""

import os
import sys
from pathlib import Path
from typing import BinaryIO

from training.errors import UserError

from ..messages import say

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(1 << 20)  # beyond the process id, which others may go on to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def hold(path: Path) -> BinaryIO:
    """Lock the file until it is closed. Raises UserError if another process holds it."""
    path.parent.mkdir(exist_ok=True)
    file = path.open("a+b")
    try:
        _lock(file)
    except OSError:
        file.seek(0)
        raise UserError(say("watch_two", pid=file.read(20).decode(errors="replace"))) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()
    return file
