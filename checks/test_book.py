"""The book and the READMEs: what they show runs, what they name exists, and both languages say the same."""

import contextlib
import doctest
import importlib
import io
import json
import re
import shlex
import unicodedata
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch

import main
from checks.conftest import ROOT
from checks.pages import Page, page
from course import book
from course.__main__ import COMMANDS
from course.stages import STAGES, Stage
from training.config import load_config
from training.errors import UserError

BOOK = ROOT / "book"
NAMES = sorted({path.name for path in BOOK.glob("*/[0-9][0-9]-*.md")} | {stage.chapter for stage in STAGES})
CHAPTERS = [f"book/{language}/{name}" for language in book.LANGUAGES for name in NAMES]
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *BOOK.glob("**/*.md")])
KOREAN = ["README.ko.md", *(name for name in CHAPTERS if name.startswith("book/ko/"))]
ENGLISH = [name for name in PAGES if name not in KOREAN and "/ko/" not in name]

every_chapter = pytest.mark.parametrize("name", CHAPTERS)
every_pair = pytest.mark.parametrize("name", NAMES)
every_page = pytest.mark.parametrize("name", PAGES)
every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.chapter)
each_language = pytest.mark.parametrize("language", book.LANGUAGES)


def read(name: str) -> Page:
    return page(ROOT / name)


def both(name: str) -> tuple[Page, Page]:
    return read(f"book/en/{name}"), read(f"book/ko/{name}")


# What is shown, runs


@every_chapter
def test_the_code_of_a_chapter_runs_as_shown(name: str):
    """All its ```python fences in their order and in one namespace, as one would type them at the prompt."""
    codes = [fence.code for fence in read(name).fences if fence.language == "python"]
    assert all(">>> " in code for code in codes), "a ```python fence without >>> is not run: make it ```text"
    assert codes
    report = run("\n".join(codes))
    assert not report, f"{name}:\n{report}"


@cache
def run(code: str) -> str:
    """What doctest has to say. Both languages show the same code, which is run once."""
    test = doctest.DocTestParser().get_doctest(code, {"__name__": "__main__"}, "chapter", "chapter", 0)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.chdir(ROOT)
        doctest.DocTestRunner(optionflags=doctest.REPORT_ONLY_FIRST_FAILURE).run(test, out=said.append)
    return "".join(said)


@every_chapter
def test_decimal_numbers_of_the_text_are_computed_in_its_code(name: str):
    """So that none goes stale. Sections, versions and licences are no such numbers."""
    shown = numbers("\n".join(fence.code for fence in read(name).fences))
    calibration = ROOT / "benchmarks" / "calibration.json"
    if calibration.exists():
        shown |= numbers(json.dumps(json.loads(calibration.read_text(encoding="utf-8"))))
    names = r"(sections?|Python|PyTorch|torch|CC0|GPT-) ?[\d., and]*\d\+?|[\d.]+(?=절)"
    prose = re.sub(names, "", "\n".join(read(name).blocks))
    unfounded = [n for n in re.findall(r"(?<![\w.])\d[\d,]*\.\d+(?![\w.]*\d)", prose) if not numbers(n) <= shown]
    assert not unfounded, f"{name} has {unfounded}, which none of its code fences shows"


def numbers(text: str) -> set[float]:
    found = re.findall(r"(?<![\w.])\d[\d,_]*(?:\.\d*)?(?:e[+-]?\d+)?", text)
    return {float(re.sub("[,_]", "", number)) for number in found}


@every_stage
@each_language
def test_a_chapter_names_the_tests_of_its_stage(stage: Stage, language: str):
    code = (ROOT / stage.test).read_text(encoding="utf-8")
    experiments = (ROOT / "tests" / "experiments" / f"stage_{stage.number}.py").read_text(encoding="utf-8")
    compared = set(re.findall(r'"(test_\w+)"', experiments))  # these have a section of their own
    there = set(re.findall(r"^def (test_\w+)", code, re.MULTILINE))
    named = {word for word in read(f"book/{language}/{stage.chapter}").inline_code if word.startswith("test_")}
    named = {word for word in named if not word.endswith(".py")}
    assert there - compared <= named, there - compared - named
    assert named <= there | compared, named - there - compared


@every_pair
def test_both_languages_have_as_many_paragraphs(name: str):
    english, korean = (shown.blocks for shown in both(name))
    assert len(english) == len(korean), "a paragraph, heading, item or cell is missing in one of them"


@every_page
def test_every_command_names_files_and_options_that_exist(name: str):
    wrong = {command: problem for command in commands(read(name)) if (problem := what_is_wrong_with(command))}
    assert not wrong, f"{name}: {wrong}"


def commands(shown: Page) -> list[str]:
    """Lines of fences, and inline code, that call Python, pytest or pip; without the explanation after two spaces."""
    lines = [line for fence in shown.fences if fence.language != "python" for line in fence.code.splitlines()]
    said = [re.split(r" {2,}| # ", line.strip())[0] for line in [*lines, *shown.inline_code]]
    return [part for line in said for part in line.split(" && ") if re.match(r"(pytest|python3?|py|pip) ", part)]


def what_is_wrong_with(command: str) -> str | None:
    program, *rest = shlex.split(re.sub(r"\bN\b|(?<=_)N(?=\.)", "1", command))  # "tests/test_N.py": any stage's
    if program == "pytest" or rest[:2] == ["-m", "pytest"]:
        return wrong_for_pytest([word for word in rest if word not in ("-m", "pytest")])
    if program == "pip" or rest[:2] == ["-m", "pip"]:
        return next((f"no {word}" for word in rest if word.endswith(".txt") and not (ROOT / word).exists()), None)
    if rest[:2] == ["-m", "course"]:
        return wrong_for_course(rest[2:])
    if rest[0] == "main.py":
        return wrong_for_main(rest[1:])
    if rest[0] in ("-m", "--version", "-c", "-V"):
        return None if rest[0] != "-m" or rest[1] in ("venv", "course") else f"what is {rest[1]}?"
    if not (ROOT / rest[0]).exists():
        return f"no {rest[0]}"
    source = (ROOT / rest[0]).read_text(encoding="utf-8")
    return next((f"no {w}" for w in rest if w.startswith("--") and f'"{w.partition("=")[0]}"' not in source), None)


def wrong_for_pytest(words: list[str]) -> str | None:
    known = {"-s", "-v", "-vv", "-q", "-x", "--solutions", "--tb=long", "--lf"}
    words = words[: words.index("-k")] if "-k" in words else words
    for word in words:
        path, _, test = word.partition("::")
        if word.startswith("-") and word not in known:
            return f"no {word}"
        if not word.startswith("-") and not (ROOT / path).exists():
            return f"no {path}"
        if test and f"def {test.partition('[')[0]}(" not in (ROOT / path).read_text(encoding="utf-8"):
            return f"no {test}"
    return None


def wrong_for_main(words: list[str]) -> str | None:
    if "--help" in words:
        return None
    try:
        args, overrides = main.parse(words)
        if not args.write:
            load_config(args.config, args.preset, overrides)
    except UserError as error:
        return str(error)
    return None


def wrong_for_course(words: list[str]) -> str | None:
    if not words or words == ["--help"]:
        return None
    if words[0] not in COMMANDS:
        return f"no course command {words[0]}"
    return next((f"no {w}" for w in words[1:] if w.startswith("--") and w not in help_of(words[0])), None)


@cache
def help_of(command: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        importlib.import_module(f"course.commands.{command}").main(["--help"])
    return out.getvalue()


# What is named, is there


@every_page
def test_every_link_and_image_leads_somewhere(name: str):
    here = read(name)
    broken = [link for link in here.links if not leads_somewhere(here, link)]
    assert not broken, f"{name}: {broken}"


def leads_somewhere(here: Page, link: str) -> bool:
    """Addresses on the web are not fetched. A file's name is compared in its upper and lower case."""
    if re.match(r"(https?|mailto):", link):
        return True
    place, _, anchor = unquote(link).partition("#")
    path = (here.path.parent / place).resolve() if place else here.path
    if not path.exists() or path.name not in {p.name for p in path.parent.iterdir()}:
        return False
    return not anchor or anchor in page(path).anchors


@every_page
def test_every_picture_says_in_words_what_it_shows(name: str):
    assert not read(name).images_without_words


def test_every_figure_is_drawn_and_light(figures: dict):
    for name in figures:
        assert (ROOT / "img" / f"{name}.png").stat().st_size < 150_000, name


def test_a_figure_is_drawn_again_byte_for_byte(figures: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pen = importlib.import_module("pen")
    drawn = []
    for again in ("once", "twice"):
        (tmp_path / again).mkdir()
        monkeypatch.setattr(pen, "IMG", tmp_path / again)
        figures["FeedForward"]()
        drawn.append([path.read_bytes() for path in sorted((tmp_path / again).iterdir())])
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 2


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.syspath_prepend(ROOT / "img")
    importlib.import_module("diagrams")
    importlib.import_module("charts")
    return importlib.import_module("pen").FIGURES


# The parts of a chapter


@every_chapter
def test_a_chapter_has_its_fixed_sections_in_their_order(name: str):
    """The chapters of the stages have all of them; the first and the last have no TODO, and leave some out."""
    language = name.split("/")[1]
    fixed = [heading[language] for heading in book.SECTIONS.values()]
    there = [heading.text for heading in read(name).headings if heading.level == 2 and heading.text in fixed]
    is_stage = Path(name).name in {stage.chapter for stage in STAGES}
    assert there == [heading for heading in fixed if is_stage or heading in there]
    assert [heading.level for heading in read(name).headings].count(1) == 1


@every_stage
@each_language
def test_every_todo_is_set_and_has_three_hints_or_more(stage: Stage, language: str):
    text = book.read_chapter(stage.chapter, language)
    task = book.sections(text)[book.SECTIONS["todo"][language]]
    for todo in stage.todos:
        assert f"TODO {todo.number}" in task, f"the section on what is to be done has no TODO {todo.number}"
        assert len(book.hints(text, todo.number, language)) >= 3, f"hints for TODO {todo.number}"
    assert stage.test in text


@every_chapter
def test_every_question_has_an_answer_that_is_folded_away(name: str):
    text = read(name).text
    questions = book.questions(text, name.split("/")[1])
    assert questions
    for number, (question, answer) in enumerate(questions, start=1):
        assert question, f"question {number}"
        assert len(answer) > 40, f"the answer to question {number}: {answer!r}"
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>") == text.count("</summary>")


@every_chapter
def test_a_chapter_is_read_in_fifteen_minutes(name: str):
    """At 200 English words or 500 Korean letters a minute, code not counted, answers counted."""
    prose = " ".join(read(name).blocks)
    minutes = len(re.sub(r"\s", "", prose)) / 500 if "/ko/" in name else len(prose.split()) / 200
    assert minutes <= 15, f"{minutes:.1f} minutes"


@every_page
def test_markdown_leaves_the_formulas_as_they_are(name: str):
    """In $$ it takes the backslash before punctuation (a line break, a thin space); in a ```math fence it does not."""
    formulas = [f for t in read(name).tokens if t.type == "inline" for f in re.findall(r"\$[^$]+\$", t.content)]
    assert not [formula for formula in formulas if re.search(r"\\[!-/:-@\[-`{-~]", formula)]


# Both languages


def test_both_languages_have_the_same_chapters():
    for language in book.LANGUAGES:
        assert [path.name for path in sorted((BOOK / language).glob("[0-9][0-9]-*.md"))] == NAMES, language


@every_pair
def test_both_languages_show_the_same_code(name: str):
    """To the letter in Python; in other fences, the explanations after two spaces are translated."""
    english, korean = ([(f.language, comparable(f.language, f.code)) for f in p.fences] for p in both(name))
    assert english == korean


def comparable(language: str, code: str) -> str | list[str]:
    return code if language == "python" else [re.split(" {2,}", line.strip())[0] for line in code.splitlines()]


@every_pair
def test_both_languages_have_the_same_headings(name: str):
    """As many of each level in the same order; the fixed ones and those of the TODOs at the same places."""
    outlines = []
    for language, shown in zip(book.LANGUAGES, both(name), strict=True):
        keys = {heading[language]: key for key, heading in book.SECTIONS.items()}
        todo = {h: match[0] for h in shown.headings if (match := re.match(r"TODO \d+(-\d+)?", h.text))}
        outlines.append([(h.level, keys.get(h.text), todo.get(h)) for h in shown.headings if h.level <= 3])
    assert outlines[0] == outlines[1]


@every_pair
def test_both_languages_have_the_same_hints_questions_links_and_pictures(name: str):
    english, korean = both(name)
    for todo in [todo.number for stage in STAGES if stage.chapter == name for todo in stage.todos]:
        assert len(book.hints(english.text, todo, "en")) == len(book.hints(korean.text, todo, "ko")), f"TODO {todo}"
    assert len(book.questions(english.text, "en")) == len(book.questions(korean.text, "ko"))
    assert english.links == [link.replace("/ko/", "/en/") for link in korean.links]


# Letters


@every_page
def test_a_page_is_clean_utf_8(name: str):
    """No replacement characters, no text that was decoded with the wrong encoding, Hangul in composed form."""
    text = read(name).text
    assert not text.startswith("\ufeff")
    assert unicodedata.normalize("NFC", text) == text
    assert not [c for c in text if unicodedata.category(c) in ("Cs", "Co", "Cn", "Cc") and c != "\n" or c == "\ufffd"]
    assert not double_encoded(text)
    assert not re.findall("[一-鿿]", text), "Chinese characters: Hangul read in another encoding?"


def double_encoded(text: str) -> list[str]:
    """Pieces that become other letters when they are taken for UTF-8 that was read as Latin-1 or Windows-1252."""
    found = []
    for piece in re.findall(r"[^\x00-\x7f]{2,}", text):
        for encoding in ("cp1252", "latin-1"):
            with contextlib.suppress(UnicodeError):
                piece.encode(encoding).decode("utf-8")
                found.append(piece)
    return found


def test_double_encoded_letters_are_recognised():
    for word in ("모델", "é", "…", "√"):
        assert double_encoded(word.encode().decode("latin-1"))
    assert not double_encoded("모델 … √ naïve “é” 1 − 2 × 3 ½½ ··")


def hangul(text: str) -> float:
    """The share of Hangul among the letters."""
    letters = [c for c in text if c.isalpha()]
    return sum("가" <= c <= "힣" for c in letters) / max(1, len(letters))


def unquoted(text: str) -> str:
    return re.sub(r"“[^”]*”|‘[^’]*’|\"[^\"]*\"|'[^']*'", "`", text)


@pytest.mark.parametrize("name", KOREAN)
def test_the_korean_pages_are_korean(name: str):
    """As a whole, and each paragraph but those on the literature, whose titles are in English."""
    shown = read(name)
    assert hangul(" ".join(shown.blocks)) > 0.5
    before_reading = shown.text.partition(f"## {book.SECTIONS['reading']['ko']}")[0]
    paragraphs = [unquoted(block) for block in Page(shown.path, before_reading).blocks]
    foreign = [text for text in paragraphs if sum(c.isalpha() for c in text) > 60 and hangul(text) < 0.3]
    assert not foreign, foreign


@pytest.mark.parametrize("name", ENGLISH)
def test_the_english_pages_are_english(name: str):
    assert hangul(" ".join(read(name).blocks)) < 0.02


CASUAL = r"((?<![니시])다|(?<![까세필중주개])요|[하되보]라|[는은던인]가|냐|거든|네)[.?!][)]*$"


@pytest.mark.parametrize("name", KOREAN)
def test_korean_sentences_end_in_the_formal_style(name: str):
    """합니다체, with 할까요? and 하세요: no 해요, 본다, 인가 or 하라. Code and quotations speak as they like."""
    casual = [sentence for block in read(name).blocks for sentence in casual_sentences(block)]
    assert not casual, casual


def casual_sentences(block: str) -> list[str]:
    sentences = re.split(r"(?<=[.?!])[)”’]*\s+", unquoted(block))
    return [sentence for sentence in sentences if re.search(CASUAL, sentence)]


def test_casual_sentences_are_recognised():
    for sentence in (
        "모델이 봅니다.",
        "같습니까?",
        "해 봅시다.",
        "왜일까요?",
        "읽으세요.",
        "필요.",
        "“간다.”라고 합니다.",
    ):
        assert not casual_sentences(sentence), sentence
    for sentence in "모델이 본다.", "그렇지 않아요.", "무엇인가?", "하라.", "(같다.)", "뭐예요? 예.", "왜 그런가요?":
        assert casual_sentences(sentence), sentence
