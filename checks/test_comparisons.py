"""The comparisons of the stage tests: each is calibrated, and fails without its improvement, with a reason given."""

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import calibrate
from checks.conftest import ROOT
from course.stages import STAGES
from tests.experiments import all_experiments, experiments
from tests.experiments.stage_5 import SATURATION
from tests.experiments.stage_9 import GRADIENTS
from tests.kit import Wrong, experiment
from tests.kit.charts import aligned, chart, smooth
from tests.kit.costs import one_thread
from tests.kit.experiment import Arm, Asked, Comparison, Outcome, prove

EXPERIMENTS = [*all_experiments()]


@pytest.mark.parametrize("stage", [stage.number for stage in STAGES])
def test_every_experiment_is_a_test_of_its_stage_and_the_other_way_round(stage: int):
    tests = vars(importlib.import_module(f"tests.test_{stage}"))
    marked = [
        name
        for name, value in tests.items()
        if any(mark.name == "comparison" for mark in getattr(value, "pytestmark", []))
    ]
    assert marked == [each.name for each in experiments(stage)] != []


# ---- the calibration


@pytest.mark.parametrize("each", EXPERIMENTS, ids=lambda each: each.name)
def test_the_calibration_is_of_the_comparison_as_it_is_and_leaves_no_chance(each: Any):
    entry = calibrate.read_result()[each.name]
    assert entry["settings"] == calibrate.settings(each), "changed since: python benchmarks/calibrate.py"
    assert entry["runs"] >= 100
    assert entry["runs with the improvement taken out"] >= 40
    assert 0 <= entry["chance of a false failure"] < 1e-6
    assert 0 <= entry["chance to hold with the improvement taken out"] < 1e-6
    if isinstance(each, Comparison):
        assert entry["conditions"][0]["asked for"].endswith(f"at least {each.margin:.4g}")


def test_the_calibration_has_no_entry_too_many_and_its_page_is_in_step():
    entries = calibrate.read_result()
    assert [*entries] == [each.name for each in EXPERIMENTS]
    page = (ROOT / "benchmarks" / "calibration.md").read_text(encoding="utf-8")
    assert page == calibrate.page(entries)


def test_the_chance_is_that_of_students_t_or_of_a_heavier_tail():
    values = [math.sin(i) + math.sin(i * i) for i in range(200)]
    near, model = calibrate.chance_below(values, -6.0)
    assert model == "normal"
    assert 1e-9 < near < 1e-5
    assert calibrate.chance_below(values, 0.0)[0] == pytest.approx(0.5, abs=0.05)
    skewed = [-math.exp(value) for value in values]
    heavy, model = calibrate.chance_below(skewed, -20.0)
    assert model == "exponential"
    assert heavy > 1e-5
    assert calibrate.chance_below([1.0] * 100, 0.5) == (0.0, "no spread")
    assert calibrate.student_tail(1.0, 1) == pytest.approx(0.25)  # that of Cauchy: 1/2 - atan(1) / pi


def test_ratios_are_judged_by_their_logarithms_and_both_ways_round():
    fast = Asked("times as fast", 50.0, 5.0, ratio=True)
    values = [50 * math.exp(0.3 * math.sin(i)) for i in range(100)]
    found = calibrate.condition(fast, values, [1 + 0.01 * math.sin(i) for i in range(100)])
    assert found["chance of a false failure"] < 1e-9
    assert found["chance to hold with the improvement taken out"] < 1e-9
    assert found["worst"] == min(values)


# ---- the machinery


class Guess:
    """A task without a text: the next of two tokens is always the same."""

    vocab_size, context = 2, 4

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def batch(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        self.drawn.append(torch.rand(1, generator=generator).item())
        return torch.zeros(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.long)

    def loss(self, model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten())

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"loss": self.loss(model, *self.batch(torch.Generator())).item()}


class Deaf(nn.Module):
    """Lets nothing through, so that only the bias of lm_head can learn."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


HEARING = Arm("hearing", "gpt_v2.GPTVer2", nn.Identity)
DEAF = Arm("deaf", "gpt_v2.GPTVer2", Deaf)


def comparison(**changes: Any) -> Comparison:
    given = Comparison(
        name="test_guess", stage=2, claim="hearing beats deafness", task=Guess(), width=8, before=DEAF, after=HEARING,
        steps=10, margin=0.1, reason="Is anything heard?", learning_rate=0.1, figure="loss",
    )  # fmt: skip
    return replace(given, **changes)


def test_both_arms_get_the_same_batches_and_begin_alike():
    task = Guess()
    again = HEARING._replace(name="again")
    outcome = comparison(task=task, before=HEARING, after=again, pairs=2).measure(seed=7)
    runs = [task.drawn[i : i + 10] for i in range(0, len(task.drawn), 11)]
    assert runs[0] == runs[2]
    assert runs[1] == runs[3]
    assert runs[0] != runs[1]
    assert outcome.rows[1][1:3] == outcome.rows[2][1:3], "two equal arms give the same"
    assert outcome.asked[0].value == 0.0


def test_a_comparison_without_its_improvement_fails_with_the_figures_and_the_likely_reason():
    comparison_holds = comparison()
    prove(comparison_holds)
    with pytest.raises(Wrong) as failed:
        prove(comparison(after=DEAF._replace(name="deaf as well")))
    message = str(failed.value)
    assert "Not so here: hearing beats deafness." in message
    assert "gain in loss: 0; asked for: at least 0.1" in message
    assert "deaf as well" in message
    assert message.endswith("Is anything heard?")
    assert len(message.splitlines()) <= 24


@pytest.mark.parametrize("each", [GRADIENTS, SATURATION], ids=lambda each: each.name)
def test_what_costs_nothing_is_measured_here_too_and_fails_with_the_improvement_taken_out(each: Any):
    assert all(asked.holds for asked in each.measure(3).asked)
    assert not all(asked.holds for asked in each.measure(3, alike=True).asked)


def test_a_level_that_cannot_be_crossed_is_a_condition_of_its_own():
    outcome = comparison(level=("what is possible", 0.9)).measure(seed=1)
    assert [asked.fact for asked in outcome.asked] == [False, True]
    assert not outcome.asked[1].holds, "here, deaf is below it"


class Exploding(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float("nan")


def test_an_arm_that_diverges_loses_whichever_it_is():
    exploding = DEAF._replace(name="exploding", contextualizer=Exploding)
    prove(comparison(before=exploding))
    with pytest.raises(Wrong, match="exploding"):
        prove(comparison(after=exploding))


class Waiting(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("TODO 5: score, scale, and so on")


class NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("changed in place\nand more")


class Cut(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return NoWayBack.apply(x)


def test_an_unwritten_todo_is_left_to_the_message_that_all_tests_have():
    with pytest.raises(NotImplementedError, match="TODO 5"):
        prove(comparison(after=HEARING._replace(contextualizer=Waiting)))


def test_an_error_far_from_the_learners_lines_names_the_arm_and_the_exact_checks():
    with pytest.raises(Wrong, match=r"`cut` ended with an error.\nRuntimeError: changed in place\n.*exact checks"):
        prove(comparison(after=HEARING._replace(name="cut", contextualizer=Cut)))


def test_the_picture_is_drawn_where_one_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(experiment, "ROOT", tmp_path)
    path = tmp_path / "runs" / "tests" / "2-guess.png"
    prove(comparison(steps=60, margin=0.01), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_number_of_threads_is_one_only_meanwhile():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


# ---- what it shows


def test_the_chart_is_ascii_and_as_wide_as_a_small_terminal():
    curves = {"falling": [3 - i / 50 for i in range(100)], "flat": [2.0] * 100}
    lines = chart(curves, ("level", 0.5))
    assert all(line.isascii() and len(line) <= 76 for line in lines)
    assert lines[1].startswith("  3.00 |o")
    assert sum("----" in line for line in lines) == 2, "the level and the axis"
    assert lines[-1].split() == ["o", "falling", "*", "flat"]


def test_a_curve_is_smoothed_between_its_ends():
    curve = [float(i % 2) for i in range(200)]
    middle = smooth(curve, 50)[10:40]
    assert all(0.3 < value < 0.7 for value in middle)
    assert smooth([5.0, 1.0], 3)[0] == 5.0
    assert smooth([4.0], 3) == [4.0, 4.0, 4.0]


def test_the_table_is_in_columns():
    assert aligned([["", "loss"], ["before", "2.5"]]) == ["        loss", "before   2.5"]


def test_what_an_outcome_says_has_everything_in_it():
    outcome = Outcome(
        [["", "loss"], ["a", "1"]], [Asked("gain", 0.5, 0.25)], {"a": [2.0, 1.0]}, ("level", 0.5), ["note"]
    )
    said = "\n".join(outcome.lines())
    for part in ("loss", "note", "level: 0.5000", "gain: 0.5; asked for: at least 0.25"):
        assert part in said
