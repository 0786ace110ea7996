"""What a learner calls between two lines of code: next, hint, read, questions, progress, reset, solution."""

import ast
import json
import re
import shutil
import string
from pathlib import Path

import pytest
from rich.cells import cell_len

from checks.conftest import ROOT
from checks.learner import Learner, plain
from course.__main__ import COMMANDS
from course.messages import TEXTS

HEAD = "gpt/head_v4.py"
MINE = "        scores = q @ k.transpose(1, 2)\n        return scores @ v  # 내 코드\n"


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(tmp_path)


def write_todo_5(learner: Learner, newline: str = "\n") -> str:
    """Puts MINE into TODO 5, and changes a line outside of it. Returns the file's text."""
    came = learner.file(HEAD)
    waiting = next(line for line in came.splitlines(keepends=True) if "raise NotImplementedError" in line)
    text = came.replace(waiting, MINE).replace("import torch\n", "import torch  # mine\n").replace("\n", newline)
    return learner.file(HEAD, text)


# next


def test_next_names_the_first_todo_its_line_chapter_and_test(learner: Learner):
    shown = learner.course().stdout
    line = (
        learner.file("gpt/gpt_v1.py").splitlines().index(re.search(r".*raise Not.*", learner.file("gpt/gpt_v1.py"))[0])
    )
    assert f"Next: TODO 1 in gpt/gpt_v1.py, line {line + 1}\n" in shown
    assert "python -m course read 1" in shown
    assert "pytest tests/test_1.py -s -vv" in shown
    assert "0 of 10 stages green, 0 of 17 TODOs written" in shown
    assert "(0 of 3 hints read)" in shown
    assert learner.course("next").stdout == shown


def test_next_fits_a_terminal_of_80_by_24_without_colour(learner: Learner):
    learner.solve(1, 2)
    learner.pytest("tests/test_1.py")
    learner.file("gpt/gpt_v1.py", learner.file("gpt/gpt_v1.py") + "# changed\n")
    for language in ("en", "ko"):
        shown = learner.course("--lang", language, NO_COLOR="1").stdout
        assert "\x1b" not in shown
        lines = shown.splitlines()
        assert len(lines) <= 23, shown
        assert max(map(cell_len, lines)) <= 80, shown


def test_next_goes_from_written_to_green_to_changed_to_the_end(learner: Learner):
    learner.solve(1)
    assert "Stage 1 is written. Run its test:" in learner.course().stdout
    assert "Stage 1 is green. What comes next: python -m course next" in learner.pytest("tests/test_1.py").stdout
    shown = learner.course().stdout
    assert re.search(r"^ +1  The bigram model .* green$", shown, re.M)
    assert "Next: TODO 2-1 in gpt/head_v1.py" in shown
    learner.file("gpt/gpt_v1.py", learner.file("gpt/gpt_v1.py") + "# changed\n")
    assert "gpt/gpt_v1.py changed since its test was green; again:\n  pytest tests/test_1.py" in learner.course().stdout
    learner.solve(*range(1, 11))
    assert "green" in learner.pytest("tests").stdout
    shown = learner.course().stdout
    assert "All stages are green" in shown
    assert "changed since" not in shown


def test_commands_work_from_any_folder_of_the_course_and_name_paths_from_there(learner: Learner):
    done = learner.run("../course", folder="gpt")
    assert "Next: TODO 1 in gpt_v1.py, line" in done.stdout
    assert "pytest ../tests/test_1.py -s -vv" in done.stdout
    assert "python ../course hint 1" in done.stdout
    assert learner.run("../../course", "hint", "1", folder="book/en").returncode == 0
    assert (learner.root / ".course" / "progress.jsonl").exists()


@pytest.mark.parametrize(
    ("language", "encoding"), [("en", "ascii"), ("ko", "cp1252"), ("ko", "ascii"), ("ko", "utf-8")]
)
def test_no_console_is_too_poor_for_what_is_said(learner: Learner, language: str, encoding: str):
    commands = ("next", "read 5", "hint 5", "questions 5", "progress", "solution 5 --anyway", "reset 5")
    code = "import sys\nfrom course.__main__ import main\n"
    code += "".join(f"assert main({[*command.split(), '--lang', language]}) == 0\n" for command in commands)
    done = learner.run("-c", code, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "TODO 5" in done.stdout


def test_the_language_is_that_of_the_option_or_of_the_system(learner: Learner):
    assert "Next: TODO 1" in learner.course(LANG="en_US.UTF-8").stdout
    assert "다음: TODO 1" in learner.course(LANG="ko_KR.UTF-8").stdout
    assert "다음: TODO 1" in learner.course("next", "--lang", "ko").stdout
    assert "Next: TODO 1" in learner.course("--lang=en", LANG="ko_KR.UTF-8").stdout
    assert "Next: TODO 1" in learner.course(LANG="ko_KR.UTF-8", LC_ALL="C.UTF-8").stdout
    done = learner.course("--lang", "fr")
    assert (done.returncode, done.stderr) == (
        2,
        "error: there is no language 'fr'; the course speaks en and ko (--lang)\n",
    )


def test_help_lists_every_command_in_both_languages(learner: Learner):
    for language in ("en", "ko"):
        shown = learner.course("--help", "--lang", language).stdout
        assert re.findall(r"^    (\w+) +\S", shown, re.M) == list(COMMANDS)
    assert "힌트" in shown


@pytest.mark.parametrize("command", ["--help", "read"])
def test_a_reader_that_has_seen_enough_is_no_error(learner: Learner, command: str):
    code = (
        "import subprocess, sys\n"
        f"program = subprocess.Popen([sys.executable, '-m', 'course', '{command}'], stdout=-1, stderr=-1)\n"
        "program.stdout.close()\n"
        "print(program.stderr.read().decode(), end='')\n"
    )
    assert learner.run("-c", code).stdout == ""


def test_a_deleted_file_is_offered_back(learner: Learner):
    came = learner.file("gpt/gpt_v1.py")
    (learner.root / "gpt/gpt_v1.py").unlink()
    assert "gpt/gpt_v1.py is not there; python -m course reset 1 brings it back" in learner.course().stdout
    assert learner.course("reset", "1").stdout == "gpt/gpt_v1.py is back as it came.\n"
    assert learner.file("gpt/gpt_v1.py") == came


def test_without_the_packages_the_way_to_them_is_named(learner: Learner):
    learner.file("hide/rich/__init__.py", "raise ModuleNotFoundError('gone', name='rich')")
    done = learner.course("next", PYTHONPATH=str(learner.root / "hide"))
    assert done.returncode == 2
    assert done.stderr == "error: the package 'rich' is not installed; pip install -r requirements.txt\n"


# hint, read, questions


def test_hints_come_one_more_each_time_and_say_how_many_are_left(learner: Learner):
    first, second, third, fourth = (plain(learner.course("hint", "5").stdout) for _ in range(4))
    assert "Hint 1 of 3\nLook at the shapes.\n\n2 more: python -m course hint 5" in first
    assert "Hint 2 of 3" in second
    assert "x.shape" in second
    assert "The last hint" in third
    assert "That was the last one. The finished code: python -m course solution 5" in third
    assert all(f"Hint {n} of 3" in fourth for n in (1, 2, 3))
    again = plain(learner.course("hint", "5", "--again").stdout)
    assert all(f"Hint {n} of 3" in again for n in (1, 2, 3))
    assert learner.file(".course/progress.jsonl").count("\n") == 3


def test_a_hint_without_a_number_is_for_the_todo_that_is_next(learner: Learner):
    learner.solve(1)
    learner.pytest("tests/test_1.py")
    assert "TODO 2-1, The average of the past" in learner.course("hint").stdout
    assert "TODO 2-1, 장의 제목" in learner.course("hint", "2", "--lang", "ko").stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("hint 11", "there is no stage '11'; the stages are 1 to 10"),
        ("hint --again 2-3", "stage 2 has no TODO 2-3; it has 2-1, 2-2"),
        ("hint 2-2", "there are no hints for TODO 2-2"),
        ("reset 7", "stage 7 has the TODOs 7-1, 7-2, 7-3; name the one to reset"),
        ("read 99", "there is no chapter '99'; there are: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
        ("questions ../5", "there is no chapter '../5'; there are: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
        ("progress --merge nowhere", "'nowhere' cannot be read: No such file or directory"),
        (
            "progress --merge main.py",
            "'main.py' is not a progress file; it is .course/progress.jsonl on the other machine",
        ),
        ("nothing", "there is no command 'nothing'; python -m course --help lists them"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(learner: Learner, command: str, message: str):
    done = learner.course(*command.split())
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")


def test_a_missing_chapter_is_said_and_next_goes_on_without_it(learner: Learner):
    for language in ("en", "ko"):
        (learner.root / f"book/{language}/01-bigram.md").unlink()
    assert "there is no chapter '1'" in learner.course("read", "1").stderr
    assert "book/en/01-bigram.md is not there" in learner.course("hint", "1").stderr
    done = learner.course()
    assert "Next: TODO 1" in done.stdout
    assert "Chapter" not in done.stdout


def test_read_shows_a_chapter_without_its_hints_and_answers(learner: Learner):
    shown = plain(learner.course("read", "5").stdout)
    assert "The idea of Self-attention" in shown
    assert "[A map] (img/map.png)" in shown
    assert "python -m course hint 5" in shown
    assert "What is it?" in shown
    assert "A paper" in shown
    assert "Look at the shapes" not in shown
    assert "forty-two" not in shown
    assert "장의 제목" in learner.course("read", "5", "--lang", "ko").stdout


def test_questions_come_with_their_answers(learner: Learner):
    shown = plain(learner.course("questions", "5").stdout)
    assert re.search(r"Question 1 of 2\nWhat is it\?\n\nIt is forty-two.\n\nQuestion 2 of 2\nAnd why", shown), shown


# progress


def test_a_selection_of_tests_or_a_failure_leaves_no_record(learner: Learner):
    learner.solve(1)
    for selection in ("tests/test_1.py::test_one", "tests/test_1.py -k one", "tests/test_1.py --collect-only",
                      "tests/test_1.py --deselect tests/test_1.py::test_two"):  # fmt: skip
        assert learner.pytest(*selection.split()).returncode == 0
    learner.file("tests/test_1.py", PASSES_BUT_ONE)
    learner.pytest("tests/test_1.py")
    learner.file("tests/test_1.py", "import pytest\n\n\ndef test_one():\n    pytest.skip('not today')\n")
    learner.pytest("tests/test_1.py")
    learner.file("tests/test_1.py", SAVES_MEANWHILE)
    learner.pytest("tests/test_1.py")
    assert not (learner.root / ".course").exists()


PASSES_BUT_ONE = "def test_one():\n    pass\n\n\ndef test_two():\n    raise SystemExit\n"
SAVES_MEANWHILE = """from pathlib import Path


def test_one():
    path = Path("gpt/gpt_v1.py")
    path.write_text(path.read_text(encoding="utf-8") + "# saved while the test ran", encoding="utf-8")
"""


def test_the_finished_code_leaves_no_record(learner: Learner):
    assert learner.pytest("tests/test_1.py", "--solutions").returncode == 0
    assert not (learner.root / ".course").exists()


def test_progress_tells_what_is_green_since_when_and_with_how_many_hints(learner: Learner):
    learner.solve(1)
    learner.pytest("tests/test_1.py")
    learner.course("hint", "1")
    learner.course("hint", "1")
    assert re.search(r"^ 1  The bigram model +20\d\d-\d\d-\d\d \d\d:\d\d +2$", learner.course("progress").stdout, re.M)
    stages = json.loads(learner.course("progress", "--json").stdout)
    assert len(stages) == 10
    assert stages[0]["green"] is True
    assert stages[0]["todos"] == [{"todo": "1", "written": True, "hints": 2}]
    assert stages[1] == {
        "stage": 2, "green": False, "green_at": None, "changed_since": [],
        "todos": [{"todo": "2-1", "written": False, "hints": 0}, {"todo": "2-2", "written": False, "hints": 0}],
    }  # fmt: skip
    learner.file("gpt/gpt_v1.py", learner.file("gpt/gpt_v1.py").replace("\n", "\r\n"))
    assert json.loads(learner.course("progress", "--json").stdout)[0]["changed_since"] == []  # line ends are no change
    learner.course("reset", "1")
    assert "has a TODO again" in learner.course("progress").stdout
    assert json.loads(learner.course("progress", "--json").stdout)[0]["green"] is False


def test_a_damaged_progress_file_is_set_aside_and_its_good_lines_count(learner: Learner):
    learner.course("hint", "1")
    good = learner.file(".course/progress.jsonl")
    bad = '{"kind": "gre\n\0\xff\n[]\n{"kind": "green", "at": "noon"}\n{"kind": "hint", "at": "2026-01-01"}\n'
    bad += '{"kind": "green", "at": "2026-01-01", "stage": 1}\n'
    damaged = good.encode() + bad.encode("latin-1")
    (learner.root / ".course/progress.jsonl").write_bytes(damaged)
    done = learner.course("progress")
    assert done.returncode == 0
    said = re.fullmatch(r"6 damaged lines in the progress file: it is kept as (\S+), and 1 good .*\n", done.stderr)
    assert said, done.stderr
    assert (learner.root / said[1]).read_bytes() == damaged
    assert learner.file(".course/progress.jsonl") == good
    assert learner.course("progress").stderr == ""


def test_a_line_that_was_cut_off_spoils_no_other(learner: Learner):
    learner.file(".course/progress.jsonl", '{"kind": "hint", "at": "2026-0')
    learner.solve(1)
    learner.pytest("tests/test_1.py")
    done = learner.course("progress")
    assert "1 damaged lines" in done.stderr
    assert re.search("1  The bigram model +20", done.stdout)


def test_progress_files_merge_in_any_order_and_without_doubles(
    learner: Learner, tmp_path_factory: pytest.TempPathFactory
):
    other = Learner(tmp_path_factory.mktemp("other"))
    for _ in range(2):
        other.course("hint", "3")
    learner.course("hint", "5")
    mine, theirs = learner.file(".course/progress.jsonl"), other.file(".course/progress.jsonl")
    there = str(other.root / ".course" / "progress.jsonl")
    assert "2 new records" in learner.course("progress", "--merge", there).stdout
    assert "0 new records" in learner.course("progress", "--merge", there).stdout
    assert sorted(learner.file(".course/progress.jsonl").splitlines()) == sorted((mine + theirs).splitlines())
    assert "Hint 3 of 3" in learner.course("hint", "3").stdout


# reset and solution


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_reset_puts_back_one_todo_and_keeps_the_rest_and_the_old_version(learner: Learner, newline: str):
    came = learner.file(HEAD)
    mine = write_todo_5(learner, newline)
    done = learner.course("reset", "5")
    kept = re.search(r"Your version: (\S+)", done.stdout)
    assert kept, done
    assert learner.file(kept[1]) == mine
    assert learner.file(HEAD) == came.replace("import torch\n", "import torch  # mine\n").replace("\n", newline)
    assert "nothing to do" in learner.course("reset", "5").stdout


def test_reset_of_one_todo_leaves_the_other_one_in_the_file_alone(learner: Learner):
    learner.solve(6)
    learner.course("reset", "6-1")
    text = learner.file("gpt/gpt_v3.py")
    assert 'raise NotImplementedError("TODO 6-1: ' in text
    assert "self.pos_table[:T]" in text


@pytest.mark.parametrize("marker", ["# TODO 5: ", "# END TODO 5"])
def test_reset_without_the_marks_puts_back_the_whole_file_and_says_so(learner: Learner, marker: str):
    came = learner.file(HEAD)
    mine = write_todo_5(learner)
    mine = learner.file(HEAD, "".join(line for line in mine.splitlines(keepends=True) if marker not in line))
    done = learner.course("reset", "5")
    assert (
        "The comment lines that mark TODO 5 are gone, so the whole of gpt/head_v4.py is back as it came." in done.stdout
    )
    assert learner.file(HEAD) == came
    assert learner.file(re.search(r"Your version: (\S+)", done.stdout)[1]) == mine


def test_reset_keeps_bytes_that_are_not_utf_8(learner: Learner):
    mine = write_todo_5(learner).encode().replace(b"# mine", b"# l\xe0")
    (learner.root / HEAD).write_bytes(mine)
    assert learner.course("reset", "5").returncode == 0
    assert b"# l\xe0" in (learner.root / HEAD).read_bytes()


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace", "shutil.copy2"])
def test_a_reset_that_breaks_off_changes_nothing(learner: Learner, broken: str):
    mine = write_todo_5(learner)
    code = (
        "import errno, os, pathlib, shutil, sys\n"
        f"def full(*args, **kwargs): raise OSError(errno.ENOSPC, 'No space left on device', 'a file')\n"
        f"{broken} = full\n"
        "from course.__main__ import main\n"
        "sys.exit(main(['reset', '5']))\n"
    )
    done = learner.run("-c", code)
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device: a file; nothing of yours was changed\n"
    assert learner.file(HEAD) == mine
    assert not list((learner.root / "gpt").glob(".*"))


def test_without_solutions_reset_knows_the_file_by_its_copy(learner: Learner):
    came = learner.file(HEAD)
    shutil.rmtree(learner.root / "solutions")
    write_todo_5(learner)
    assert "is back as it came; the rest" in learner.course("reset", "5").stdout  # the marks are enough
    (learner.root / HEAD).unlink()
    assert "does not have gpt/head_v4.py as it came" in learner.course("reset", "5").stderr
    learner.file("course/fresh/head_v4.py", came)
    assert learner.course("reset", "5").returncode == 0
    assert learner.file(HEAD) == came
    assert learner.course("solution", "5", "--anyway").stderr == "error: this release has no solutions/\n"


def test_the_solution_waits_for_green_or_anyway(learner: Learner):
    write_todo_5(learner)
    done = learner.course("solution", "5")
    assert done.returncode == 2
    assert "the stage is not green yet: pytest tests/test_5.py -s -vv" in done.stderr
    assert "python -m course solution 5 --anyway" in done.stderr
    assert done.stdout == ""
    shown = learner.course("solution", "5", "--anyway").stdout
    assert "--- gpt/head_v4.py\n+++ solutions/gpt/head_v4.py\n" in shown
    assert "-        scores = q @ k.transpose(1, 2)\n" in shown
    assert re.search(r"^\+        scores = q @ k.transpose\(1, 2\) / .* \(B, T, T\)$", shown, re.M)
    learner.pytest("tests/test_5.py")
    assert learner.course("solution", "5").stdout == shown
    learner.solve(5)
    assert "to the letter" in learner.course("solution", "5").stdout


def test_the_solution_of_a_stage_shows_all_of_its_todos(learner: Learner):
    shown = learner.course("solution", "7", "--anyway").stdout
    assert all(f"+++ solutions/gpt/{name}.py" in shown for name in ("multi_head_v1", "multi_head_v2", "gpt_v4"))
    assert "multi_head_v1" not in learner.course("solution", "7-2", "--anyway").stdout


# messages


def test_every_message_is_there_in_both_languages_with_the_same_places_and_is_used():
    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}

    used = set()
    for path in (ROOT / "course").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
    for key, (english, korean) in TEXTS.items():
        assert places(english) == places(korean), key
        assert re.search("[가-힣]", korean) or korean == english, key
        assert key in used or key.startswith(("progress_", "page_", "ladder_", "command_")), key
