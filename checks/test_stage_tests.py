"""The stage tests, tested: they reject every known mistake under its own name, and accept every right version."""

import importlib
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from checks.right_versions import RIGHT_VERSIONS
from checks.stage_runner import failures, finished, known_outcomes, load_catalogue, stage_of
from checks.wrong_versions import WRONG_VERSIONS
from course.stages import STAGES
from tests.mistakes import MISTAKES, PLACES, Mistake, same, wrong_version

load_catalogue()
for stage in STAGES:
    importlib.import_module(f"checks.right_versions.stage_{stage.number}")

pytestmark = pytest.mark.filterwarnings("ignore")  # as for a learner, whose warnings are no failures
TODOS = [todo.number for stage in STAGES for todo in stage.todos]
WRONG = [(todo, version) for todo, version in WRONG_VERSIONS if todo in TODOS]  # a release may have fewer stages


@pytest.mark.parametrize("wrong", MISTAKES, ids=lambda m: f"{m.todo}-{m.name}")
def test_a_known_mistake_is_rejected_under_its_own_name(wrong: Mistake, monkeypatch: pytest.MonkeyPatch):
    assert wrong.explanation, f"{wrong.name} needs a docstring: what is wrong, for the learner who made the mistake"
    failed = failures(wrong.todo, wrong_version(finished(wrong.todo), wrong), monkeypatch)
    assert failed, "the stage's tests accept it"
    said = {test: " ".join(message.split()) for test, message in failed.items()}
    assert any(wrong.explanation in message for message in said.values()), failed
    for other in MISTAKES:
        if other.explanation != wrong.explanation:
            assert not any(other.explanation in message for message in said.values()), other.name
    for message in failed.values():
        assert len(message.splitlines()) <= 24, message
        assert max(map(len, message.splitlines())) <= 80, message


@pytest.mark.parametrize(("todo", "version"), RIGHT_VERSIONS, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_a_right_version_is_accepted(todo: str, version: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    stand_in = wrong_version(finished(todo), Mistake(todo, version))
    assert failures(todo, stand_in, monkeypatch) == {}


@pytest.mark.parametrize(("todo", "version"), WRONG, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_a_wrong_version_without_a_name_is_rejected_and_not_called_by_anothers(
    todo: str, version: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    failed = failures(todo, wrong_version(finished(todo), Mistake(todo, version)), monkeypatch)
    assert failed, "the stage's tests accept it"
    assert not any("Known mistake" in message for message in failed.values()), failed


BY_THEIR_CALLS = {"7-1", "7-3", "8-1"}  # what is observed of these is also which layer gets what


@pytest.mark.parametrize(("todo", "version"), RIGHT_VERSIONS, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_how_right_code_is_written_does_not_hide_a_mistake_in_it(todo: str, version: Callable[..., Any]):
    """What is observed to recognise a mistake is the same for every right version."""
    if todo not in BY_THEIR_CALLS and version.__name__ != "with_a_group_norm_of_one_group":
        seen = PLACES[todo].observe(wrong_version(finished(todo), Mistake(todo, version)))
        assert same(seen, PLACES[todo].observe(finished(todo)))


@pytest.mark.parametrize("todo", TODOS)
def test_no_two_mistakes_of_a_todo_have_the_same_outcome(todo: str):
    outcomes = {m.name: outcome for m, outcome in known_outcomes(todo).items()}
    outcomes["the finished code"] = PLACES[todo].observe(finished(todo))
    for (name, a), (other, b) in combinations(outcomes.items(), 2):
        assert not same(a, b), f"{name} and {other} cannot be told apart"


def test_every_todo_has_its_mistakes_and_right_versions():
    mistakes, right = Counter(m.todo for m in MISTAKES), Counter(todo for todo, _ in RIGHT_VERSIONS)
    assert {todo: mistakes[todo] for todo in TODOS if mistakes[todo] < 8} == {}
    assert {todo: right[todo] for todo in TODOS if right[todo] < 3} == {}


def test_every_mistake_is_explained_in_a_few_lines():
    for wrong in MISTAKES:
        assert 40 <= len(wrong.explanation) <= 400, wrong.name
    assert len({m.explanation for m in MISTAKES}) == len(MISTAKES)
    assert {stage_of(m.todo) for m in MISTAKES} == {s.number for s in STAGES}
