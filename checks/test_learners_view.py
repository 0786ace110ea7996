"""What a learner sees, as a learner runs it: pytest on a copy of the course, with good code, none, and bad code."""

import re
import xml.etree.ElementTree as ET
from typing import Any, NamedTuple

import pytest

from checks.conftest import ROOT
from checks.learner import Learner
from checks.stage_runner import cases, failures_of, load_catalogue
from course.learner.regions import find_region, replace_region
from course.stages import STAGES
from tests.mistakes import PLACES

SOLVED = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "solutions" / "gpt").glob("*.py")}
GIVEN = {"test_heads_that_do_not_divide_embed_size_are_refused"}  # touches no TODO


class Seen(NamedTuple):
    screen: str
    messages: dict[str, list[str]]  # test file -> what its failed tests say, each thing once
    passed: set[str]
    failed: set[str]


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Learner:
    learner = Learner(tmp_path_factory.mktemp("course"), tests=True)
    learner.file("input.txt", (ROOT / "input.txt").read_text(encoding="utf-8"))
    return learner


EXACT = ("-m", "not comparison")


def see(learner: Learner, files: dict[str, str | bytes], *arguments: str) -> Seen:
    """What pytest says when these files are in gpt/, which is finished otherwise."""
    for name, text in {**SOLVED, **files}.items():
        (learner.root / "gpt" / name).write_bytes(text.encode() if isinstance(text, str) else text)
    report = learner.root / "report.xml"
    done = learner.run("-m", "pytest", f"--junit-xml={report}", *arguments)
    messages: dict[str, list[str]] = {}
    outcomes: dict[bool, set[str]] = {True: set(), False: set()}
    for case in ET.parse(report).iter("testcase"):
        failure = case.find("failure")
        file = f"{case.get('classname', '').rpartition('.')[2]}.py"
        outcomes[failure is None].add(case.get("name", "").partition("[")[0])
        said = "" if failure is None else failure.text or ""
        if said and not said.startswith("As in ") and said not in messages.setdefault(file, []):
            messages[file].append(said)
    return Seen(done.stdout + done.stderr, messages, outcomes[True], outcomes[False])


def answered(file: str, code: str) -> str:
    """The finished file with this code in its (last) TODO region."""
    todo = next(todo for stage in reversed(STAGES) for todo in reversed(stage.todos) if todo.file == file)
    region = find_region(SOLVED[file], todo.number)
    assert region
    indent = region.waiting[: len(region.waiting) - len(region.waiting.lstrip())]
    return replace_region(SOLVED[file], region, "".join(f"{indent}{line}\n" for line in code.splitlines()))


# ---- nothing written, and something written


def test_the_unsolved_scaffold_fails_every_test_that_touches_a_todo(learner: Learner):
    unsolved = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "gpt").glob("*.py")}
    seen = see(learner, unsolved, "tests", "-q")
    assert seen.passed == GIVEN
    waiting = {f"TODO {todo.number} is waiting in gpt/{todo.file}" for stage in STAGES for todo in stage.todos}
    said = {message.partition(",")[0] for messages in seen.messages.values() for message in messages}
    blocks = {w for w in waiting if "/block_" in w}  # they cannot even be made before TODO 8-1 is done
    assert said == waiting - blocks
    assert "To read:  book/en/05-attention.md\nTo test:  pytest tests/test_5.py -s -vv" in seen.screen
    assert len(seen.screen.splitlines()) < 12 * len(waiting), "each waiting TODO is named once"


@pytest.mark.parametrize("stage", [stage.number for stage in STAGES])
def test_the_first_stages_pass_while_the_later_ones_are_unwritten(stage: int, monkeypatch: pytest.MonkeyPatch):
    load_catalogue()
    for place in (PLACES[todo.number] for later in STAGES[stage:] for todo in later.todos):
        monkeypatch.setattr(f"gpt.{place.cls}.{place.method}", staticmethod(unwritten))
    assert failures_of(stage) == {}
    assert cases(stage)


def unwritten(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError("TODO 0: later")


# ---- bad input: each its own clear message

HEAD = "from torch import nn\n\n\nclass HeadVer2(nn.Module):\n"
ALL_AT_ONCE = "T = x.shape[1]\nreturn x.cumsum(dim=1) / torch.arange(1, T + 1, dtype=x.dtype, device=x.device)[:, None]"
KEEPING_WEI = (
    "T = x.shape[1]\nscores = torch.zeros(T, T, dtype=x.dtype, device=x.device)\n"
    "self.wei = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, float('-inf')).softmax(dim=-1)\n"
    "return self.wei @ x"
)
BAD: list[dict[str, tuple[str | bytes, str]]] = [
    {  # file -> its text, what is said (a regular expression); files of one dictionary do not touch each other
        "head_v1.py": (
            answered("head_v1.py", "for b in range(len(x))\n    pass"),
            r"gpt/head_v1.py, line \d+: expected ':' for b in range\(len\(x\)\) \^",
        ),
        "head_v3.py": (
            answered("head_v3.py", "print(x)\nbreakpoint()\nreturn x"),
            r"A breakpoint\(\) was left behind, in gpt/head_v3.py, line \d+.",
        ),
        "multi_head_v2.py": (
            SOLVED["multi_head_v2.py"].replace("def forward(", "def foward("),
            r"In gpt/multi_head_v2.py, MultiHeadVer2 has no method forward; it has __init__, foward.",
        ),
        "feed_forward.py": (
            answered("feed_forward.py", "layers = nn.Sequential(nn.Linear(embed_size, embed_size))"),
            r"Known mistake: net not kept.",
        ),
        "layer_norm.py": (
            SOLVED["layer_norm.py"].replace("+ self.beta", "+ self.beta.double()"),
            r"has the dtype torch.float64; expected torch.float32.",
        ),
        "gpt_v4.py": (answered("gpt_v4.py", "self.lm_head(self.token_embedding_table(indices))"), r"gave None."),
        "gpt_v3.py": (
            SOLVED["gpt_v3.py"].replace("return encodings", "return encodings / 0"),
            r"GPTVer3.pos_encodings\(4, 4\) holds NaN",
        ),
        "block_v4.py": (
            SOLVED["block_v4.py"].replace("self.dropout2 = nn.Dropout(dropout)", "pass"),
            r"BlockVer4 has no `dropout2`. Keep the constructor",
        ),
    },
    {
        "head_v1.py": (
            SOLVED["head_v1.py"].replace("from torch import Tensor, nn", "from torch import Tensor, nn, nothing_such"),
            r"gpt/head_v1.py, line 5, in <module>: from torch .* ImportError: cannot import name 'nothing",
        ),
        "head_v2.py": (
            HEAD + "    def forward(self):\n        return 0\n",
            r"HeadVer2\(\)\(x of 1 x 3 x 2\) failed. TypeError: .*takes 1 positional argument but 2",
        ),
        "head_v3.py": (
            answered("head_v3.py", "return x[:, 99]"),
            r"gpt/head_v3.py, line \d+, in forward: return x\[:, 99\] IndexError: index 99 is out of bounds",
        ),
        "multi_head_v1.py": (
            answered("multi_head_v1.py", "return self(x)"),
            r"RecursionError: .* A method calls itself",
        ),
        "multi_head_v2.py": (
            answered("multi_head_v2.py", "import sys\nsys.exit(3)"),
            r"SystemExit: 3 This ends the whole",
        ),
        "layer_norm.py": (
            SOLVED["layer_norm.py"].replace("class LayerNorm", "class LayerNrm"),
            r"has no class LayerNorm; it has LayerNrm.",
        ),
        "gpt_v4.py": (
            answered("gpt_v4.py", "if True:\n        x = 1\n\treturn x"),
            r"gpt/gpt_v4.py, line \d+: (TabError|IndentationError): ",
        ),
        "gpt_v3.py": (
            SOLVED["gpt_v3.py"].replace('"""Stage 6', '"""위치. Stage 6').encode("cp949"),
            r"gpt/gpt_v3.py is not saved as UTF-8",
        ),
        "block_v4.py": (SOLVED["block_v4.py"].encode("utf-16"), r"gpt/block_v4.py is not saved as UTF-8"),
    },
    {
        "block_v4.py": (
            answered("block_v4.py", "name = input()\nreturn x"),
            r"gpt/block_v4.py, line \d+, in forward: name = input\(\)",
        ),
        "gpt_v4.py": (
            answered("gpt_v4.py", "return self.embed(indices)"),
            r"AttributeError: 'GPTVer4' object has no attribute",
        ),
    },
]
GOOD = {  # not as usual, and right all the same
    "head_v1.py": answered("head_v1.py", "print(x)\n" + ALL_AT_ONCE),
    "head_v2.py": "\ufeff" + SOLVED["head_v2.py"],
    "head_v3.py": answered("head_v3.py", KEEPING_WEI).replace("    ", "\t").replace("\n", "\r\n"),
    "head_v4.py": "# 어텐션\n" + SOLVED["head_v4.py"],
}


@pytest.mark.parametrize("batch", range(len(BAD)))
def test_bad_input_gets_one_clear_message_on_its_file(learner: Learner, batch: int):
    some = ("-k", "worked_by_hand or two_meanings or with_dropout_0")  # the first test of each TODO
    files = BAD[batch]
    tested = {file: f"tests/test_{stage.number}.py" for stage in STAGES for file in (t.file for t in stage.todos)}
    seen = see(
        learner,
        {file: text for file, (text, _) in files.items()},
        *sorted({tested[file] for file in files}),
        *some,
        *EXACT,
    )
    for file, (_, said) in files.items():
        messages = seen.messages.get(tested[file].removeprefix("tests/"), [])
        pattern = said.replace(" ", r"\s+")  # lines may be broken anywhere
        assert any(re.search(pattern, message) for message in messages), (file, said, messages)
    for message in (m for messages in seen.messages.values() for m in messages):
        assert len(message.splitlines()) <= 24, message
    assert "Traceback" not in seen.screen
    assert "tests/kit" not in seen.screen
    assert "INTERNALERROR" not in seen.screen


def test_main_names_the_line_of_the_learner_s_that_ended_it(learner: Learner):
    learner.solve(*range(1, 11))
    quick = ("main.py", "--train.iterations=1", "--train.seconds=none", "--model.n_layers=1", "--train.batch_size=2")
    text = learner.file("gpt/layer_norm.py")
    for wrong, said in (
        (text.replace("super().__init__()", "pass"), r"gpt/layer_norm\.py, line \d+: AttributeError: cannot assign"),
        (text.replace("class LayerNorm", "clas LayerNorm"), r"gpt/layer_norm\.py, line \d+: SyntaxError: "),
    ):
        learner.file("gpt/layer_norm.py", wrong)
        done = learner.run(*quick)
        assert done.returncode == 2, done.stderr
        assert re.match(rf"error: {said}.*\nThe stage's test says more: pytest tests/test_9.py -s -vv\n$", done.stderr)


def test_an_endless_loop_ends_with_its_line(learner: Learner):
    """Also where a bare `except:` catches everything; after the first one, the patience with the others is less."""
    loops = {
        "head_v2.py": answered("head_v2.py", "while True:\n    pass"),
        "head_v3.py": answered("head_v3.py", "while True:\n    try:\n        pass\n    except:\n        pass"),
    }
    some = ("tests/test_3.py", "tests/test_4.py", "-k", "worked_by_hand", "-o", "time_limit=4", *EXACT)
    seen = see(learner, loops, *some)
    for n, file, seconds in ((3, "head_v2", "4"), (4, "head_v3", "0.4")):
        (message,) = seen.messages[f"test_{n}.py"]
        said = rf"Stopped after {seconds} seconds, in gpt/{file}.py, line \d+\. Is there a loop that never ends\?"
        assert re.fullmatch(said, message.replace("\n", " ")), message


def test_unusual_but_right_files_pass(learner: Learner):
    seen = see(learner, GOOD, *(f"tests/test_{n}.py" for n in (2, 3, 4, 5)), *EXACT)
    assert seen.failed == set(), seen.screen


def test_a_missing_file_and_a_later_broken_stage_are_told_apart(learner: Learner):
    """A syntax error in stage 3 does not touch stage 2; an absent file has a way back."""
    files = {"head_v2.py": "def", "head_v3.py": ""}
    seen = see(learner, files, "tests/test_2.py", "tests/test_3.py", *EXACT)
    assert set(seen.messages) == {"test_3.py"}
    assert len(seen.messages["test_3.py"]) == 1


def test_tb_long_gives_an_expert_everything(learner: Learner):
    seen = see(learner, {"head_v2.py": answered("head_v2.py", "return x[:, 99]")}, "tests/test_3.py", "--tb=long", "-x")
    assert "return x[:, 99]" in seen.screen
    assert "tests/kit/task.py" in seen.screen.replace("\\", "/")
    assert "IndexError" in seen.screen
