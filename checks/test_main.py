"""main.py, as its user runs it."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tokenizers

from checks.conftest import QUICK, ROOT, Done, Main


def error_of(done: Done) -> str:
    """The error's text; asserts that it is a sentence, with exit code 2 and without a traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def only_run(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


def test_a_run_trains_writes_and_leaves_its_folder(run_main: Main, play: Path, tmp_path: Path):
    done = run_main("--solutions", "--data", str(play), "--name", "forge", "--prompt", "SMITH:\n")
    assert done.returncode == 0, done.stderr
    assert "validation loss" in done.stdout
    folder = only_run(tmp_path)
    assert folder.name.endswith("-forge")
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoints", "config.yaml", "loss.png", "metrics.jsonl", "model.safetensors", "samples.txt", "tokenizer.json",
    ]  # fmt: skip
    assert folder.joinpath("samples.txt").read_text(encoding="utf-8").count("--- iteration") == 2


def test_a_saved_run_writes_the_same_again_and_something_else_with_another_prompt(
    run_main: Main, play: Path, tmp_path: Path
):
    trained = run_main("--solutions", "--data", str(play), "--prompt", "SMITH:\nThe ")
    folder = only_run(tmp_path)
    again = run_main("--write", str(folder), quick=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("SMITH:\nThe ")
    assert trained.stdout.endswith(again.stdout)
    other = run_main("--write", str(folder), "--prompt", "hammers", "--sample.length", "5", quick=False)
    assert len(other.stdout.rstrip("\n")) == len("hammers") + 5


def test_a_run_on_byte_pairs_is_saved_for_tokenizers_too_and_goes_on_from_any_prompt(
    run_main: Main, play: Path, tmp_path: Path
):
    trained = run_main("--solutions", "--data", str(play), "--data.tokenizer=bpe", "--data.vocab_size=300")
    assert trained.returncode == 0, trained.stderr
    assert "300 distinct tokens (bpe)" in trained.stdout
    folder = only_run(tmp_path)
    saved = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert saved.get_vocab_size() == 300
    assert len(saved.encode(" hammers").ids) < len(" hammers")
    prompt = "Caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN} 바다 "
    written = run_main("--write", str(folder), "--prompt", prompt, quick=False)
    assert written.returncode == 0, written.stderr
    assert written.stdout.startswith(prompt)
    assert len(written.stdout) > len(prompt) + 1


def test_a_text_with_few_pairs_gives_fewer_tokens_than_asked_for(run_main: Main, tmp_path: Path):
    (tmp_path / "text.txt").write_text("ab " * 200, encoding="utf-8")
    done = run_main("--solutions", "--data=text.txt", "--data.tokenizer=bpe", "--model.block_size=4")
    assert done.returncode == 0, done.stderr
    assert "258 distinct tokens (bpe)" in done.stdout


@pytest.mark.parametrize("tokenizer", ["char", "bpe"])
def test_bits_per_byte_are_those_of_the_loss_and_the_validation_text(
    run_main: Main, play: Path, tmp_path: Path, tokenizer: str
):
    text = play.read_text(encoding="utf-8").replace("sparks", "불꽃")
    play.write_text(text, encoding="utf-8")
    done = run_main("--solutions", "--data", str(play), "--data.tokenizer", tokenizer, "--data.vocab_size=300")
    assert done.returncode == 0, done.stderr
    folder = only_run(tmp_path)
    last = json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    validation = text[int(0.9 * len(text)) :]
    if tokenizer == "bpe":
        ids = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(validation).ids
    else:
        ids = list(validation)
    bits = last["validation_loss"] * (len(ids) - 1) / math.log(2)  # the first token is not predicted
    assert last["bits_per_byte"] == pytest.approx(bits / len(validation.encode()), rel=0.01)
    assert f"({last['bits_per_byte']:.3f} bits per byte)" in done.stdout


@pytest.mark.parametrize("stage", range(1, 11))
def test_every_stage_has_a_model_that_trains(run_main: Main, play: Path, stage: int):
    done = run_main("--solutions", "--data", str(play), "--stage", str(stage))
    assert done.returncode == 0, done.stderr
    assert f"stage {stage} " in done.stdout


def test_nothing_written_yet_names_the_first_todo_and_the_way_to_the_finished_gpt(run_main: Main, play: Path):
    error = error_of(run_main("--data", str(play)))
    assert "TODO 1 comes first" in error
    assert "gpt/gpt_v1.py, line " in error
    assert "tests/test_1.py" in error
    assert "python main.py --solutions" in error


def test_the_line_named_for_a_todo_is_the_one_to_write_at(run_main: Main, play: Path):
    error = error_of(run_main("--data", str(play)))
    line = int(error.split("line ")[1].split(";")[0])
    text = (ROOT / "gpt" / "gpt_v1.py").read_text(encoding="utf-8").splitlines()
    assert "NotImplementedError" in text[line - 1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--data", "missing.txt"], ["missing.txt", "--data"]),
        (["--data", "."], ["'.'", "--data"]),
        (["--data.tokenizer", "word"], ["data.tokenizer", "word", "'bpe'"]),
        (["--data.vocab_size", "255"], ["data.vocab_size", "255", "256"]),
        (["--data.tokenizer", "bpe", "--prompt", "\udce9"], [r"'\udce9'", "sample.prompt"]),
        (["--prompt", "\N{SNOWMAN}x\N{SNOWMAN}"], ["'\N{SNOWMAN}'", "training text has no"]),
        (["--train.learnin_rate", "1"], ["--train.learnin_rate", "did you mean --train.learning_rate?"]),
        (["--train.learning_rate", "-1"], ["train.learning_rate", "-1", "greater than 0"]),
        (["--data", ""], ["data.path is empty"]),
        (["--train.seed", "9" * 23], ["train.seed", "less than"]),
        (["--train.batch_size", "many"], ["train.batch_size", "many", "integer"]),
        (["--train.optimizer", "sgd"], ["train.optimizer", "sgd", "'muon'"]),
        (["--train.fused_layer_norm", "maybe"], ["train.fused_layer_norm", "maybe", "true or false"]),
        (["--model.n_heads", "3"], ["16", "3", "not divisible"]),
        (["--model.block_size", "8000"], ["8000", "--model.block_size"]),
        (["--train.iterations", "none"], ["budget"]),
        (["--preset", "huge"], ["huge", "gpu"]),
        (["--stage", "11"], ["11", "10"]),
        (["--train.device", "cuda"], ["cuda", "cpu"]),
        (["--write", "nowhere"], ["nowhere", "not the folder of a run"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--frobnicate"], ["--frobnicate"]),
    ],
)
def test_bad_input_gets_a_sentence_that_names_it(run_main: Main, play: Path, options: list[str], named: list[str]):
    import torch

    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("this machine has cuda")
    error = error_of(run_main("--solutions", *(["--data", str(play)] if "--data" not in options else []), *options))
    assert len(error.splitlines()) == 1
    for word in named:
        assert word in error


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"ab\0cd" * 100, "binary"),
        (b"caf\xe9 " * 100, "byte 3 is 0xe9"),
        (b"short", "--model.block_size"),
    ],
)
def test_a_text_that_cannot_be_used_is_described(run_main: Main, tmp_path: Path, content: bytes, named: str):
    (tmp_path / "text.txt").write_bytes(content)
    assert named in error_of(run_main("--solutions", "--data", "text.txt"))


def test_a_text_of_one_line_trains_though_the_usual_prompt_is_a_line_break(run_main: Main, tmp_path: Path):
    (tmp_path / "line.txt").write_text("round and round " * 100, encoding="utf-8")
    done = run_main("--solutions", "--data", "line.txt")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("r")


def test_weights_of_another_model_are_refused(run_main: Main, play: Path, tmp_path: Path):
    run_main("--solutions", "--data", str(play))
    error = error_of(run_main("--write", str(only_run(tmp_path)), "--model.embed_size", "32", quick=False))
    assert "another model" in error


def test_a_run_without_its_tokenizer_is_refused(run_main: Main, play: Path, tmp_path: Path):
    run_main("--solutions", "--data", str(play), "--data.tokenizer=bpe", "--data.vocab_size=300")
    folder = only_run(tmp_path)
    for content in ('{"model": {"vocab": {}, "merges": []}, "added_tokens": []}', "[]", "{"):
        (folder / "tokenizer.json").write_text(content, encoding="utf-8")
        assert "not the folder of a run" in error_of(run_main("--write", str(folder), quick=False))


def test_a_run_without_its_weights_is_refused(run_main: Main, play: Path, tmp_path: Path):
    run_main("--solutions", "--data", str(play))
    folder = only_run(tmp_path)
    (folder / "model.safetensors").write_bytes(b"not weights")
    assert "model.safetensors" in error_of(run_main("--write", str(folder), quick=False))
    (folder / "model.safetensors").unlink()
    assert "model.safetensors" in error_of(run_main("--write", str(folder), quick=False))


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to whole process groups")
def test_ctrl_c_ends_the_run_and_keeps_what_was_learned(run_main: Main, play: Path, tmp_path: Path):
    endless = [*QUICK, "--train.iterations=none", "--train.seconds=1000", "--runs", str(tmp_path / "runs")]
    command = [sys.executable, str(ROOT / "main.py"), "--solutions", "--data", str(play), *endless]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(tmp_path.glob("runs/*/metrics.jsonl")):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Stopped by SIGINT" in out
    assert "Traceback" not in err
    written = run_main("--write", str(only_run(tmp_path)), "--prompt", "The", "--sample.length", "10", quick=False)
    assert written.returncode == 0, written.stderr


def test_help_names_every_setting_and_imports_nothing_heavy():
    code = (
        "import sys, contextlib; sys.argv = ['main.py', '--help']\n"
        "import main\n"
        "with contextlib.suppress(SystemExit): main.main(['--help'])\n"
        "heavy = {'torch', 'matplotlib', 'numpy', 'rich', 'tokenizers'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    from training.config import KEYS

    for key in KEYS:
        assert f"--{key}" in done.stdout


def test_a_console_without_the_characters_survives(run_main: Main, tmp_path: Path):
    (tmp_path / "korean.txt").write_text("사과를 먹는 아이가 바다를 본다.\n" * 60, encoding="utf-8")
    command = [sys.executable, str(ROOT / "main.py"), "--solutions", "--data", "korean.txt", *QUICK]
    for encoding in ("cp1252", "ascii"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = subprocess.run(
            [*command, "--runs", str(tmp_path / encoding)], capture_output=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr.decode(encoding)
