"""Runs a stage's tests in this process, on a class that stands in for the one under test."""

import importlib
import inspect
import itertools
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any

import pytest

import tests.mistakes
from course.stages import STAGES
from tests.kit.failing import explain
from tests.kit.loading import fresh_torch
from tests.mistakes import PLACES, Mistake, Outcome, outcomes


def stage_of(todo: str) -> int:
    return int(todo.split("-")[0])


def load_catalogue() -> None:
    """Import every stage of the catalogue and every module under test, so that none is first imported while patched."""
    for stage in STAGES:
        importlib.import_module(f"tests.mistakes.stage_{stage.number}")
        importlib.import_module(f"tests.test_{stage.number}")
        for todo in stage.todos:
            importlib.import_module(f"gpt.{todo.file.removesuffix('.py')}")


def finished(todo: str) -> Any:
    module, name = PLACES[todo].cls.split(".")
    return getattr(importlib.import_module(f"gpt.{module}"), name)


@lru_cache
def known_outcomes(todo: str) -> dict[Mistake, Outcome]:
    """A mistake stands in for the whole method, and so its outcome is the same in whatever class it is put."""
    return outcomes(todo, finished(todo))


@lru_cache
def cases(stage: int) -> list[tuple[str, Any, dict[str, Any]]]:
    """Name, function and arguments of the tests of a stage, for each combination of parameters; no comparisons."""
    return list(_cases(importlib.import_module(f"tests.test_{stage}")))


def _cases(module: ModuleType) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for name, function in vars(module).items():
        marks = getattr(function, "pytestmark", [])
        if not name.startswith("test_") or not callable(function) or any(mark.name == "comparison" for mark in marks):
            continue
        choices = []
        for mark in marks:
            if mark.name == "parametrize":
                names, values = mark.args[0], mark.args[1]
                keys = [k.strip() for k in names.split(",")] if isinstance(names, str) else list(names)
                rows = [v if len(keys) > 1 else (v,) for v in values]
                choices.append([dict(zip(keys, row, strict=True)) for row in rows])
        for combination in itertools.product(*choices):
            arguments = {key: value for part in combination for key, value in part.items()}
            assert set(inspect.signature(function).parameters) == set(arguments), f"{name} wants fixtures"
            yield f"{name}{list(arguments.values()) or ''}", function, arguments


def failures(todo: str, stand_in: type, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The tests of the TODO's stage that fail with `stand_in` in the finished class's place, and their messages."""
    module_name, class_name = PLACES[todo].cls.split(".")
    known = known_outcomes(todo)
    monkeypatch.setattr(tests.mistakes, "outcomes", lambda _, cls: known)
    monkeypatch.setattr(importlib.import_module(f"gpt.{module_name}"), class_name, stand_in)
    return failures_of(stage_of(todo))


def failures_of(stage: int) -> dict[str, str]:
    """The tests of a stage that fail as things are, and their messages."""
    failed = {}
    for name, function, arguments in cases(stage):
        try:
            with fresh_torch(threads=1):
                function(**arguments)
        except pytest.skip.Exception:
            raise
        except BaseException as error:
            failed[name] = explain(error) or f"{type(error).__name__}: {error}"
    return failed
