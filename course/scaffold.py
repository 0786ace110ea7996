"""From the finished package to the learner's: solutions/gpt/ -> gpt/, with each TODO region emptied.

A region is

    # TODO 5: what is to be done, in one line
    ...the finished code...
    # END TODO 5

and in gpt/ its code is one line: raise NotImplementedError("TODO 5: what is to be done, in one line").
"""

import re
from pathlib import Path

from training.errors import UserError

from .stages import ROOT

BEGIN = re.compile(r"(?P<indent> *)# TODO (?P<number>\d+(-\d+)?): (?P<task>.+)")
END = re.compile(r"(?P<indent> *)# END TODO (?P<number>\d+(-\d+)?)")


class ScaffoldError(UserError):
    """A marker that is nested, unclosed, stray or misspelt; the message has the file and the line."""


def scaffold_text(source: str, name: str = "<text>") -> str:
    """`source` with the code between each pair of markers replaced by one raise."""
    out: list[str] = []
    region: re.Match[str] | None = None
    for number, line in enumerate(source.splitlines(keepends=True), start=1):
        begin, end = BEGIN.fullmatch(line.rstrip("\n")), END.fullmatch(line.rstrip("\n"))
        where = f"{name}:{number}"
        if begin:
            if region:
                raise ScaffoldError(f"{where}: TODO {begin['number']} begins inside TODO {region['number']}")
            if '"' in begin["task"] or "\\" in begin["task"]:
                raise ScaffoldError(f"{where}: a TODO's text may hold neither a double quote nor a backslash")
            region = begin
            out += [line, waiting_line(begin)]
        elif end:
            if not region or end["number"] != region["number"] or end["indent"] != region["indent"]:
                raise ScaffoldError(f"{where}: END TODO {end['number']} closes no region that is open here")
            region = None
            out.append(line)
        elif re.search(r"#\s*(END\s+)?TODO", line, re.IGNORECASE):
            raise ScaffoldError(f"{where}: not a marker, but close to one: {line.strip()}")
        elif not region:
            out.append(line)
    if region:
        raise ScaffoldError(f"{name}: TODO {region['number']} is not closed")
    return "".join(out)


def waiting_line(begin: re.Match[str]) -> str:
    """What stands in gpt/ in the place of the code."""
    return f'{begin["indent"]}raise NotImplementedError("TODO {begin["number"]}: {begin["task"]}")\n'


def scaffold(root: Path = ROOT) -> dict[Path, str]:
    """The path in gpt/ and the text of every file of the learner's package. Raises ScaffoldError if there is none."""
    sources = sorted((root / "solutions" / "gpt").glob("*.py"))
    if not sources:
        raise ScaffoldError("there is no solutions/gpt/ here to make gpt/ from; python -m course reset N mends a TODO")
    return {root / "gpt" / s.name: scaffold_text(s.read_text(encoding="utf-8"), s.name) for s in sources}


def write(root: Path = ROOT) -> list[Path]:
    """Bring gpt/ in step with solutions/gpt/. Returns the files that changed."""
    changed = differing(root)
    files = scaffold(root)
    (root / "gpt").mkdir(exist_ok=True)
    for path in changed:
        if path in files:
            path.write_text(files[path], encoding="utf-8", newline="\n")
        else:
            path.unlink()
    return changed


def differing(root: Path = ROOT) -> list[Path]:
    """The files of gpt/ that are not, byte for byte, what the scaffold makes; those that are too many, too."""
    files = scaffold(root)
    wrong = [p for p, text in files.items() if not p.exists() or p.read_bytes() != text.encode()]
    return wrong + sorted(p for p in (root / "gpt").glob("*.py") if p not in files)


def fresh_folder(root: Path) -> Path:
    """Where a release without solutions/ keeps gpt/ as it came."""
    return root / "course" / "fresh"
