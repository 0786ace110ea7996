"""Grading: right code gets its points, no attack gets one, and the files for others are as they want them."""

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

from checks.attacks import ATTACKS, harmless, links_and_dots, zip_bomb, zip_with_a_link
from checks.conftest import ROOT
from course.commands import grade
from course.grading import formats, sandbox
from course.grading.marking import Grade, StageResult, Verdict, parse_points
from course.grading.sandbox import Limits
from course.grading.submission import read_submission, student_name
from training.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions cannot be shut in on Windows")
NO_WALLS = shutil.which("bwrap") is None
FINISHED = ROOT / "solutions" / "gpt"
SCAFFOLD = ROOT / "gpt"


def submit(folder: Path, name: str, files: dict[str, str], base: Path = SCAFFOLD) -> str:
    target = folder / name / "gpt"
    shutil.copytree(base, target, ignore=shutil.ignore_patterns("__pycache__"))
    for file, text in files.items():
        target.joinpath(file).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Grade]:
    """One call for a whole class: all attacks, and right submissions before, among and after them. Stage 1."""
    if NO_WALLS:
        pytest.skip("bubblewrap is not installed: apt install bubblewrap")
    folder = tmp_path_factory.mktemp("class")
    unsolved = SCAFFOLD.joinpath("gpt_v1.py").read_text(encoding="utf-8")
    right = FINISHED.joinpath("gpt_v1.py").read_text(encoding="utf-8")
    paths = [submit(folder, "right, first", {}, FINISHED)]
    paths += [submit(folder, name, {"gpt_v1.py": f"{unsolved}\n{code}\n"}) for name, code in ATTACKS.items()]
    others = submit(folder, "with files of its own", {})
    for name, text in {
        "conftest.py": "import os; os._exit(0)", "torch.py": "def __getattr__(name): return lambda *a, **k: True",
        "tests/test_1.py": "def test_all(): pass", "sitecustomize.py": "raise SystemExit", "-rf": "", "--help": "",
    }.items():  # fmt: skip
        for place in (Path(others), Path(others) / "gpt"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(text, encoding="utf-8")
    paths += [others, submit(folder, "harmless", {"gpt_v1.py": harmless(right)}, FINISHED)]
    paths += [str(links_and_dots(folder / "links.tar.gz", right.encode())), str(zip_bomb(folder / "bomb.zip"))]
    paths += [str(zip_with_a_link(folder / "link.zip")), submit(folder, "right, last", {}, FINISHED)]
    grades = grade.grade_all(
        paths, {1: 10.0}, folder / "grades", jobs=2, limits=Limits(clock=60.0, test=30.0, computing=9)
    )
    return {g.student: g for g in grades}


@pytest.mark.parametrize("name", [*ATTACKS, "with files of its own", "links", "bomb", "link"])
def test_an_attack_gets_no_point(attacked: dict[str, Grade], name: str):
    key = next(student for student in attacked if student.removesuffix(".tar.gz").removesuffix(".zip") == name)
    assert attacked[key].score == 0, attacked[key]


@pytest.mark.parametrize("name", ["right, first", "harmless", "right, last"])
def test_a_right_submission_gets_all_points_whoever_sits_beside_it(attacked: dict[str, Grade], name: str):
    assert attacked[name].score == 10, [t for t in attacked[name].stages[0].tests if not t.passed][:3]


# ---- what comes out


def some_grades() -> list[Grade]:
    """One of each kind: right, half right, void, and a submission that cannot be read; with awkward characters."""
    passed, failed = Verdict("test_a_b[1-2]", True), Verdict("test_c", False, 'got "x" <&> \x00\x1b[31m\ufffe 한글')
    named = Verdict("test_d", False, "wrong\n\nKnown mistake: scores not scaled.\nThe scores are not divided.")
    return [
        Grade("ada", [StageResult(1, 10.0, [passed, passed], []), StageResult(5, 20.0, [passed], [])], seconds=3.2),
        Grade("=1+1|x", [StageResult(1, 10.0, [passed, failed], []), StageResult(5, 20.0, [named], ["5"])]),
        Grade("eve", [StageResult(1, 10.0, [passed], [], "it cheats"), StageResult(5, 20.0, [passed], [])]),
        Grade("lost", [], "the submission 'lost' cannot be read"),
    ]


@pytest.mark.parametrize("name", ["gradescope", "exercism"])
def test_results_for_others_are_as_their_schema_says(name: str):
    schema = json.loads((ROOT / "checks" / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    for each in some_grades():
        jsonschema.validate(json.loads(json.dumps(getattr(formats, name)(each))), schema)


def test_gradescope_gets_the_points_of_each_test():
    result = formats.gradescope(some_grades()[1])
    assert [test["score"] for test in result["tests"]] == [5.0, 0.0, 0.0]
    assert [test["max_score"] for test in result["tests"]] == [5.0, 5.0, 20.0]
    assert result["score"] == 5.0
    assert formats.gradescope(some_grades()[2])["score"] == 20.0


def test_junit_has_the_elements_and_attributes_of_its_schema():
    rules = json.loads((ROOT / "checks" / "schemas" / "junit.json").read_text(encoding="utf-8"))

    def check(element: ET.Element) -> None:
        rule = rules[element.tag]
        assert set(rule["required"]) <= set(element.keys()) <= {*rule["required"], *rule["optional"]}, element.tag
        for child in element:
            assert child.tag in rule["holds"]
            check(child)

    root = ET.fromstring(formats.junit(some_grades()))
    check(root)
    assert len(root.findall(".//failure")) == 3
    assert len(root.findall(".//error")) == 1


def test_the_csv_has_a_line_a_student_and_no_formula():
    lines = formats.as_csv(some_grades()).splitlines()
    assert lines[0] == "student,score,max_score,stage_1,stage_5,note"
    assert lines[1] == "ada,30.00,30.00,10.00,20.00,"
    assert lines[2].startswith("'=1+1|x,5.00,")
    assert len(lines) == 5


def test_the_reports_name_the_mistake_and_the_hardest_todo():
    report = formats.class_report(some_grades(), "walls")
    assert "scores not scaled (1)" in report
    assert "TODO 5 (not right in 1 of 3)" in report
    assert "The scores are not divided." in formats.student_report(some_grades()[1])
    assert "talk to your instructor" in formats.student_report(some_grades()[2])


def test_the_median_of_two_is_between_them():
    grades = [Grade(name, [StageResult(1, 10.0, [Verdict("t", won)], [])]) for name, won in (("a", True), ("b", False))]
    assert "Points: median 5.0, from 0.0 to 10.0 of 10." in formats.class_report(grades, "walls")


def test_a_grade_survives_being_kept():
    for each in some_grades():
        assert Grade.from_json(json.loads(json.dumps(each.to_json()))) == each


# ---- what goes in


def test_points_are_said_by_stage():
    assert parse_points("5=20, 10=2.5") == {**dict.fromkeys(range(1, 11), 10.0), 5: 20.0, 10: 2.5}
    for wrong in ("5", "11=3", "5=-1", "x=1"):
        with pytest.raises(ValueError, match="is not STAGE=POINTS"):
            parse_points(wrong)


def test_a_submission_is_a_folder_an_archive_or_a_repository(tmp_path: Path):
    folder = Path(submit(tmp_path, "ada", {"head_v4.py": "mine = 1"}))
    want = read_submission(str(folder)).files
    assert want["head_v4.py"] == b"mine = 1"
    for kind in ("zip", "gztar", "xztar"):
        archive = shutil.make_archive(str(tmp_path / f"packed-{kind}" / "ada"), kind, tmp_path, "ada")
        assert read_submission(archive) == ("ada", want)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / "gpt" / "head_v4.py").write_text("not committed", encoding="utf-8")
    assert read_submission(f"file://{folder}") == ("ada", want)


def test_the_learner_s_own_files_are_taken_and_not_finished_ones_beside_them(tmp_path: Path):
    folder = Path(submit(tmp_path, "repository", {"head_v4.py": "mine = 1"}))
    shutil.copytree(ROOT / "solutions", folder / "solutions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(folder / "gpt", folder / "old" / "gpt")
    (folder / "old" / "gpt" / "head_v4.py").write_text("old = 1", encoding="utf-8")
    assert read_submission(str(folder)).files["head_v4.py"] == b"mine = 1"
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    assert read_submission(archive).files["head_v4.py"] == b"mine = 1"


def test_what_is_no_submission_is_named(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive", encoding="utf-8")
    for name in ("nowhere", "empty", "text.zip"):
        with pytest.raises(UserError, match=name):
            read_submission(str(tmp_path / name))


def test_what_is_wrong_with_a_repository_is_said(tmp_path: Path):
    subprocess.run(["git", "init", "-q", "--bare", "empty.git"], cwd=tmp_path, check=True)
    with pytest.raises(UserError, match="cannot be read: git says: .*HEAD"):
        read_submission(str(tmp_path / "empty.git"))
    folder = Path(submit(tmp_path, "large", {"head_v4.py": "#" * 300_000}))
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    with pytest.raises(UserError, match="a stage file is larger than 256 KiB"):
        read_submission(f"file://{folder}")


def test_students_have_names_of_their_own(tmp_path: Path):
    """Whether their submission can be read or not, however long they are, and beside the report of the class."""
    (tmp_path / "lee.zip").write_text("no archive", encoding="utf-8")
    assert student_name(str(tmp_path / "lee.zip")) == "lee"
    long = ["\N{HANGUL SYLLABLE GA}" * 82 + end for end in ("a", "b")]
    files = [grade.file_name(name) for name in long]
    assert len(set(files)) == 2
    assert all(len(f"{name}.json.part".encode()) <= 255 for name in files)
    paths = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("class", "lee"):
            (tmp_path / folder / f"{name}.zip").write_text("no archive", encoding="utf-8")
            paths.append(str(tmp_path / folder / f"{name}.zip"))
    grades = grade.grade_all(paths, {1: 10.0}, tmp_path / "grades", jobs=1, limits=Limits())
    assert [(g.student, g.points) for g in grades] == [(n, 10.0) for n in ("class-2", "lee", "class-3", "lee-2")]


def test_a_path_that_is_not_there_is_no_student(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no submission '.*\*'"):
        grade.main([str(tmp_path), str(tmp_path / "*"), "--out", str(tmp_path / "grades")])
    assert not (tmp_path / "grades").exists()


def test_a_bubblewrap_that_does_not_work_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho no permissions >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    sandbox.bubblewrap.cache_clear()
    try:
        assert "bubblewrap does not work here (no permissions)" in sandbox.walls()
    finally:
        sandbox.bubblewrap.cache_clear()


def test_an_interrupted_class_goes_on_where_it_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second call grades what is new alone; a changed file is graded again."""
    ran: list[int] = []
    monkeypatch.setattr(grade, "refer", lambda *_: grade.Reference({1: ["tests/test_1.py::test_a"]}, {1: {}}))
    monkeypatch.setattr(grade, "run_stage", lambda *_: ran.append(1) or grade.Outcome([], "gone", 0))
    paths = [submit(tmp_path, name, {}) for name in ("ada", "bob")]
    for expected in (1, 2, 2):
        grade.grade_all(paths[: min(expected, 2)], {1: 10.0}, tmp_path / "out", 1, Limits())
        assert len(ran) == expected
    Path(paths[0], "gpt", "gpt_v1.py").write_text("changed", encoding="utf-8")
    grade.grade_all(paths, {1: 10.0}, tmp_path / "out", 1, Limits())
    assert len(ran) == 3


def test_after_one_stage_ran_out_of_time_the_submission_s_others_get_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another submission's do not, nor those beside a stage that used up its memory; and the report says so."""
    seen: list[tuple[str, int]] = []

    def stopped(desk: Path, number: int, slot: int, limits: Limits) -> grade.Outcome:
        seen.append((desk.name, limits.computing))
        memory = (desk.name, number) == ("0", 1)
        return grade.Outcome([], "stopped: it used more memory" if memory else "stopped after a while", 0)

    stages = {1: 10.0, 2: 10.0, 3: 10.0}
    tests = {n: [f"tests/test_{n}.py::test_a"] for n in stages}
    monkeypatch.setattr(grade, "refer", lambda *_: grade.Reference(tests, {n: {} for n in stages}))
    monkeypatch.setattr(grade, "run_stage", stopped)
    paths = [submit(tmp_path, name, {}) for name in ("ada", "bob")]
    grades = grade.grade_all(paths, stages, tmp_path / "out", 1, Limits())
    assert seen == [("0", 60), ("0", 60), ("0", 20), ("1", 60), ("1", 20), ("1", 20)]
    assert "a third of the time" not in grades[0].stages[1].tests[0].message
    assert "a third of the time" in grades[0].stages[2].tests[0].message


@pytest.mark.skipif(NO_WALLS, reason="bubblewrap is not installed: apt install bubblewrap")
def test_the_command_writes_every_file(tmp_path: Path):
    """As an instructor calls it, on one submission and the cheapest stage."""
    options = [
        word for name in ("json", "gradescope", "exercism", "junit", "csv") for word in (f"--{name}", f"o.{name}")
    ]
    command = [
        sys.executable,
        "-m",
        "course",
        "grade",
        submit(tmp_path, "ada", {}, FINISHED),
        "--stages",
        "9",
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    assert "10.0 of 10 points" in done.stdout
    assert (tmp_path / "o.csv").read_bytes().startswith(b"\xef\xbb\xbfstudent,")  # Excel needs the mark
    assert json.loads((tmp_path / "o.gradescope").read_text(encoding="utf-8"))["score"] == 10.0
    assert {p.name for p in (tmp_path / "grades").iterdir()} == {"class.md", "ada.md", "ada.json"}
