"""What several checks share: a small text, a small config, and main.py as its user runs it."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import main

ROOT = Path(__file__).resolve().parent.parent


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Main = Callable[..., Done]

QUICK = (
    "--model.n_layers=1", "--model.n_heads=2", "--model.embed_size=16", "--model.block_size=16",
    "--train.seconds=none", "--train.iterations=12", "--train.batch_size=4", "--train.evaluations=2",
    "--train.device=cpu", "--sample.length=20",
)  # fmt: skip


@pytest.fixture(autouse=True)
def finished_code_only(request: pytest.FixtureRequest) -> None:
    """The checks are about the finished course; what a learner has written so far is the business of tests/."""
    if not request.config.getoption("--solutions"):
        pytest.skip("checks/ looks at the finished course: pytest --solutions")


@pytest.fixture
def play(tmp_path: Path) -> Path:
    """A file with a text of some 6,000 characters."""
    path = tmp_path / "play.txt"
    lines = [f"SMITH:\nThe {n} hammers fell and {n * n % 97} sparks flew up.\n\n" for n in range(120)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def run_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Main:
    """main.py with quick settings, in this process, as if called in tmp_path; run folders go to tmp_path/runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*options: str, quick: bool = True) -> Done:
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = main.main(["--runs", str(tmp_path / "runs"), *(QUICK if quick else ()), *options])
        return Done(code, out.getvalue(), err.getvalue())

    return run
