"""python -m course update: the release comes in, and what the learner wrote stays."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from checks.learner import Learner

HEAD = "gpt/head_v4.py"
MINE = "        weights = q @ k.transpose(1, 2)  # mine\n        return weights @ v\n"


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    """Has written TODO 5 and helpers of their own, has a run, progress and a file in tests/ that no release knows."""
    (tmp_path / "mine").mkdir()
    learner = Learner(tmp_path / "mine")
    came = learner.file(HEAD)
    waiting = re.search(r".*raise NotImplementedError.*\n", came)[0]
    learner.file(HEAD, came.replace(waiting, MINE).replace("import torch\n", "import torch  # my import\n"))
    learner.file("runs/one/config.yaml", "mine")
    learner.file(".course/progress.jsonl", '{"kind": "hint", "at": "2026-01-31T12:00:00", "todo": "5", "number": 1}\n')
    learner.file("notes.md", "what I learned")
    return learner


@pytest.fixture
def release(tmp_path: Path) -> Learner:
    """The next version: other words in a docstring of head_v4.py, a new file, one that has gone."""
    (tmp_path / "new").mkdir()
    release = Learner(tmp_path / "new")
    release.file("pyproject.toml", release.file("pyproject.toml").replace('version = "0.1.0"', 'version = "0.2.0"'))
    release.file("solutions/" + HEAD, release.file("solutions/" + HEAD).replace("One head of", "A single head of"))
    release.file("training/novelty.py", "new = True\n")
    release.file("book/en/11-more.md", "# 11. More\n")
    (release.root / "tests/test_10.py").unlink()
    release.file(HEAD, "a learner's own, in the folder that the release is taken from")
    release.file("runs/theirs/config.yaml", "theirs")
    return release


def state(learner: Learner) -> dict[str, bytes]:
    paths = [path for path in learner.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(learner.root).as_posix(): path.read_bytes() for path in paths}


def test_the_release_comes_in_and_what_the_learner_wrote_stays(learner: Learner, release: Learner):
    before = state(learner)
    done = learner.course("update", str(release.root))
    assert done.returncode == 0, done.stderr
    assert "version 0.1.0 -> 0.2.0" in done.stdout
    after = state(learner)
    assert MINE in learner.file(HEAD)
    assert "A single head of" in learner.file(HEAD)
    assert after["training/novelty.py"] == b"new = True\n"
    assert "tests/test_10.py" not in after
    for kept in ("runs/one/config.yaml", ".course/progress.jsonl", "notes.md", "gpt/gpt_v1.py"):
        assert after[kept] == before[kept]
    assert "runs/theirs/config.yaml" not in after
    assert f"! {HEAD}: what you changed outside of the TODOs is only in the backup now" in done.stdout
    backup = re.search(r"What was replaced: (\S+)", done.stdout)[1]
    for name, content in before.items():
        assert content in (after.get(name), after.get(f"{backup}/{name}")), f"{name} is lost"
    assert "Nothing changes" in learner.course("update", str(release.root)).stdout


def test_a_stage_file_that_the_release_leaves_alone_stays_to_the_letter(learner: Learner, release: Learner):
    release.file("solutions/" + HEAD, learner.file("solutions/" + HEAD))
    mine = learner.file(HEAD)
    done = learner.course("update", str(release.root))
    assert HEAD not in done.stdout
    assert learner.file(HEAD) == mine


def test_a_dry_run_shows_what_would_change_and_changes_nothing(learner: Learner, release: Learner):
    before = state(learner)
    shown = learner.course("update", "--dry-run", str(release.root)).stdout
    assert state(learner) == before
    for line in (f"* {HEAD}", "+ training/novelty.py", "- tests/test_10.py", "* pyproject.toml"):
        assert f"  {line}\n" in shown


@pytest.mark.parametrize("kind", ["zip", "git", "bare git"])
def test_a_release_is_taken_from_archives_and_from_git(learner: Learner, release: Learner, kind: str):
    source = str(release.root)
    if kind == "zip":
        source = shutil.make_archive(source, "zip", release.root.parent, release.root.name)
    else:
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run([*git, "init", "--quiet"], cwd=source, check=True)
        subprocess.run([*git, "add", "--all"], cwd=source, check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", "0.2"], cwd=source, check=True)
        release.file("training/untracked.py", "not to be handed out")
        if kind == "bare git":
            subprocess.run([*git, "clone", "--quiet", "--bare", source, source + ".git"], check=True)
            source += ".git"
    done = learner.course("update", source)
    assert done.returncode == 0, done.stderr
    assert learner.file("training/novelty.py") == "new = True\n"
    assert MINE in learner.file(HEAD)
    assert not (learner.root / "training/untracked.py").exists()


def test_a_release_without_solutions_and_without_marks_in_the_learners_file(learner: Learner, release: Learner):
    text = release.file(HEAD, learner.file("gpt/head_v4.py").replace(MINE, "        raise NotImplementedError\n"))
    shutil.copytree(release.root / "gpt", release.root / "course/fresh")
    release.file("course/fresh/head_v4.py", text.replace("One head of", "A single head of"))
    shutil.rmtree(release.root / "solutions")
    mine = learner.file(HEAD, learner.file(HEAD).replace("        # END TODO 5\n", ""))
    done = learner.course("update", str(release.root))
    assert f"! {HEAD} stays as you have it: the comment lines that mark TODO 5 are gone" in done.stdout
    assert learner.file(HEAD) == mine


def test_a_deleted_stage_file_comes_back(learner: Learner, release: Learner):
    (learner.root / "gpt/gpt_v1.py").unlink()
    learner.course("update", str(release.root))
    assert "TODO 1" in learner.file("gpt/gpt_v1.py")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "'nowhere' is no folder and no file, and git cannot fetch it: "),
        ("gpt", "'gpt' holds no course; nothing was changed"),
        ("notes.md", "'notes.md' is neither a folder nor a .zip (File is not a zip file)"),
        (".", "'.' is this course itself; name the newer one"),
    ],
)
def test_what_is_no_release_is_refused_in_a_sentence(learner: Learner, source: str, message: str):
    before = state(learner)
    done = learner.course("update", source)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert state(learner) == before


def test_an_update_that_breaks_off_can_be_run_again(learner: Learner, release: Learner):
    code = (
        "import sys\nfrom course.commands import update\nreal, left = update.write_bytes, [2]\n"
        "def failing(path, content):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0: raise OSError(28, 'No space left on device', str(path))\n"
        "    real(path, content)\n"
        "update.write_bytes = failing\n"
        f"from course.__main__ import main\nsys.exit(main(['update', {str(release.root)!r}]))\n"
    )
    done = learner.run("-c", code)
    assert done.returncode == 2
    assert done.stderr.startswith("error: No space left on device: ")
    assert MINE in learner.file(HEAD)
    assert learner.course("update", str(release.root)).returncode == 0
    assert learner.file("training/novelty.py") == "new = True\n"
    assert MINE in learner.file(HEAD)
