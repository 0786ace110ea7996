"""The training loop, with models small enough to know the answer."""

import math
import os
import platform
import signal
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course.stages import ROOT
from training.config import TrainConfig
from training.errors import UserError
from training.optimizers import build_optimizers, hidden_matrices, learning_rate_factor
from training.stopping import Stop
from training.trainer import Step, Trainer

V, T = 7, 5


class Table(nn.Module):
    """A bigram model of our own: training/ must not need gpt/."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.table = nn.Embedding(V, V)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.dropout(self.table(x))
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(V, 8)
        self.hidden = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, V)

    def forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(self.norm(self.hidden(self.embedding(x)).relu()))
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def counting(n: int) -> Tensor:
    """0 1 2 3 4 5 6 0 1 …: each token says what the next one is."""
    return torch.arange(n) % V


def trainer(model: nn.Module, **settings: object) -> Trainer:
    defaults = {"iterations": 60, "batch_size": 8, "precision": "float32", "optimizer": "adamw", "evaluations": 3}
    config = TrainConfig.model_validate({**defaults, **settings})
    return Trainer(model, counting(500), counting(103), config, block_size=T, vocab_size=V)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_sequence_without_chance_is_learned(optimizer: str, precision: str):
    torch.manual_seed(0)
    last = trainer(Perceptron(), optimizer=optimizer, precision=precision, learning_rate=0.03, iterations=150).fit()
    assert last.validation_loss is not None
    assert last.validation_loss < 0.05


def test_the_validation_loss_is_the_exact_mean_over_every_target():
    torch.manual_seed(0)
    model = Table(dropout=0.5)
    tokens = torch.randint(V, (103,))
    logits = model.table.weight[tokens[:-1]]
    expected = F.cross_entropy(logits, tokens[1:]).item()
    assert trainer(model).evaluate(tokens) == pytest.approx(expected, rel=1e-5)


def test_evaluation_leaves_the_mode_as_it_was_and_training_ends_in_evaluation_mode():
    model = Table()
    job = trainer(model, iterations=2)
    job.evaluate(counting(20))
    assert model.training
    job.fit()
    assert not model.training


def test_what_is_reported_at_the_end_is_the_loss_of_the_finished_model():
    model = Table()
    job = trainer(model)
    last = job.fit()
    assert last.iteration == 60
    assert last.validation_loss == job.evaluate(counting(103))


def test_the_model_is_evaluated_as_often_as_asked_and_at_the_end():
    seen: list[Step] = []
    trainer(Table(), iterations=100, evaluations=4).fit(on_evaluation=seen.append)
    assert [s.iteration for s in seen] == [25, 50, 75, 100]
    assert all(s.validation_loss is not None for s in seen)


def test_batches_are_the_same_for_the_same_seed():
    def weights(seed: int) -> Tensor:
        torch.manual_seed(0)
        model = Table()
        trainer(model, seed=seed, iterations=5).fit()
        return model.table.weight.detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_accumulated_batches_make_the_step_of_one_large_batch():
    def weights(batch_size: int, accumulate: int) -> Tensor:
        torch.manual_seed(0)
        model = Perceptron()
        trainer(model, batch_size=batch_size, accumulate=accumulate, iterations=3, warmup=0, decay=0).fit()
        return model.hidden.weight.detach()

    torch.testing.assert_close(weights(4, 2), weights(8, 1))
    assert not torch.equal(weights(8, 1), weights(4, 1))


def test_a_budget_in_seconds_ends_the_training():
    last = trainer(Table(), iterations=None, seconds=0.2).fit()
    assert 0.2 <= last.seconds < 5
    assert last.iteration > 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill(SIGINT) for one's own process")
def test_ctrl_c_ends_the_training_after_the_step_in_hand():
    before = signal.getsignal(signal.SIGINT)
    job = trainer(Table(), iterations=100_000)
    last = job.fit(on_step=lambda step: os.kill(os.getpid(), signal.SIGINT) if step.iteration == 20 else None)
    assert job.stop.number == signal.SIGINT
    assert 20 <= last.iteration <= 21
    assert last.validation_loss is not None
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill(SIGINT) for one's own process")
def test_a_signal_that_was_heard_ends_nothing_before_the_processes_have_agreed():
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.heard, stop.asked) == (signal.SIGINT, False)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill(SIGINT) for one's own process")
def test_ctrl_c_while_the_last_evaluation_runs_loses_nothing():
    job, kept = trainer(Table(), iterations=3, evaluations=1), []
    job.fit(on_evaluation=lambda step: os.kill(os.getpid(), signal.SIGINT), on_checkpoint=kept.append)
    assert kept[-1].facts["validation_loss"] is not None


def test_muon_takes_hidden_matrices_as_wide_as_the_vocabulary():
    model = nn.Sequential(nn.Embedding(8, 2), nn.Linear(2, 8), nn.Linear(8, 2), nn.Linear(2, 8))
    assert [m.shape for m in hidden_matrices(model, vocab_size=8)] == [(8, 2), (2, 8)]


def test_a_training_that_diverges_says_so():
    class Broken(Table):
        def forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            logits, loss = super().forward(x, targets)
            return logits, loss * math.nan

    with pytest.raises(UserError, match="the loss is nan at iteration 1: .*learning_rate"):
        trainer(Broken()).fit()


def test_muon_gets_the_hidden_matrices_and_adamw_every_other_parameter_once():
    model = Perceptron()
    assert list(hidden_matrices(model, V)) == [model.hidden.weight]
    adamw, muon = build_optimizers(model, TrainConfig(iterations=1), V)
    assert [p for group in muon.param_groups for p in group["params"]] == [model.hidden.weight]
    rest = [p for group in adamw.param_groups for p in group["params"]]
    assert sorted(map(id, [*rest, model.hidden.weight])) == sorted(map(id, model.parameters()))


def test_a_model_without_hidden_matrices_is_trained_with_adamw_alone():
    assert len(build_optimizers(Table(), TrainConfig(iterations=1), V)) == 1


def test_vectors_are_not_decayed():
    (adamw,) = build_optimizers(Perceptron(), TrainConfig(iterations=1, weight_decay=0.3, optimizer="adamw"), V)
    for group in adamw.param_groups:
        assert group["weight_decay"] == (0.3 if group["params"][0].dim() >= 2 else 0.0)


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    factors = [learning_rate_factor(i / 100, warmup=0.1, decay=0.4) for i in range(101)]
    assert factors[0] == 0
    assert factors[5] == pytest.approx(0.5)
    assert factors[10:61] == [1.0] * 51
    assert factors[80] == pytest.approx(0.5)
    assert factors[100] == 0
    assert all(0 <= f <= 1 for f in factors)
    assert learning_rate_factor(0, warmup=0, decay=0) == learning_rate_factor(1, warmup=0, decay=0) == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc")
@pytest.mark.parametrize("kept", [True, False])
def test_freed_memory_is_kept_for_the_next_tensors(kept: bool):
    """The first tensor of 30 MB comes from memory that the process keeps, and not, as a mapped block of its own,
    from the system, to which it would go back."""
    script = f"""
import ctypes, torch
from training.device import keep_freed_memory
class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks mapped size".split()] + [
        ("rest", ctypes.c_size_t * 5)
    ]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo2
assert not {kept} or keep_freed_memory()
before = mallinfo2().mapped
tensor = torch.empty(30 << 18)
print(mallinfo2().mapped - before)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == (0 if kept else 1)
