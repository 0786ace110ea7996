"""Runs a stage's tests in this process, on a class that stands in for the one under test."""

import importlib
import inspect
import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from course.stages import STAGES
from tests.kit.failing import explain
from tests.mistakes import PLACES


def stage_of(todo: str) -> int:
    return int(todo.split("-")[0])


def load_catalogue() -> None:
    """Import every stage of the catalogue and every module under test, so that none is first imported while patched."""
    for stage in STAGES:
        importlib.import_module(f"tests.mistakes.stage_{stage.number}")
        for todo in stage.todos:
            importlib.import_module(f"gpt.{todo.file.removesuffix('.py')}")


def cases(module: ModuleType) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Every test of a module with each combination of its parameters: name, function, arguments."""
    for name, function in vars(module).items():
        if not name.startswith("test_") or not callable(function):
            continue
        choices = []
        for mark in getattr(function, "pytestmark", []):
            if mark.name == "slow":
                break
            if mark.name == "parametrize":
                names, values = mark.args[0], mark.args[1]
                keys = [k.strip() for k in names.split(",")] if isinstance(names, str) else list(names)
                rows = [v if len(keys) > 1 else (v,) for v in values]
                choices.append([dict(zip(keys, row, strict=True)) for row in rows])
        else:
            for combination in itertools.product(*choices):
                arguments = {key: value for part in combination for key, value in part.items()}
                assert set(inspect.signature(function).parameters) == set(arguments), f"{name} wants fixtures"
                yield f"{name}{list(arguments.values()) or ''}", function, arguments


def failures(todo: str, stand_in: type, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The tests of the TODO's stage that fail with `stand_in` in the finished class's place, and their messages."""
    module_name, class_name = PLACES[todo].cls.split(".")
    monkeypatch.setattr(importlib.import_module(f"gpt.{module_name}"), class_name, stand_in)
    failed = {}
    for name, function, arguments in cases(importlib.import_module(f"tests.test_{stage_of(todo)}")):
        try:
            function(**arguments)
        except pytest.skip.Exception:
            raise
        except BaseException as error:
            failed[name] = explain(error) or f"{type(error).__name__}: {error}"
    return failed


def says(message: str, explanation: str) -> bool:
    """Whether the explanation is in the message, however its lines are broken."""
    return explanation in " ".join(message.split())
