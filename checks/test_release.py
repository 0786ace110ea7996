"""What is handed out: it is whole, runs, and gives nothing away that it should not."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from checks.conftest import ROOT
from course import scaffold
from course.commands.release import chosen_stages, release
from course.commands.release import main as release_main
from course.stages import STAGES, WEEKS
from training.errors import UserError


def solve(folder: Path) -> None:
    for path in (folder / "gpt").glob("*.py"):
        shutil.copyfile(ROOT / "solutions" / "gpt" / path.name, path)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, encoding="utf-8")


def test_the_first_stages_without_answers_install_and_run(tmp_path: Path):
    """A student's repository for stages 1 to 3: all fails unsolved, all passes solved, and no answer is in it."""
    folder = tmp_path / "class"
    release(folder, 1, 3, solutions=False, mistakes=False)
    log = subprocess.run(["git", "log", "--oneline"], cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert len(log.stdout.splitlines()) == 1
    assert {p.name for p in (folder / "gpt").glob("*_v*.py")} == {"gpt_v1.py", "head_v1.py", "gpt_v2.py", "head_v2.py"}
    assert sorted(p.name for p in folder.glob("tests/test_*.py")) == ["test_1.py", "test_2.py", "test_3.py"]
    for absent in ("solutions", "checks", "course/commands/grade.py", "course/grading", "course/commands/release.py"):
        assert not (folder / absent).exists()
    for page in folder.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert all((folder / link).exists() for link in re.findall(r"\]\((book/[^)]*)\)", text)), page
        assert "README" not in page.name or text.count("](book/") >= 4
    workflow = (folder / ".github" / "workflows" / "course.yml").read_text(encoding="utf-8")
    assert "stage: [1, 2, 3]" in workflow
    unsolved = run(folder, "-m", "pytest", "tests/test_3.py", "-q", "-p", "no:cacheprovider")
    assert " passed" not in unsolved.stdout, unsolved.stdout
    assert "TODO 3 is waiting" in unsolved.stdout
    assert "for instructors" in run(folder, "-m", "course", "grade", "x").stderr
    came = (folder / "gpt" / "head_v2.py").read_bytes()
    (folder / "gpt" / "head_v2.py").unlink()
    assert run(folder, "-m", "course", "reset", "3").returncode == 0
    assert (folder / "gpt" / "head_v2.py").read_bytes() == came
    for command in (("-m", "pytest", "--solutions", "tests/test_1.py"), ("main.py", "--solutions")):
        refused = run(folder, *command)
        assert refused.returncode and "has no solutions/" in refused.stderr + refused.stdout
    assert "--solutions" not in run(folder, "main.py").stderr
    solve(folder)
    solved = run(folder, "-m", "pytest", "tests", "-q", "-p", "no:cacheprovider", "-m", "not comparison")
    assert solved.returncode == 0, solved.stdout


def test_a_later_week_comes_with_the_earlier_stages_finished(tmp_path: Path):
    folder = tmp_path / "class"
    release(folder, *chosen_stages(None, "2"), solutions=True, mistakes=True)
    begun = {todo.file for stage in STAGES if 5 <= stage.number <= 7 for todo in stage.todos}
    for path in (folder / "gpt").glob("*_v*.py"):
        source = "gpt" if path.name in begun else "solutions/gpt"
        want = scaffold.scaffold()[ROOT / "gpt" / path.name] if source == "gpt" else None
        assert path.read_text(encoding="utf-8") == (want or (ROOT / source / path.name).read_text(encoding="utf-8"))
    shown = run(folder, "-m", "course", "next", "--lang", "en").stdout
    assert "Next: TODO 5 in gpt/head_v4.py" in shown
    assert shown.count("came finished") == 4


def test_the_stages_of_a_release_are_said_by_stage_or_by_week():
    assert chosen_stages(None, None) == (1, 10)
    assert chosen_stages("2-6", None) == (2, 6)
    assert chosen_stages("4", None) == (4, 4)
    assert chosen_stages(None, "1-2") == (1, 7)
    for wrong in ("0-3", "5-2", "1-11", "x"):
        with pytest.raises(UserError, match="--stages"):
            chosen_stages(wrong, None)


def test_the_weeks_are_all_stages():
    numbers = [number for first, last in WEEKS for number in range(first, last + 1)]
    assert numbers == [stage.number for stage in STAGES]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="not empty"):
        release(tmp_path, 1, 10, True, True)


def test_the_gradescope_bundle_holds_its_two_scripts_and_the_course(tmp_path: Path):
    assert release_main(["--stages", "1-4", "--gradescope", str(tmp_path / "autograder.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        names = set(archive.namelist())
        assert {"setup.sh", "run_autograder", "course/solutions/gpt/gpt_v1.py", "course/tests/test_1.py"} <= names
        assert (archive.getinfo("run_autograder").external_attr >> 16) & 0o111
        assert archive.read("setup.sh").startswith(b"#!/usr/bin/env bash\n")
        assert b" --stages 1-4 " in archive.read("run_autograder")


@pytest.mark.parametrize("option", ["class", "--without-solutions", "--without-mistakes"])
def test_what_a_gradescope_bundle_cannot_be_is_refused(tmp_path: Path, option: str):
    with pytest.raises(UserError, match="autograder alone; leave"):
        release_main([option, "--gradescope", str(tmp_path / "autograder.zip")])
