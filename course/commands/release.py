"""Make what is handed out to students, or to an autograder.

    python -m course release ../class                              everything but what only contributors need
    python -m course release ../class --stages 1-6                 the first six stages
    python -m course release ../class --weeks 2 --without-solutions    stages 5 to 7; the earlier ones come finished
    python -m course release --gradescope autograder.zip           the bundle that Gradescope asks for (--stages 1-4:
                                                                   it grades these stages alone)

A release is a git repository with one commit. It holds the scaffold whatever is written in gpt/ here.
"""

import argparse
import ast
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from training.errors import UserError

from .. import scaffold
from ..stages import ROOT, STAGES, WEEKS, Stage

FOR_EVERYBODY = (
    "README.md", "README.ko.md", "LICENSE", "AGENTS.md", "config.yaml", "input.txt", "main.py", "main_bpe.py",
    "requirements.txt", "pyproject.toml", "conftest.py", ".gitignore", "tests", "training", "course", "book", "img",
)  # fmt: skip
WITH_SOLUTIONS = ("solutions", "checks", "benchmarks", "CONTRIBUTING.md")
INSTRUCTORS = ("commands/release.py", "commands/grade.py", "grading", "templates")
TEMPLATES = ROOT / "course" / "templates"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m course release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", nargs="?", type=Path, metavar="DIR", help="a folder that is not there yet, or is empty")
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--stages", metavar="FROM-TO", help="the stages to hand out, as in 1-6; earlier ones come finished"
    )
    part.add_argument("--weeks", metavar="FROM-TO", help=f"the same by weeks, 1-{len(WEEKS)}")
    add("--without-solutions", action="store_true", help="no solutions/, and nothing that gives them away")
    add("--without-mistakes", action="store_true", help="no catalogue of known mistakes: tests do not name them")
    add("--gradescope", type=Path, metavar="FILE", help="write the bundle for Gradescope's autograder instead")
    args = parser.parse_args(argv)
    if args.gradescope:
        for given, what in (
            (args.folder, "DIR"),
            (args.without_solutions, "--without-solutions"),
            (args.without_mistakes, "--without-mistakes"),
        ):
            if given:
                raise UserError(f"--gradescope writes a bundle for the autograder alone; leave {what} out")
        bundle(args.gradescope, *chosen_stages(args.stages, args.weeks))
        print(f"{args.gradescope.as_posix()} is ready: upload it at Gradescope under Configure Autograder")
        return 0
    if not args.folder:
        raise UserError("name the folder of the release: python -m course release DIR")
    first, last = chosen_stages(args.stages, args.weeks)
    release(args.folder, first, last, not args.without_solutions, not args.without_mistakes)
    print(f"{args.folder.as_posix()} is ready: a git repository with one commit, stages {first} to {last}")
    return 0


def chosen_stages(stages: str | None, weeks: str | None) -> tuple[int, int]:
    """The first and the last stage of '1-6', of week '2' or weeks '1-2', or of everything."""
    text, option, most = (weeks, "--weeks", len(WEEKS)) if weeks else (stages, "--stages", STAGES[-1].number)
    if not text:
        return 1, STAGES[-1].number
    begin, _, end = text.partition("-")
    if not (begin.isdecimal() and (end or begin).isdecimal() and 1 <= int(begin) <= int(end or begin) <= most):
        raise UserError(f"{option} {text}: it has to be FROM-TO within 1-{most}")
    chosen = int(begin), int(end or begin)
    return (WEEKS[chosen[0] - 1][0], WEEKS[chosen[1] - 1][1]) if weeks else chosen


def release(folder: Path, first: int, last: int, solutions: bool, mistakes: bool) -> None:
    """Write the release into `folder`, and commit it. Raises UserError where the folder has something in it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"'{folder}' is there already and not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*FOR_EVERYBODY, *(WITH_SOLUTIONS if solutions else ())):
        copy(ROOT / name, folder / name)
    for name in INSTRUCTORS if not solutions else ():
        path = folder / "course" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_gpt(folder, first, last)
    if not solutions:
        shutil.copytree(folder / "gpt", scaffold.fresh_folder(folder))
    for stage in STAGES[last:]:
        for path in files_of(stage, folder):
            path.unlink(missing_ok=True)
    for path in folder.glob("*.md"):
        path.write_text(without_dead_links(path), encoding="utf-8", newline="\n")
    if not mistakes:
        for path in (folder / "tests" / "mistakes").glob("stage_*.py"):
            path.write_text(without_mistakes(path, folder / "tests"), encoding="utf-8", newline="\n")
    about = {"first": first, "stages": last, "from": version()}
    (folder / "course" / "release.json").write_text(json.dumps(about) + "\n", encoding="utf-8", newline="\n")
    workflow = (TEMPLATES / "student.yml").read_text(encoding="utf-8")
    path = folder / ".github" / "workflows" / "course.yml"
    path.parent.mkdir(parents=True)
    path.write_text(workflow.replace("STAGES", str(list(range(1, last + 1)))), encoding="utf-8", newline="\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    author = ("-c", "user.name=learnGPT", "-c", "user.email=course@localhost", "-c", "commit.gpgsign=false")
    git(folder, *author, "commit", "--quiet", "--no-verify", "-m", f"The course, stages {first} to {last}")


def copy(source: Path, target: Path) -> None:
    """A file or a folder, without what Python and tools leave behind. A part that is not there is left out."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def write_gpt(folder: Path, first: int, last: int) -> None:
    """gpt/ as scaffold, with the files of the stages before `first` finished, and without those after `last`."""
    (folder / "gpt").mkdir()
    stage_of = {todo.file: stage.number for stage in STAGES for todo in stage.todos}
    for path, text in scaffold.scaffold().items():
        number = stage_of.get(path.name, first)
        if number < first:
            text = (ROOT / "solutions" / "gpt" / path.name).read_text(encoding="utf-8")
        if number <= last:
            (folder / "gpt" / path.name).write_text(text, encoding="utf-8", newline="\n")


def files_of(stage: Stage, folder: Path) -> list[Path]:
    """Everything in a release that belongs to one stage alone."""
    number = stage.number
    places = [stage.test, f"tests/mistakes/stage_{number}.py", f"checks/right_versions/stage_{number}.py"]
    places += [f"book/{language}/{stage.chapter}" for language in ("en", "ko")]
    places += [f"solutions/gpt/{todo.file}" for todo in stage.todos]
    return [folder / place for place in places]


def without_dead_links(path: Path) -> str:
    """The page with the words alone of each link to a chapter that is not handed out."""

    def link(found: re.Match[str]) -> str:
        return found[0] if (path.parent / found[2]).exists() else found[1]

    return re.sub(r"\[([^\]]*)\]\((book/[^)]*)\)", link, path.read_text(encoding="utf-8"))


def without_mistakes(path: Path, tests: Path) -> str:
    """A module of the catalogue with only what the tests themselves use of it."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    named = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    wanted = {name for name, node in named.items() if any(_called(d) == "place" for d in node.decorator_list)}
    for other in tests.rglob("*.py"):
        if other != path:
            for node in ast.walk(ast.parse(other.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(path.stem):
                    wanted |= {alias.name for alias in node.names}
    rest = [node for node in tree.body if node not in named.values()]
    seen: set[str] = set()
    front = wanted | {n.id for node in rest for n in ast.walk(node) if isinstance(n, ast.Name)}
    while front - seen:
        name = (front - seen).pop()
        seen.add(name)
        if name in named:
            front |= {n.id for n in ast.walk(named[name]) if isinstance(n, ast.Name)}
    lines = source.splitlines(keepends=True)
    for name, node in named.items():
        if name not in seen:
            begin = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            lines[begin : node.end_lineno] = [""] * ((node.end_lineno or begin) - begin)
    return re.sub(r"\n{4,}", "\n\n\n", "".join(lines)).rstrip("\n") + "\n"


def _called(decorator: ast.expr) -> str:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return function.id if isinstance(function, ast.Name) else ""


def bundle(path: Path, first: int, last: int) -> None:
    """Gradescope's zip: setup.sh, run_autograder, and the course with its finished code; it grades these stages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("setup.sh", "run_autograder"):
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = 0o100755 << 16, zipfile.ZIP_DEFLATED
            text = (TEMPLATES / name).read_text(encoding="utf-8")
            archive.writestr(info, text.replace("STAGES", f"{first}-{last}"))
        for part in (*FOR_EVERYBODY, "solutions", "gpt"):
            for file in sorted([ROOT / part, *(ROOT / part).rglob("*")]):
                if file.is_file() and "__pycache__" not in file.parts and part not in ("book", "img"):
                    archive.write(file, f"course/{file.relative_to(ROOT).as_posix()}")


def version() -> str:
    """The commit that is released, or "unknown"."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def git(folder: Path, *arguments: str) -> None:
    try:
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        raise UserError("git is not installed; a release is a git repository") from None
    except subprocess.CalledProcessError as error:
        raise UserError(f"git {arguments[0]} failed in '{folder}': {error.stderr.strip()}") from None
