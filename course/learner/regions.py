"""TODO regions in the learner's files, which may be half done, have lost their markers, or be gone."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from ..scaffold import BEGIN, END, waiting_line


class Region(NamedTuple):
    """Lines first to last, counted from 0: the markers, and between them the learner's code."""

    first: int
    last: int
    task: str
    waiting: str  # the line that stood there first


def read_source(path: Path) -> str:
    """The text, every byte of which `write_source` can give back: also line ends, and what is not UTF-8."""
    return path.read_bytes().decode("utf-8", errors="surrogateescape")


def write_source(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", errors="surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Whole or not at all: an interruption or a full disk leaves the old file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def find_region(text: str, number: str) -> Region | None:
    """The region of a TODO, or None where a marker is missing or stands twice."""
    lines = text.splitlines()
    begins = [(n, m) for n, line in enumerate(lines) if (m := BEGIN.fullmatch(line.rstrip())) and m["number"] == number]
    ends = [n for n, line in enumerate(lines) if (m := END.fullmatch(line.rstrip())) and m["number"] == number]
    if len(begins) != 1 or len(ends) != 1 or begins[0][0] >= ends[0]:
        return None
    first, begin = begins[0]
    return Region(first, ends[0], begin["task"], waiting_line(begin))


def replace_region(text: str, region: Region, body: str) -> str:
    """The text with other lines between the markers, in the text's own line ends."""
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines[region.first].endswith("\r\n") else "\n"
    new = [line.rstrip("\r\n") + newline for line in body.splitlines(keepends=True)]
    return "".join(lines[: region.first + 1] + new + lines[region.last :])


def fingerprint(path: Path) -> str:
    """The same for the same code, whatever its line ends; nothing for a file that is gone."""
    if not path.exists():
        return ""
    return hashlib.sha256(b"\n".join(path.read_bytes().splitlines())).hexdigest()[:16]
