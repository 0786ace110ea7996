"""Training that survives, measured: whether a training goes on exactly, what a checkpoint costs, what processes bring.

python benchmarks/survival.py kills [--times 20]    killed with SIGKILL at random moments and resumed: equal to the bit?
python benchmarks/survival.py processes             losses of two processes beside one, 50 steps, AdamW and Muon
python benchmarks/survival.py disk FOLDER           a small file system there fills up during saves: what is lost?
python benchmarks/survival.py scaling               tokens/s of two single-thread processes beside one, in turns
python benchmarks/survival.py checkpoints           share of the training time that checkpoints take at the default
python benchmarks/survival.py fuzz [--times 10000]  damaged configs, run folders and checkpoints: any traceback?
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "solutions"), str(ROOT)]

from training.checkpoint import Checkpoints, Damaged, State, read  # noqa: E402
from training.config import load_config  # noqa: E402
from training.errors import UserError  # noqa: E402

SMALL = (
    "--model.n_layers=2", "--model.n_heads=2", "--model.embed_size=32", "--model.block_size=32", "--model.dropout=0.1",
    "--train.seconds=none", "--train.batch_size=8", "--train.evaluations=4", "--sample.length=20",
)  # fmt: skip


def command(runs: Path, *options: str, processes: int = 1) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    return [sys.executable, *launcher, str(ROOT / "main.py"), "--solutions", "--runs", str(runs), *options]


def run(command: list[str]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def outcome(folder: Path) -> tuple[list[tuple[float, ...]], bytes]:
    losses = [(line["iteration"], line["loss"], line.get("validation_loss", 0.0)) for line in lines(folder)]
    return losses, (folder / "model.safetensors").read_bytes()


def kills(folder: Path, times: int) -> None:
    options = [*SMALL, "--train.iterations=600", "--train.checkpoint_seconds=none", "--train.checkpoint_iterations=7"]
    start = time.perf_counter()
    run(command(folder / "whole", *options))
    seconds = time.perf_counter() - start
    whole = next((folder / "whole").iterdir())
    chance = random.Random(1)
    count = 0
    arguments = command(folder / "killed", *options)
    while True:
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            process.wait(chance.uniform(0.2, 0.6) * seconds if count < times else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            count += 1
        cut = next((folder / "killed").iterdir(), None) if (folder / "killed").exists() else None
        if process.returncode == 0 and count >= times:
            break
        if cut and process.returncode == 0:  # ended before its time came: once more from an earlier checkpoint
            for path in Checkpoints(cut).paths()[:1]:
                path.unlink()
        if cut and Checkpoints(cut).paths():
            arguments = command(folder / "killed", "--resume", str(cut))
        elif cut:
            shutil.rmtree(cut)
    assert cut
    a, b = outcome(whole), outcome(cut)
    print(f"{count} kills, {len(a[0])} logged losses: equal {a[0] == b[0]}; final weights: equal {a[1] == b[1]}")


def processes(folder: Path) -> None:
    """With accumulate 2, each of two processes takes one of the two batches; with accumulate 1, every other row."""
    for optimizer in ("adamw", "muon"):
        for accumulate in (2, 1):
            options = [*SMALL, "--train.iterations=50", f"--train.optimizer={optimizer}", "--train.precision=float32"]
            options += [f"--train.accumulate={accumulate}", f"--model.dropout={0.1 if accumulate == 2 else 0}"]
            found = []
            for count in (1, 2):
                place = folder / f"{optimizer}{accumulate}{count}"
                run(command(place, *options, processes=count))
                found.append([line["loss"] for line in lines(next(place.iterdir()))])
            gap = max(abs(a - b) for a, b in zip(*found, strict=True))
            shared = "batches" if accumulate == 2 else "rows"
            print(f"{optimizer:6} {shared:8} shared out: largest difference of a logged loss in 50 steps: {gap:.1e}")


def disk(folder: Path, small: Path) -> None:
    """`small` is an empty file system of a few MB, as of: mount -t tmpfs -o size=4m none FOLDER."""
    options = [*SMALL, "--train.iterations=600", "--train.checkpoint_seconds=none", "--train.checkpoint_iterations=50"]
    assert not (small / "runs").exists(), f"{small} is not empty"
    run(command(folder / "whole", *options))
    process = subprocess.Popen(
        command(small / "runs", *options),
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while not (saved := list(small.glob("runs/*/checkpoints/*.safetensors"))):
        time.sleep(0.02)
    cut = saved[0].parent.parent
    while not (small / "ballast").exists():
        room = shutil.disk_usage(small).free - saved[0].stat().st_size // 2
        with suppress(OSError):
            (small / "ballast").write_bytes(bytes(max(0, room)))
    _, said = process.communicate()
    left = Checkpoints(cut).paths()
    whole = [path for path in left if is_whole(path)]
    print(said.decode().strip())
    print(f"left: {[path.name for path in left]}, whole: {len(whole)}, others: {sorted(p.name for p in cut.iterdir())}")
    (small / "ballast").unlink()
    run(command(small / "runs", "--resume", str(cut)))
    same = outcome(next((folder / "whole").iterdir()))[1] == outcome(cut)[1]
    print(
        f"gone on from {whole[0].name} once there was room: final weights equal those of a run never disturbed: {same}"
    )


def is_whole(path: Path) -> bool:
    try:
        read(path)
    except Damaged:
        return False
    return True


def scaling(folder: Path, turns: int = 3) -> None:
    """The same global batch: by one process with one thread, and shared by two with one thread each."""
    options = ["--train.seconds=15", "--train.evaluations=1", "--sample.length=5", "--data.validation=0.01"]
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(turns):
        for count in (1, 2):
            place = folder / f"{turn}-{count}"
            run(command(place, *options, processes=count))
            rates[count].append(lines(next(place.iterdir()))[-1]["tokens_per_second"])
    ratios = [b / a for a, b in zip(rates[1], rates[2], strict=True)]
    print(f"one process {statistics.median(rates[1]):,.0f} tokens/s, two {statistics.median(rates[2]):,.0f}:", end=" ")
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}; asked: 1.6)")


def checkpoints(folder: Path) -> None:
    """What the default settings' checkpoints take, by the time of one and the number of them."""
    run(command(folder, "--train.seconds=5", "--train.evaluations=1", "--sample.length=5"))
    kept = Checkpoints(next(folder.iterdir()))
    state, _ = kept.load()
    times = []
    for i in range(10):
        start = time.perf_counter()
        kept.save(State(state.tensors, {**state.facts, "iteration": 10**6 + i}))
        times.append(time.perf_counter() - start)
    config = load_config(ROOT / "config.yaml").train
    number = (config.seconds or 0) / (config.checkpoint_seconds or 1) + config.evaluations
    each = statistics.median(times)
    print(
        f"{each * 1e3:.0f} ms each, {number:.0f} in {config.seconds:.0f} s: {each * number / (config.seconds or 1):.2%}"
    )


def fuzz(folder: Path, times: int) -> None:
    """Bytes exchanged, cut out, doubled or drawn anew, in every file that a run or a resumed training reads."""
    from training.report import Run

    run(command(folder / "runs", *SMALL, "--train.iterations=20"))
    whole = next((folder / "runs").iterdir())
    targets = {"config.yaml": whole / "config.yaml", "tokenizer.json": whole / "tokenizer.json"}
    targets |= {"metrics.jsonl": whole / "metrics.jsonl", "samples.txt": whole / "samples.txt"}
    targets |= {"a checkpoint": Checkpoints(whole).paths()[0], "the course's config.yaml": ROOT / "config.yaml"}
    chance = random.Random(1)
    outcomes = {"taken": 0, "refused": 0}
    for i in range(times):
        name, source = chance.choice(list(targets.items()))
        content = damaged(source.read_bytes(), chance)
        place = folder / "fuzzed"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for path in (whole / "config.yaml", whole / "tokenizer.json"):
            shutil.copy(path, place)
        target = place / source.name
        target.write_bytes(content)
        try:
            if name == "a checkpoint":
                read(target)
            elif name == "the course's config.yaml":
                load_config(target)
            else:
                Run.load(place).cut(10)
            outcomes["taken"] += 1
        except (UserError, Damaged):
            outcomes["refused"] += 1
        except Exception as error:
            kept = Path(tempfile.gettempdir()) / f"fuzz-{i}-{source.name}"
            kept.write_bytes(content)
            raise SystemExit(f"{name}, input {i}: {type(error).__name__}: {error}; kept as {kept}") from error
    print(f"{times} damaged inputs, no traceback: {outcomes}")


def damaged(content: bytes, chance: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 50))):
        i, j = sorted(chance.randrange(len(out) + 1) for _ in range(2))
        kind = chance.randrange(5)
        if kind == 0 and out:
            out[chance.randrange(len(out))] = chance.randrange(256)
        elif kind == 1:
            del out[i : min(j, i + 40)]
        elif kind == 2:
            out[i:i] = out[i : min(j, i + 40)]
        elif kind == 3:
            out[i:i] = chance.choice(
                (b"null", b"[", b"{", b": ", b"\xff", b"\0", b"-1", b"1e999", b"!!python/object:os.system")
            )
        else:
            out = out[:i] or out
    return bytes(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "processes", "disk", "scaling", "checkpoints", "fuzz"])
    parser.add_argument("folder", type=Path, nargs="?", help="for disk: a small file system")
    parser.add_argument("--times", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.what == "disk":
            disk(folder, args.folder or parser.error("disk needs a FOLDER"))
        elif args.what == "kills":
            kills(folder, args.times or 20)
        elif args.what == "fuzz":
            fuzz(folder, args.times or 10_000)
        else:
            {"processes": processes, "scaling": scaling, "checkpoints": checkpoints}[args.what](folder)


if __name__ == "__main__":
    main()
