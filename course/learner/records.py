"""What happened, in one small file: .course/progress.jsonl, a line for each stage that turned green and each hint read.

The file only remembers; whether code is right, the tests alone decide. It may be deleted, moved to another machine or
merged with another one: lines stand for themselves, and their order does not matter.
"""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from ..messages import say
from ..stages import ROOT
from ..terminal import here
from .regions import write_bytes

Record = dict[str, Any]
FILE = ROOT / ".course" / "progress.jsonl"


def stamp() -> str:
    """The time, for the name of a file."""
    return datetime.now().strftime("%Y-%m-%d-%H%M%S")


def add(kind: str, path: Path = FILE, **fields: object) -> None:
    """Append a line. Two programs may do so at once, and a line that was cut off spoils no other."""
    record = {"kind": kind, "at": datetime.now().astimezone().isoformat(timespec="seconds"), **fields}
    path.parent.mkdir(exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, 2)
            cut_off = file.read() != b"\n"
            file.write(b"\n" * cut_off)
        file.write(_line(record))


def read(path: Path = FILE) -> list[Record]:
    """All records, the oldest first. A damaged file is set aside, what can be read in it goes on to count, and a
    line on stderr says so."""
    records, damaged = parse(path.read_bytes() if path.exists() else b"")
    if damaged:
        aside = path.with_name(f"progress-damaged-{stamp()}.jsonl")
        path.replace(aside)
        write_bytes(path, b"".join(map(_line, records)))
        print(say("progress_damaged", lines=damaged, aside=here(aside), kept=len(records)), file=sys.stderr)
    return records


def parse(content: bytes) -> tuple[list[Record], int]:
    """The records, the oldest first, and how many lines are none."""
    records: list[Record] = []
    damaged = 0
    for line in content.splitlines():
        try:
            record = json.loads(line)
            datetime.fromisoformat(record["at"])
            wanted = {"green": {"stage": int, "files": dict}, "hint": {"todo": str}}.get(record["kind"], {"kind": str})
            if not all(isinstance(record[field], kind) for field, kind in wanted.items()):
                raise TypeError
            records.append(record)
        except (ValueError, KeyError, TypeError):
            damaged += bool(line.strip())
    return _sorted(records), damaged


def merge(records: list[Record], path: Path = FILE) -> int:
    """Take in the records of another file. Returns how many are new."""
    mine = read(path)
    new = [record for record in records if record not in mine]
    write_bytes(path, b"".join(map(_line, _sorted(mine + new))))
    return len(new)


def _sorted(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: datetime.fromisoformat(record["at"]).timestamp())


def _line(record: Record) -> bytes:
    return json.dumps(record).encode() + b"\n"
