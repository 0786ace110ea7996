"""pytest --solutions tests the finished code in solutions/gpt/; without it, the learner's in gpt/ is under test."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--solutions", action="store_true", help="test the finished code in solutions/gpt/")
    parser.addoption("--no-record", action="store_true", help="do not note down what is green")
    parser.addini(
        "time_limit", "seconds after which one exact stage test is stopped; comparisons have 20 times", default="30"
    )


def pytest_configure(config: pytest.Config) -> None:
    solutions = config.getoption("--solutions")
    sys.path.insert(0, str(ROOT / "solutions" if solutions else ROOT))
    if solutions:
        if not (ROOT / "solutions").is_dir():
            from course.stages import NO_SOLUTIONS

            raise pytest.UsageError(NO_SOLUTIONS)
        from jaxtyping import install_import_hook

        install_import_hook("gpt", "beartype.beartype")  # a shape that is not as its signature says is an error
    elif not config.getoption("--no-record"):
        from course.learner.recording import Recorder

        config.pluginmanager.register(Recorder())


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("--solutions"):
        return "code under test: solutions/gpt/ (the finished course)"
    return "code under test: gpt/ (yours; --solutions tests the finished code)"
