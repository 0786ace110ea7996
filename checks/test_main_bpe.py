"""main_bpe.py, as its user runs it."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import main_bpe
from checks.conftest import ROOT, Done
from training.bpe import BPE
from training.bpe_basic import words

KOREAN = "사과를 먹는 아이가 바다를 본다.\n바다를 보는 아이가 사과를 먹는다.\n" * 30


def run(*options: str) -> Done:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main_bpe.main(list(options))
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.txt"
    path.write_text((ROOT / "input.txt").read_text(encoding="utf-8")[:5000], encoding="utf-8")
    return path


@pytest.fixture
def figure(tmp_path: Path) -> Path:
    return tmp_path / "new" / "BPE.png"


def test_the_first_merges_are_shown_with_their_counts(page: Path, figure: Path):
    done = run("--text", str(page), "--figure", str(figure), "--merges", "30")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("becomes one symbol\n")[1].splitlines()[:20]
    assert [int(line.split()[0]) for line in lines] == list(range(1, 21))
    frequency = page.read_text(encoding="utf-8").count(" t")
    assert lines[0].split(maxsplit=2)[1:] == [str(frequency), "' ' + 't' -> ' t'"]


def test_the_symbols_in_use_rise_and_fall_to_the_number_of_words(page: Path):
    text = page.read_text(encoding="utf-8") + "hmmm haaaah"
    merges, curve = main_bpe.learn_aloud(text, sys.maxsize)
    assert curve.distinct[0] == len(set(text.encode()))
    assert max(curve.distinct) > curve.distinct[-1] == len(set(words(text)))
    assert curve.length[-1] == len(words(text))
    for n in (1, 10, 100, curve.peak):
        ids = BPE(merges[:n]).encode(text)
        assert (curve.distinct[n], curve.length[n]) == (len(set(ids)), len(ids))


def test_a_figure_is_drawn_where_it_is_asked_for(page: Path, figure: Path):
    done = run("--text", str(page), "--figure", str(figure))
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.as_posix() in done.stdout


def test_a_sentence_is_shown_in_pieces_and_in_three_vocabularies(tmp_path: Path, figure: Path):
    (tmp_path / "text.txt").write_text("the hammer and the hammers don't " * 3, encoding="utf-8")
    done = run("--text", str(tmp_path / "text.txt"), "--figure", str(figure), "--show", "the hamers don't \N{GHOST}")
    assert r"the| ham|er|s| don|'t| |\xf0|\x9f|\x91|\xbb" in done.stdout
    rows = {line.split()[0]: line.split()[1:4] for line in done.stdout.split("needs for it:")[1].splitlines()[2:6]}
    assert rows["the"][:2] == ["1", "3"]
    assert rows["don't"][:2] == ["1", "5"]
    assert rows["hamers"][:2] == ["unknown", "6"]
    assert rows["\N{GHOST}"] == ["unknown", "1", "unknown"]


def test_korean_is_learned_and_shown(tmp_path: Path, figure: Path):
    (tmp_path / "korean.txt").write_text(KOREAN, encoding="utf-8")
    done = run("--text", str(tmp_path / "korean.txt"), "--figure", str(figure), "--show", "바다를 보는 아이가")
    assert done.returncode == 0, done.stderr
    assert "바다를| 보는| 아이가\n" in done.stdout
    assert r"'\xeb" in done.stdout, "the first merges are parts of syllables"


def test_more_merges_than_the_text_allows_are_told(tmp_path: Path, figure: Path):
    (tmp_path / "short.txt").write_text("abab ab", encoding="utf-8")
    done = run("--text", str(tmp_path / "short.txt"), "--figure", str(figure), "--merges", "1000")
    assert done.returncode == 0, done.stderr
    assert "The text allows 3 merges" in done.stdout


@pytest.mark.parametrize("merges", ["0", "1000"])
def test_a_text_of_one_character_has_nothing_to_merge(tmp_path: Path, figure: Path, merges: str):
    (tmp_path / "one.txt").write_text("a", encoding="utf-8")
    done = run("--text", str(tmp_path / "one.txt"), "--figure", str(figure), "--merges", merges)
    assert done.returncode == 0, done.stderr
    assert figure.exists()


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("", "0 merges,   0 symbols  \n"),
        (" ", "0 merges,   1 symbols   \n"),
        ("[red]x :ghost:", "\n [red]x   unknown"),
        ("a\x1b[31m\nb", r" a|\x1b|[|3|1|m|\n|b"),
        ("caf\udce9", r" c|a|f|\xe9"),
    ],
)
def test_any_sentence_can_be_shown(page: Path, figure: Path, sentence: str, shown: str):
    done = run("--text", str(page), "--figure", str(figure), "--merges", "200", "--show", sentence)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--text", "nowhere.txt"], ["nowhere.txt", "--text"]),
        (["--merges", "-1"], ["--merges", "-1"]),
        (["--merges", "many"], ["--merges", "many"]),
        (["--frobnicate"], ["--frobnicate", "main_bpe.py --help"]),
        (["--merges", "1", "--figure", "."], ["figure '.'", "--figure"]),
    ],
)
def test_bad_input_gets_a_sentence_that_names_it(options: list[str], named: list[str]):
    done = run(*options)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    for word in named:
        assert word in done.stderr


@pytest.mark.parametrize(("content", "named"), [(b"", "is empty"), (b"a\xff", "not UTF-8"), (b"a\0", "binary")])
def test_a_text_that_cannot_be_used_is_described(tmp_path: Path, content: bytes, named: str):
    (tmp_path / "text.txt").write_bytes(content)
    done = run("--text", str(tmp_path / "text.txt"))
    assert done.returncode == 2
    assert named in done.stderr
    assert "--text PATH" in done.stderr


def test_help_imports_nothing_heavy():
    code = (
        "import sys, contextlib, main_bpe\n"
        "with contextlib.suppress(SystemExit): main_bpe.main(['--help'])\n"
        "heavy = {'torch', 'matplotlib', 'numpy', 'rich', 'pydantic', 'regex', 'tokenizers'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for option in ("--text", "--merges", "--show", "--figure"):
        assert option in done.stdout


def test_a_console_without_the_characters_survives(tmp_path: Path, figure: Path):
    (tmp_path / "korean.txt").write_text(KOREAN, encoding="utf-8")
    command = [sys.executable, str(ROOT / "main_bpe.py"), "--text", "korean.txt", "--figure", str(figure)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr.decode("ascii")
