"""The generator of gpt/: what it makes, and what it refuses."""

from pathlib import Path

import pytest

from course.scaffold import ScaffoldError, differing, scaffold_text, write

SOURCE = '''"""Doc."""

def f(x):
    y = x
    # TODO 3: double it
    y = 2 * x

    # a comment that gives it away
    return y
    # END TODO 3
'''


def test_a_region_becomes_one_raise_and_all_else_stays():
    assert scaffold_text(SOURCE) == (
        '"""Doc."""\n\ndef f(x):\n    y = x\n    # TODO 3: double it\n'
        '    raise NotImplementedError("TODO 3: double it")\n    # END TODO 3\n'
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    # END TODO 3\n", "", "TODO 3 is not closed"),
        ("    # TODO 3: double it\n", "", ":9: END TODO 3 closes no region"),
        ("# END TODO 3", "# END TODO 4", ":10: END TODO 4 closes no region"),
        ("    # END TODO 3", "  # END TODO 3", ":10: END TODO 3 closes no region"),
        ("    y = 2 * x", "    # TODO 4: nested", ":6: TODO 4 begins inside TODO 3"),
        ("# TODO 3: double it", "# Todo 3: double it", ":5: not a marker, but close to one"),
        ("# TODO 3: double it", "#TODO 3: double it", ":5: not a marker, but close to one"),
        ("# TODO 3: double it", "# TODO 3 double it", ":5: not a marker, but close to one"),
        ("# END TODO 3", "# END  TODO 3", ":10: not a marker, but close to one"),
        ("double it", 'say "two"', ":5: a TODO's text may hold neither"),
    ],
)
def test_wrong_markers_are_refused_with_their_line(old: str, new: str, message: str):
    with pytest.raises(ScaffoldError, match=message):
        scaffold_text(SOURCE.replace(old, new), "f.py")


def test_without_sources_nothing_is_touched(tmp_path: Path):
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "f.py").write_text("mine", encoding="utf-8")
    with pytest.raises(ScaffoldError, match="no solutions/gpt/"):
        write(tmp_path)
    assert (tmp_path / "gpt" / "f.py").exists()


def test_the_tree_is_written_checked_and_kept_in_step(tmp_path: Path):
    solutions, gpt = tmp_path / "solutions" / "gpt", tmp_path / "gpt"
    solutions.mkdir(parents=True)
    (solutions / "f.py").write_text(SOURCE, encoding="utf-8")
    assert write(tmp_path) == [gpt / "f.py"]
    assert differing(tmp_path) == []
    (gpt / "f.py").write_text(SOURCE, encoding="utf-8")
    (gpt / "stray.py").write_text("", encoding="utf-8")
    assert differing(tmp_path) == [gpt / "f.py", gpt / "stray.py"]
    write(tmp_path)
    assert differing(tmp_path) == []
    assert not (gpt / "stray.py").exists()
