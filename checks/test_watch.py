"""python -m course watch, in a real pseudo-terminal, on stage tests that are small or real."""

import importlib.util
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from checks.learner import Learner
from checks.pseudo_terminal import Terminal
from course.messages import choose_language
from course.stages import STAGES
from course.watching import lock, screen
from course.watching.changes import Changes
from course.watching.running import Outcome, Result

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pty") is None, reason="this system has no pseudo-terminals")

FILE = "gpt/head_v1.py"  # of stage 2
TEST = """
import importlib, os, pytest, time
from tests.kit import Wrong, load, show


def test_the_answer():
    got = load("head_v1.HeadVer1")().answer()
    if got != 42:
        raise Wrong(f"HeadVer1().answer() should be 42, and is {got}.")


def test_it_is_a_number():
    load("head_v1.HeadVer1")().answer() + 1


@pytest.mark.comparison
def test_it_beats_the_others():
    show("the others: 41", "yours: 42")
"""
CODE = "import os, time\n\n\nclass HeadVer1:\n    def answer(self):\n        return {}\n"


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    """Has come to stage 2, whose test is TEST."""
    learner = Learner(tmp_path, tests=True)
    learner.file("tests/test_2.py", TEST)
    learner.solve(1, 2)
    learner.file(".course/progress.jsonl", '{"kind": "green", "at": "2026-01-31T12:00:00", "stage": 1, "files": {}}\n')
    learner.file(FILE, CODE.format(41))
    return learner


@pytest.fixture
def watch(learner: Learner) -> Iterator[Terminal]:
    with Terminal(learner, "-m", "course", "watch") as terminal:
        yield terminal


def test_it_goes_from_red_to_green_and_on_to_the_next_stage(learner: Learner, watch: Terminal):
    shown = watch.wait_for("1 failed")
    assert "Stage 2 of 10: The average of the past" in shown
    assert "FAILED  test_the_answer\n\nHeadVer1().answer() should be 42, and is 41.\n" in shown
    learner.file(FILE, CODE.format(42))
    shown = watch.wait_for("Stage 2 is green.")
    assert "3 passed, 0 failed" in shown
    assert "    the others: 41\n    yours: 42\n" in shown
    line = learner.file("gpt/head_v2.py").partition("raise Not")[0].count("\n") + 1
    assert f"Next: TODO 3 in gpt/head_v2.py, line {line}. Save it, and its test runs." in shown
    assert re.search(r"2  The average of the past .* green", learner.course().stdout)
    learner.file("tests/test_3.py", "def test_three():\n    assert False, 'not yet'\n")
    learner.file("gpt/head_v2.py", learner.file("gpt/head_v2.py") + "\n")
    shown = watch.wait_for("not yet")
    assert "Stage 3 of 10" in shown
    assert "looking each" not in shown  # the file events are trusted


def test_no_comparison_is_run_while_an_exact_check_is_red(learner: Learner, watch: Terminal):
    shown = watch.wait_for("1 passed, 1 failed, 1 to go")
    time.sleep(0.5)
    assert "1 to go" in watch.screen()
    assert "yours: 42" not in shown
    learner.file("tests/test_2.py", TEST.replace('show("the', 'time.sleep(60), show("the'))
    learner.file(FILE, CODE.format(42))
    assert "test_it_beats_the_others: " in watch.wait_for("All 2 exact checks pass. Now the comparisons:")


BROKEN = {
    CODE.format("42 +"): ["gpt/head_v1.py, line 6: invalid syntax", "return 42 +"],
    CODE.format("os._exit(7)"): ["process ended by itself (7), test_the_answer.", "Does the code end"],
    CODE.format("1 / 0"): ["gpt/head_v1.py, line 6, in answer:", "ZeroDivisionError: division by zero"],
    CODE.format("print('x' * 10**6) or breakpoint()"): ["A breakpoint() was left behind"],
    "raise SystemExit('bye')\n": ["SystemExit: bye"],
}


def test_code_that_breaks_is_a_message_and_the_loop_goes_on(learner: Learner, watch: Terminal):
    watch.wait_for("1 failed")
    for code, words in BROKEN.items():
        learner.file(FILE, code)
        shown = watch.wait_for(words[0])
        assert all(word in shown for word in words), shown
    learner.file(FILE, CODE.format(42))
    watch.wait_for("Stage 2 is green.")


def test_an_endless_loop_is_named_with_its_line_and_a_save_starts_afresh(learner: Learner, watch: Terminal):
    watch.wait_for("1 failed")
    learner.file(FILE, CODE.format("[None for _ in iter(int, 1)]"))
    shown = watch.wait_for("a loop that never ends?")
    assert "gpt/head_v1.py, line 6: a loop that never ends? Change it and save" in shown.replace("\n", " ")
    learner.file(FILE, CODE.format(42))
    watch.wait_for("Stage 2 is green.")


def test_a_burst_of_saves_ends_with_the_last_one_and_never_tests_twice_at_once(learner: Learner, watch: Terminal):
    learner.file("tests/test_2.py", TEST + OVERLAP)
    watch.wait_for("failed")
    for number in (1, 2, 3, 42):
        learner.file(FILE, CODE.format(number))
        time.sleep(0.15)
    watch.wait_for("Stage 2 is green.")
    assert "overlap" not in learner.file("log")


OVERLAP = """

def test_overlap():
    with open("log", "a") as file:
        try:
            os.kill(int(open("pid").read()), 0)
            file.write("overlap\\n")
        except (OSError, ValueError):
            file.write("alone\\n")
    with open("pid", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(0.3)
    os.remove("pid")
"""


def test_keys_show_hint_list_and_everything_run_again_and_quit(learner: Learner, watch: Terminal):
    watch.wait_for("1 failed")
    watch.press("h")
    assert "Look at the shapes." in watch.wait_for("Hint 1 of 3")
    watch.press(" ")
    watch.wait_for("FAILED  test_the_answer")
    watch.press("ㅗ")  # h, while a Korean keyboard is on
    watch.wait_for("Hint 2 of 3")
    watch.press("x")
    watch.press("l")
    assert "Next: TODO" not in watch.wait_for("Stage 2 is written")
    watch.press("x")
    watch.press("m")
    watch.wait_for("any key: back")
    learner.file("tests/test_2.py", TEST.replace("should be 42", "ought to be 42"))
    watch.press("r")
    watch.wait_for("ought to be 42")
    watch.press("\x1b[A")  # an arrow is no key of ours
    watch.press("q")
    assert watch.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_terminal_processes_and_lock_are_as_they_were(
    learner: Learner, watch: Terminal, number: signal.Signals
):
    import termios

    watch.wait_for("1 failed")
    assert termios.tcgetattr(watch.slave) != watch.modes
    children = descendants(watch.process.pid)
    assert children
    watch.process.send_signal(number)
    code = watch.wait()
    if number != signal.SIGKILL:
        assert code == (130 if number == signal.SIGINT else 0)
        assert termios.tcgetattr(watch.slave) == watch.modes
    assert_gone(children)
    lock.hold(learner.root / ".course/watch.lock").close()


def descendants(pid: int) -> list[str]:
    return [
        child
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text(encoding="utf-8").split()
    ]


def assert_gone(processes: list[str]) -> None:
    end = time.monotonic() + 100
    while alive := [process for process in processes if Path(f"/proc/{process}").exists()]:
        assert time.monotonic() < end, alive
        time.sleep(0.05)


def test_two_watches_at_once_are_one_too_many(learner: Learner):
    with lock.hold(learner.root / ".course/watch.lock"):
        done = learner.course("watch")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: a watch is already running (process {os.getpid()}); one is enough, and two would test at once\n"
    )


def test_where_no_file_events_arrive_it_looks_for_itself_and_says_so(learner: Learner):
    learner.file("deaf/watchfiles.py", "import time\n\n\ndef watch(*_, **__):\n    time.sleep(1000)\n    yield\n")
    with Terminal(learner, "-m", "course", "watch", PYTHONPATH=str(learner.root / "deaf")) as watch:
        assert "looking each" not in watch.wait_for("1 failed")
        learner.file(FILE, CODE.format(42))
        watch.wait_for("Stage 2 is green.")
        learner.file(FILE, CODE.format(40))
        watch.wait_for("and is 40")
        watch.wait_for("(no file events: looking each 0.2 s)")


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (12, 40), (60, 200)])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_picture_fits_the_terminal(rows: int, columns: int, language: str):
    choose_language(["--lang", language])
    result = Result(STAGES[6], exact=40, comparisons=2)
    pictures = [screen.picture(result, columns, rows)]
    result.tests = [Outcome("test_" + "long_" * 30, False, "\n".join("0.1234 " * 20 for _ in range(99)), "")]
    pictures.append(screen.picture(result, columns, rows, note="(no file events)"))
    result.stop("Silent. " * 100)
    pictures.append(screen.picture(result, columns, rows))
    choose_language([])
    for lines in pictures:
        assert len(lines) <= rows
        assert max(cell_len(line.text) for line in lines) <= columns
    assert any(line.text.endswith(": m") for line in pictures[1])


def test_the_first_failure_of_code_that_is_there_is_shown_before_a_todo_that_waits():
    waits = Outcome("test_b", False, "TODO 7-2 is waiting in gpt/multi_head_v2.py, line 50:", "")
    again = Outcome("test_c", False, "As in test_b.", "")
    wrong = Outcome("test_d", False, "HeadVer1()(x) has the wrong shape.", "")
    assert screen.most_telling([waits, again, wrong]) == wrong
    assert screen.most_telling([waits, again]) == waits


def test_a_small_poor_terminal_without_colour_shows_what_it_can(learner: Learner):
    settings = {"NO_COLOR": "1", "PYTHONIOENCODING": "cp1252"}
    command = ("-m", "course", "watch", "--lang", "ko")
    with Terminal(learner, *command, rows=12, columns=40, **settings) as watch:
        lines = watch.wait_for("should be 42, and is 41.").split("\n")
        assert len(lines) <= 12
        assert max(map(len, lines)) <= 40
        assert "\x1b[3" not in watch.text


def test_a_real_stage_from_its_todo_to_green(tmp_path: Path):
    learner = Learner(tmp_path, tests=True)
    with Terminal(learner, "-m", "course", "watch") as watch:
        shown = watch.wait_for("TODO 1 is waiting in gpt/gpt_v1.py")
        assert "draw one token after another from the softmax" in shown
        finished = (tmp_path / "solutions/gpt/gpt_v1.py").read_text(encoding="utf-8")
        learner.file("gpt/gpt_v1.py", finished.replace("[:, -self.block_size :]", ""))
        watch.wait_for("Known mistake:")
        learner.file("gpt/gpt_v1.py", finished)
        watch.wait_for("Stage 1 is green.")


def test_a_file_that_an_editor_takes_away_and_puts_back_has_changed_once(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("course.watching.changes.PACKAGE", learner.root / "gpt")
    changes = Changes(lambda: None)
    try:
        assert changes.look() == set()
        path = learner.root / FILE
        path.with_suffix(".new").write_text("new = True\n", encoding="utf-8")
        path.with_suffix(".new").replace(path)
        assert changes.look() == {"head_v1.py"}
        (learner.root / "gpt/gpt_v2.py").unlink()
        assert changes.look() == {"gpt_v2.py"}
        assert changes.look() == set()
    finally:
        changes.close()
