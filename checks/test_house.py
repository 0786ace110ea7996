"""The house rules of the repository: who may import whom, encodings, the two trees in step."""

import ast
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

from checks.conftest import ROOT
from course import scaffold
from course.stages import STAGES, waiting_todos

OURS = {"gpt", "training", "course", "tests", "checks", "solutions", "main"}
MAY_KNOW = {
    "solutions/gpt": set(),
    "gpt": set(),
    "training": {"training"},
    "course": {"course", "training"},
    "tests": {"gpt", "training", "tests", "course"},  # of course, the stage map alone
}
SHARED = "."  # the modules at the top of course/
MAY_KNOW_IN_COURSE = {
    SHARED: set(),
    "learner": {SHARED},
    "pages": {SHARED},
    "grading": {SHARED},
    "watching": {SHARED, "learner"},
    "commands": {SHARED, "learner", "pages", "grading", "watching"},
}


def imported(path: Path) -> set[str]:
    """The first names of what a file imports, relative imports left out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def imported_of_course(path: Path) -> set[str]:
    """The folders of course/ from which a file in it imports, relative imports among them."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    folders = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{base}.{alias.name}" for alias in node.names]
        for first, second, *_ in (f"{name}.".split(".") for name in names):
            if first == "course":
                folders.add(second if second in MAY_KNOW_IN_COURSE else SHARED)
    return folders


def tracked_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.mark.parametrize("folder", MAY_KNOW)
def test_each_folder_knows_only_whom_it_may(folder: str):
    for path in (ROOT / folder).glob("**/*.py"):
        assert imported(path) & OURS <= MAY_KNOW[folder], path


@pytest.mark.parametrize("folder", MAY_KNOW_IN_COURSE)
def test_each_folder_of_the_course_knows_only_what_it_stands_on(folder: str):
    paths = list((ROOT / "course" / folder).glob("*.py"))
    assert len(paths) > 1
    for path in paths:
        assert imported_of_course(path) <= {folder} | MAY_KNOW_IN_COURSE[folder], path


@pytest.mark.parametrize("folder", ["gpt", "solutions/gpt"])
def test_the_stages_need_torch_and_jaxtyping_alone(folder: str):
    for path in (ROOT / folder).glob("*.py"):
        assert imported(path) <= {"torch", "jaxtyping", "math"}, path


def test_every_text_file_is_utf_8_with_plain_line_ends():
    for path in tracked_files():
        if path.suffix not in {".png", ".svg"}:
            assert b"\r" not in path.read_bytes(), path
            path.read_text(encoding="utf-8")


def test_files_are_opened_with_their_encoding_named():
    for path in tracked_files():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                if is_method and node.func.attr in {"read_text", "write_text"}:
                    assert any(k.arg == "encoding" for k in node.keywords), f"{path}:{node.lineno}"


def test_both_trees_are_in_step():
    assert scaffold.differing() == []


def test_every_todo_of_the_stage_map_is_in_its_file_and_waits_in_the_scaffold():
    todos = [todo for stage in STAGES for todo in stage.todos]
    assert [w.todo for w in waiting_todos(ROOT / "gpt")] == todos or scaffold.differing()
    assert waiting_todos(ROOT / "solutions" / "gpt") == []
    texts = {todo: scaffold.scaffold()[ROOT / "gpt" / todo.file] for todo in todos}
    assert all(f'raise NotImplementedError("TODO {todo.number}: ' in text for todo, text in texts.items())
    assert sum(text.count("NotImplementedError") for text in scaffold.scaffold().values()) == len(todos) == 17


def test_the_scaffold_of_each_file_imports():
    code = "import importlib, sys; [importlib.import_module('gpt.' + n) for n in sys.argv[1:]]"
    names = [path.stem for path in (ROOT / "gpt").glob("*.py")]
    subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, check=True)


def test_the_requirements_are_pinned_and_explained():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            assert "==" in line, line
            assert " # " in line, line
    assert any(line.startswith("torch==2.13.0 ") for line in lines)
