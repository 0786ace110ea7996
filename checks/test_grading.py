"""Grading: right code gets its points, no attack gets one, and the files for others are as they want them."""

import shutil
import sys
from pathlib import Path

import pytest

from checks.attacks import ATTACKS, harmless, links_and_dots, zip_bomb, zip_with_a_link
from checks.conftest import ROOT
from course import grade
from course.grading.marking import Grade
from course.grading.sandbox import Limits

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
        paths, {1: 10.0}, folder / "grades", jobs=2, limits=Limits(clock=60.0, test=30.0, computing=12)
    )
    return {g.student: g for g in grades}


@pytest.mark.parametrize("name", [*ATTACKS, "with files of its own", "links", "bomb", "link"])
def test_an_attack_gets_no_point(attacked: dict[str, Grade], name: str):
    key = next(student for student in attacked if student.removesuffix(".tar.gz").removesuffix(".zip") == name)
    assert attacked[key].score == 0, attacked[key]


@pytest.mark.parametrize("name", ["right, first", "harmless", "right, last"])
def test_a_right_submission_gets_all_points_whoever_sits_beside_it(attacked: dict[str, Grade], name: str):
    assert attacked[name].score == 10, [t for t in attacked[name].stages[0].tests if not t.passed][:3]
