"""python -m course doctor: what is wrong with a machine is found, with the way out, and the rest is well."""

import re
from pathlib import Path

import pytest

from checks.learner import Learner

PATIENT = "import sys\nfrom course.commands import doctor\ndoctor.SLOW = 1000\n"  # a busy machine is no finding here
CALL = "from course.__main__ import main\nsys.exit(main(['doctor', '--quick']))\n"
WITHOUT_TORCH = (
    "sys.modules['torch'] = sys\n"
    "doctor.speed = doctor.finished_code = lambda *_, **__: doctor.Finding('passed over', '')\n"
)


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(tmp_path)


def quick(learner: Learner, change: str = "", **environment: str) -> tuple[int, str]:
    """All but what takes long: exit code and output."""
    done = learner.run("-c", PATIENT + WITHOUT_TORCH + change + CALL, **environment)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_machine_that_is_well_is_told_so_after_the_finished_code_has_passed(tmp_path: Path):
    learner = Learner(tmp_path, tests=True)
    done = learner.run("-c", PATIENT + CALL)
    assert done.returncode == 0, done
    assert "!!" not in done.stdout
    assert re.search(
        r"^ok  Speed: a training step of the usual size takes \d+ ms \(\w+, \d+ threads\)$", done.stdout, re.M
    )
    assert re.search(r"^ok  Finished code: passes the tests of stage 5, in \d+ s$", done.stdout, re.M)
    assert done.stdout.endswith("All is well with this machine.\n")


def test_finished_code_that_fails_is_the_machines_fault(tmp_path: Path):
    learner = Learner(tmp_path)
    learner.file("tests/test_5.py", "def test_one():\n    pass\n\n\ndef test_two():\n    assert 1 == 2\n")
    done = learner.run("-c", PATIENT + CALL)
    assert done.returncode == 1
    assert "!!  Finished code: tests/test_5.py::test_two\n    -> not your code's fault; please report" in done.stdout
    assert "To mend: 1, marked with !!" in done.stdout


def test_packages_are_compared_with_the_requirements(learner: Learner):
    code, shown = quick(learner)
    assert code == 0
    assert re.search(r"^ok  Packages: all \d+ as requirements.txt names them, torch 2\.13\.0", shown, re.M)
    text = re.sub("rich==.*", "rich==1.0", learner.file("requirements.txt"))
    learner.file("requirements.txt", text + "not-there-at-all==2.0  # for the test\n")
    code, shown = quick(learner)
    assert code == 1
    assert re.search(r"!!  Packages: rich \S+ \(wanted: 1.0\), not-there-at-all missing \(wanted: 2.0\)\n", shown)
    assert "    -> python -m pip install -r requirements.txt\n" in shown


def test_a_torch_that_cannot_be_imported_is_named(learner: Learner):
    learner.file("hide/torch.py", "raise OSError('a library of torch is missing')\n")
    done = learner.run("-c", PATIENT + CALL, PYTHONPATH=str(learner.root / "hide"))
    code, shown = done.returncode, done.stdout
    assert code == 1
    assert "!!  torch: OSError: a library of torch is missing\n    -> python -m pip install" in shown


@pytest.mark.parametrize("name", ["random.py", "torch.py"])
def test_a_file_that_hides_a_package_is_found_before_it_does_harm(learner: Learner, name: str):
    learner.file(name, "raise RuntimeError('imported')\n")
    done = learner.course("doctor", "--quick")
    assert done.returncode == 1
    assert f"!!  File names: {name}\n    -> rename {name}: " in done.stdout
    assert done.stderr == ""


def test_a_gone_file_a_full_disk_a_closed_folder_and_an_old_python_are_named(learner: Learner):
    (learner.root / "gpt/gpt_v3.py").unlink()
    code, shown = quick(
        learner,
        "import shutil, tempfile\n"
        "def closed(*args, **kwargs): raise PermissionError(13, 'Permission denied')\n"
        "tempfile.TemporaryFile = closed\n"
        "doctor.OLDEST_PYTHON = (9, 9)\n",
    )
    assert code == 1
    assert "!!  gpt/: not there: gpt_v3.py\n    -> python -m course reset 6-1, python -m course reset 6-2" in shown
    assert re.search(r"!!  Folder: .*; Permission denied\n    -> put the course into a folder of your own", shown)
    assert re.search(r"!!  Python: 3\.\S+ .*\n    -> install Python 9.9 or newer", shown)
    assert "To mend: 3" in shown
    shown = quick(learner, "doctor.ROOM = 1e9\n")[1]
    assert re.search(r"!!  Folder: \d+\.\d GB free in .*\n    -> make room", shown)


def test_a_console_without_hangul_is_a_finding_in_korean_only(learner: Learner):
    assert "ok  Console: ascii" in quick(learner, PYTHONIOENCODING="ascii")[1]
    code, shown = quick(learner, PYTHONIOENCODING="ascii", LANG="ko_KR.UTF-8")
    assert code == 1
    assert "PYTHONUTF8=1" in shown
