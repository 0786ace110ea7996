"""Every claim of the course that training or timing has to prove: its arms, sizes, steps and margin, a module a stage.

The tests run each once; benchmarks/calibrate.py repeats them, and states the chance of a false verdict.
"""

import importlib
from collections.abc import Iterator

from course.stages import STAGES
from tests.kit.experiment import Experiment


def experiments(stage: int) -> list[Experiment]:
    module = importlib.import_module(f"tests.experiments.stage_{stage}")
    found = [value for name, value in vars(module).items() if name.isupper() and hasattr(value, "measure")]
    return [value for value in found if value.stage == stage]


def all_experiments() -> Iterator[Experiment]:
    for stage in STAGES:
        yield from experiments(stage.number)
