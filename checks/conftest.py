"""What several checks share: a small text, a small config, and main.py as its user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

Main = Callable[..., subprocess.CompletedProcess[str]]

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
def run_main(tmp_path: Path) -> Main:
    """main.py in a process of its own, with quick settings and run folders under tmp_path/runs."""

    def run(*options: str, quick: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "main.py"), "--runs", str(tmp_path / "runs")]
        return subprocess.run(
            [*command, *(QUICK if quick else ()), *options],
            capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, timeout=120,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"},
        )  # fmt: skip

    return run
