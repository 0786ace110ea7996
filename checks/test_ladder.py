"""python -m course ladder: every finished stage for the same time, and what is left of it when it is interrupted."""

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import training.config
from course import messages
from course.__main__ import main as course
from course.commands import ladder
from course.commands.ladder import telling_line
from course.pages.ladder_picture import page, share
from course.pages.rungs import Ladder, Rung, bits_of_pairs
from course.stages import STAGES

Climb = Callable[..., Path]


@pytest.fixture
def climb(tmp_path: Path, play: Path, monkeypatch: pytest.MonkeyPatch) -> Climb:
    """The command with small models and a short text; gives the run folder."""
    load = training.config.load_config
    small = {
        "data.path": str(play), "model.n_layers": 1, "model.n_heads": 2, "model.embed_size": 8, "model.block_size": 8,
        "train.batch_size": 2, "train.device": "cpu",
    }  # fmt: skip
    monkeypatch.setattr(
        training.config, "load_config", lambda path, preset, more: load(path, preset, {**more, **small})
    )
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*options: str, code: int = 0) -> Path:
        runs = tmp_path / "runs"
        assert course(["ladder", "--solutions", "--seconds", "0.02", "--runs", str(runs), *options]) == code
        return next(runs.glob("*-ladder"))

    return run


def test_all_stages_climb_and_leave_a_page_a_picture_and_the_figures(climb: Climb, capsys: pytest.CaptureFixture[str]):
    folder = climb("--lang", "en")
    rungs = json.loads((folder / "ladder.json").read_text(encoding="utf-8"))["rungs"]
    assert [rung["stage"] for rung in rungs] == [stage.number for stage in STAGES]
    assert all(rung["steps"] > 0 and 0 < rung["loss"] < 20 and rung["sample"] for rung in rungs)
    assert (folder / "ladder.png").read_bytes().startswith(b"\x89PNG")
    text = (folder / "ladder.html").read_text(encoding="utf-8")
    for stage in STAGES:
        assert stage.title in text
    shown = capsys.readouterr().out
    assert "Dropout" in shown
    assert "ladder.html is ready" in shown


def test_ctrl_c_keeps_the_stages_that_were_trained_to_the_end(
    climb: Climb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    train = ladder.train
    monkeypatch.setattr(ladder, "train", lambda stage, *rest: None if stage.number == 3 else train(stage, *rest))
    folder = climb("--lang", "en")
    found = json.loads((folder / "ladder.json").read_text(encoding="utf-8"))
    assert [rung["stage"] for rung in found["rungs"]] == [1, 2]
    assert "Stopped by Ctrl-C" in capsys.readouterr().out
    assert (folder / "ladder.png").exists()


def test_ctrl_c_before_the_first_stage_is_done_says_so(
    climb: Climb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ladder, "train", interrupted)
    climb("--lang", "en", code=2)
    assert "nothing to show yet" in capsys.readouterr().err


def test_a_stage_whose_training_fails_is_left_out_with_its_reason(
    climb: Climb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    train = ladder.train

    def all_but_5(stage, *rest):
        if stage.number == 5:
            raise RuntimeError("shapes cannot be multiplied\nand more")
        return train(stage, *rest)

    monkeypatch.setattr(ladder, "train", all_but_5)
    folder = climb("--lang", "en")
    found = json.loads((folder / "ladder.json").read_text(encoding="utf-8"))
    assert [rung["stage"] for rung in found["rungs"]] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    shown = " ".join(capsys.readouterr().out.split())
    assert "Stage 5 is left out, as its training failed: RuntimeError: shapes cannot be multiplied. Its test" in shown


def test_without_a_finished_stage_the_first_todo_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    monkeypatch.setattr(ladder, "use_package", lambda solutions: tmp_path / "gpt")
    assert course(["ladder", "--lang", "en"]) == 2
    assert "TODO 1 comes first" in capsys.readouterr().err


def test_seconds_have_to_be_a_positive_number(capsys: pytest.CaptureFixture[str]):
    assert course(["ladder", "--solutions", "--seconds", "-1"]) == 2
    assert "train.seconds" in capsys.readouterr().err


# ---- what it says


def rung(stage: int, bits: float, sample: str = "To be") -> Rung:
    return Rung(stage, STAGES[stage - 1].title, 1000, 100, 5000.0, bits * math.log(2), sample)


LADDER = Ladder(20.0, 6.0, 3.4, [rung(1, 3.5), rung(2, 6.5), rung(10, 2.1, '<script>alert("x")</script> & more')])


def test_the_page_stands_alone_and_escapes_what_the_models_wrote():
    text = page(LADDER)
    assert "{{" not in text
    assert not re.search(r"https?:|src=|@import|url\(|<script", text)
    assert "&lt;script&gt;" in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_is_in_the_learners_language(language: str):
    messages.choose_language(["--lang", language])
    try:
        text = page(LADDER)
    finally:
        messages.choose_language([])
    assert f'<html lang="{language}">' in text
    assert ("글자당 비트" in text) == (language == "ko")


def test_a_bar_is_what_is_saved_beside_guessing_blindly():
    assert share(LADDER, 6.0) == 0
    assert share(LADDER, 6.5) == 0, "worse than blind"
    assert 0 < share(LADDER, 3.5) < share(LADDER, 3.4) < share(LADDER, 2.1) < 1
    assert share(LADDER, 3.4) == pytest.approx((6.0 - 3.4) / (6.0 - 2.0))
    text = page(LADDER)
    assert text.index("<span>10</span>") < text.index("<span>2</span>") < text.index("<span>1</span>"), (
        "the last on top"
    )


def test_the_floor_is_the_conditional_entropy_of_the_text():
    assert bits_of_pairs(torch.tensor([0, 1] * 50)) == 0
    four = torch.tensor([0, 0, 1, 1] * 250 + [0])
    assert bits_of_pairs(four) == pytest.approx(1.0), "after each of two letters comes either as often"
    assert bits_of_pairs(torch.randint(4, (200_000,), generator=torch.Generator().manual_seed(1))) == pytest.approx(
        2.0, abs=1e-3
    )


def test_the_sample_is_a_whole_line_that_tells_something():
    assert telling_line("KING:\nWhat ho, the ship is on the sand!\nAnd") == "What ho, the ship is on the sand!"
    assert telling_line("ab\ncdef\ngh") == "cdef"
    assert telling_line("one long line that was cut off in the middl") == "one long line that was cut off in the middl"
