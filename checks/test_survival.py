"""Nothing learned is lost: checkpoints, resuming, several processes, signals, full disks."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from checks.conftest import QUICK, ROOT, Main
from checks.test_main import error_of, only_run
from training import checkpoint
from training.checkpoint import Checkpoints, State, read
from training.report import Run


@pytest.fixture
def hangups_end_processes():
    """Whether or not the tests themselves run under nohup, whose children inherit that SIGHUP is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


def command(play: Path, runs: Path, *options: str, processes: int = 0) -> list[str]:
    """main.py as a command, or under torchrun with so many processes."""
    start = [sys.executable]
    if processes:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    quick = [*QUICK, "--train.precision=float32", "--model.dropout=0", "--sample.length=5"]
    return [*start, str(ROOT / "main.py"), "--solutions", "--data", str(play), *quick, "--runs", str(runs), *options]


def run(command: list[str], **more: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=300)


def losses(folder: Path) -> list[tuple[int, float, float | None]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [(line["iteration"], line["loss"], line.get("validation_loss")) for line in map(json.loads, lines)]


def wait_for(pattern: str, folder: Path, process: subprocess.Popen[str]) -> Path:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if found := sorted(folder.glob(pattern)):
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"no {pattern} came: {process.communicate()}")


# ---- exactly as if nothing had happened


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_that_was_cut_off_goes_on_to_the_very_same_weights(
    run_main: Main, play: Path, tmp_path: Path, optimizer: str
):
    """With dropout, and cut off between two checkpoints, so that some steps are done twice."""
    options = ["--solutions", "--data", str(play), f"--train.optimizer={optimizer}", "--train.iterations=40"]
    options += ["--train.checkpoint_iterations=9", "--model.dropout=0.2"]
    assert run_main(*options).returncode == 0
    whole = only_run(tmp_path)
    cut = whole.with_name("cut")
    shutil.copytree(whole, cut)
    for name in ("model.safetensors", "loss.png"):
        (cut / name).unlink()
    newest, before, *_ = Checkpoints(cut).paths()
    newest.unlink()
    assert 20 <= read(before).facts["iteration"] < 40
    done = run_main("--resume", str(cut), quick=False)
    assert done.returncode == 0, done.stderr
    assert losses(cut) == losses(whole)
    assert (cut / "samples.txt").read_text(encoding="utf-8").count("--- iteration") == 2
    want, got = load_file(whole / "model.safetensors"), load_file(cut / "model.safetensors")
    assert all(torch.equal(want[name], got[name]) for name in want)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_do_what_one_does(play: Path, tmp_path: Path, optimizer: str):
    """Two batches a step, one for each process, dropout included: equal to the last bit."""
    options = ["--train.iterations=30", f"--train.optimizer={optimizer}", "--train.accumulate=2"]
    options += ["--train.evaluations=1", "--model.dropout=0.1"]
    for count in (0, 2):
        done = run(command(play, tmp_path / str(count), *options, processes=count))
        assert done.returncode == 0, done.stderr
    one, two = (next((tmp_path / name).iterdir()) for name in ("0", "2"))
    assert losses(one)[:-1] == losses(two)[:-1]
    assert losses(one)[-1][2] == pytest.approx(losses(two)[-1][2], abs=1e-6)  # summed up in another order
    want, got = (load_file(folder / "model.safetensors") for folder in (one, two))
    assert all(torch.equal(want[name], got[name]) for name in want)


def test_two_processes_share_the_rows_of_a_single_batch(play: Path, tmp_path: Path):
    """The gradient is summed up in another order, so it is equal but for rounding; rank 0 alone speaks and writes."""
    options = ["--train.iterations=30", "--train.optimizer=adamw", "--train.evaluations=1"]
    one = run(command(play, tmp_path / "one", *options))
    two = run(command(play, tmp_path / "two", *options, processes=2))
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    folders = [next((tmp_path / name).iterdir()) for name in ("one", "two")]
    assert len(list((tmp_path / "two").iterdir())) == 1
    assert two.stdout.count("validation loss") == one.stdout.count("validation loss")
    assert "2 processes" in two.stdout
    for (i, a, va), (j, b, vb) in zip(*map(losses, folders), strict=True):
        assert i == j
        assert a == pytest.approx(b, abs=1e-4)
        assert (va is None) == (vb is None)
        assert va is None or va == pytest.approx(vb, abs=1e-4)


def test_a_run_cut_off_just_before_its_weights_were_saved_ends_as_if_it_had_not_been(
    run_main: Main, play: Path, tmp_path: Path
):
    assert run_main("--solutions", "--data", str(play), "--train.iterations=20").returncode == 0
    run = only_run(tmp_path)
    before, names = losses(run), ("samples.txt", "model.safetensors")
    contents = [(run / name).read_bytes() for name in names]
    (run / "model.safetensors").unlink()
    assert run_main("--resume", str(run), quick=False).returncode == 0
    assert losses(run) == before
    assert [(run / name).read_bytes() for name in names] == contents


def test_a_batch_that_cannot_be_shared_evenly_is_refused(play: Path, tmp_path: Path):
    done = run(command(play, tmp_path, "--train.batch_size=3", processes=2))
    assert done.returncode != 0
    assert "train.batch_size = 3 cannot be shared by 2 processes; 4 could be" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="threads have names in /proc on Linux alone")
def test_no_thread_of_the_processes_network_is_left_when_training_is_over(play: Path, tmp_path: Path):
    """One that drops its last tensor while Python ends would abort the process, once in some twelve runs under load.

    Python's own garbage collection, which now and then ends them by chance, is off.
    """
    script = tmp_path / "script.py"
    script.write_text(
        f"import gc, sys; gc.disable(); sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from main import main\n"
        "code = main(sys.argv[1:])\n"
        "names = [thread.read_text() for thread in Path('/proc/self/task').glob('*/comm')]\n"
        "sys.exit(code or [name for name in names if 'gloo' in name] or 0)\n",
        encoding="utf-8",
    )
    start = command(play, tmp_path / "runs", "--train.iterations=3", "--train.evaluations=1", processes=2)
    start[start.index(str(ROOT / "main.py"))] = str(script)
    done = run(start)
    assert done.returncode == 0, done.stderr


@posix_only
def test_a_killed_process_of_two_is_restarted_by_torchrun_and_the_result_is_the_same(play: Path, tmp_path: Path):
    options = ["--train.iterations=800", "--train.optimizer=adamw", "--train.checkpoint_iterations=50"]
    quiet = run(command(play, tmp_path / "quiet", *options, processes=2))
    assert quiet.returncode == 0, quiet.stderr
    start = command(play, tmp_path / "killed", *options, processes=2)
    start.insert(start.index("--standalone"), "--max-restarts=1")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as job:
        wait_for("*/checkpoints/00000[1-9]*.safetensors", tmp_path / "killed", job)
        workers = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True).stdout.split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        out, err = job.communicate(timeout=300)
    assert job.returncode == 0, err
    assert "resume:" in out
    folders = [next((tmp_path / name).iterdir()) for name in ("quiet", "killed")]
    assert len(list((tmp_path / "killed").iterdir())) == 1
    assert losses(folders[0]) == losses(folders[1])
    want, got = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(want[name], got[name]) for name in want)


# ---- signals and faults


@posix_only
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.usefixtures("hangups_end_processes")
def test_a_signal_ends_the_run_with_a_checkpoint_and_weights(play: Path, tmp_path: Path, name: str):
    number = getattr(signal, name)
    start = command(play, tmp_path, "--train.iterations=1000000")
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for("*/metrics.jsonl", tmp_path, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    folder = next(tmp_path.glob("*/config.yaml")).parent
    assert (folder / "model.safetensors").exists()
    assert Checkpoints(folder).load()[0].facts["iteration"] > 0
    assert name == "SIGHUP" or f"--resume {folder.as_posix()}" in out


@posix_only
def test_a_signal_ends_both_of_two_processes_after_the_same_step(play: Path, tmp_path: Path):
    start = command(play, tmp_path, "--train.iterations=1000000", processes=2)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as job:
        wait_for("*/metrics.jsonl", tmp_path, job)
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=60)
    folder = next(tmp_path.glob("*/config.yaml")).parent
    assert (folder / "model.safetensors").exists(), err
    assert "Stopped by SIGINT" in out


@posix_only
def test_nohup_protects(play: Path, tmp_path: Path):
    start = ["nohup", *command(play, tmp_path, "--train.iterations=1000000")]
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for("*/metrics.jsonl", tmp_path, process)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM  # the first signal that was heard


def test_a_loss_that_is_no_number_stops_at_its_step_and_keeps_the_last_good_checkpoint(
    run_main: Main, play: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from training.trainer import Trainer

    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self: step(self) * (torch.nan if self.iteration >= 37 else 1.0))
    error = error_of(
        run_main("--solutions", "--data", str(play), "--train.iterations=60", "--train.checkpoint_iterations=10")
    )
    assert "the loss is nan at iteration 37" in error
    assert Checkpoints(only_run(tmp_path)).load()[0].facts["iteration"] == 30


@pytest.mark.parametrize("damage", ["cut short", "emptied", "one bit", "another file"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(
    run_main: Main, play: Path, tmp_path: Path, damage: str
):
    run_main("--solutions", "--data", str(play), "--train.iterations=40", "--train.checkpoint_iterations=9")
    folder = only_run(tmp_path)
    newest, before, *_ = Checkpoints(folder).paths()
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(
        {"cut short": content[:-100], "emptied": b"", "one bit": content, "another file": b"x" * 999}[damage]
    )
    done = run_main("--resume", str(folder), quick=False)
    assert done.returncode == 0, done.stderr
    assert f"warning: the checkpoint {newest.name} is damaged" in done.stdout
    assert f"at iteration {int(before.stem)}" in done.stdout


def test_a_run_without_a_whole_checkpoint_is_refused(run_main: Main, play: Path, tmp_path: Path):
    run_main("--solutions", "--data", str(play))
    folder = only_run(tmp_path)
    for path in Checkpoints(folder).paths():
        path.write_bytes(b"")
    assert "no checkpoint to go on from" in error_of(run_main("--resume", str(folder), quick=False))


def test_what_changed_since_the_checkpoint_is_named_and_refused_or_accepted(run_main: Main, play: Path, tmp_path: Path):
    run_main("--solutions", "--data", str(play))
    folder = str(only_run(tmp_path))
    error = error_of(run_main("--resume", folder, "--train.iterations=30", quick=False))
    assert "train.iterations was 12 and is 30" in error
    assert "--accept-changes" in error
    play.write_text(play.read_text(encoding="utf-8").replace("sparks", "sparrs"), encoding="utf-8")
    assert "the text is another" in error_of(run_main("--resume", folder, quick=False))
    done = run_main("--resume", folder, "--train.iterations=30", "--accept-changes", quick=False)
    assert done.returncode == 0, done.stderr
    assert "after 30 steps" in done.stdout


def test_a_training_goes_on_with_its_own_optimizer_alone(run_main: Main, play: Path, tmp_path: Path):
    """The state of another one would be taken, and be nonsense."""
    run_main("--solutions", "--data", str(play), "--train.optimizer=muon")
    again = ("--resume", str(only_run(tmp_path)), "--train.iterations=30", "--accept-changes")
    error = error_of(run_main(*again, "--train.optimizer=adamw", quick=False))
    assert "the checkpoint is that of a training by muon" in error
    assert run_main(*again, quick=False).returncode == 0


def test_what_a_checkpoint_says_of_itself_is_part_of_its_checksum(tmp_path: Path):
    path = Checkpoints(tmp_path).save(State({"w": torch.ones(2)}, {"iteration": 40}))
    assert checkpoint.read(path).facts == {"iteration": 40}
    path.write_bytes(path.read_bytes().replace(rb'"iteration\": 40', rb'"iteration\": 10'))
    with pytest.raises(checkpoint.Damaged, match="checksum"):
        checkpoint.read(path)


def test_a_line_that_was_cut_off_by_a_full_disk_costs_no_loss_curve(run_main: Main, play: Path, tmp_path: Path):
    run_main("--solutions", "--data", str(play))
    run = Run.load(only_run(tmp_path))
    with (run.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"iteration": 13, "lo')
    (run.folder / "loss.png").unlink()
    run.draw_loss()
    assert (run.folder / "loss.png").exists()


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(
    run_main: Main, play: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The disk is full from the third checkpoint on: what was there stays whole, and no half file is left."""
    calls = []

    def full(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) >= 3:
            path.with_name(path.name + ".part").write_bytes(content[:100])
            raise OSError(28, "No space left on device")
        whole(path, content)

    whole = checkpoint.write_whole
    monkeypatch.setattr(checkpoint, "write_whole", full)
    done = run_main("--solutions", "--data", str(play), "--train.iterations=40", "--train.checkpoint_iterations=9")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("warning: a checkpoint cannot be written (No space left on device)") == 1
    assert Checkpoints(only_run(tmp_path)).load()[0].facts["iteration"] == 18


def test_only_the_last_two_and_the_best_checkpoint_are_kept(tmp_path: Path):
    kept = Checkpoints(tmp_path)
    for iteration, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, None), (5, 2.5)):
        kept.save(State({"w": torch.ones(2)}, {"iteration": iteration, "validation_loss": loss}))
    assert [int(path.stem) for path in kept.paths()] == [5, 4, 2]


def test_loading_a_checkpoint_never_runs_what_is_in_it(tmp_path: Path):
    """A pickle, which runs code when it is loaded, is refused as damaged."""
    import pickle

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    kept = Checkpoints(tmp_path)
    kept.save(State({"w": torch.ones(2)}, {"iteration": 1}))
    kept.folder.joinpath("00000002.safetensors").write_bytes(pickle.dumps(Trap()))
    assert kept.load()[0].facts["iteration"] == 1
    assert not (tmp_path / "sprung").exists()
