"""The model that the course has reached at each stage, built from whichever `gpt` package is on sys.path."""

import importlib
import inspect
from typing import TYPE_CHECKING

from torch import nn

from training.config import ModelConfig

from .stages import STAGES, stage_to_train, use_package

if TYPE_CHECKING:
    from training.report import Run


def build_model(stage: int, vocab_size: int, config: ModelConfig) -> nn.Module:
    """Imports no more than the stage's own modules, so that later ones may be unwritten or broken."""
    settings: dict[str, object] = {**config.model_dump(), "vocab_size": vocab_size, "head_size": config.embed_size}

    def make(path: str, **parts: nn.Module) -> nn.Module:
        """The class at gpt.`path`, called with those of the settings and parts that it takes."""
        module, name = path.split(".")
        cls = getattr(importlib.import_module(f"gpt.{module}"), name)
        takes = inspect.signature(cls).parameters
        return cls(**{key: value for key, value in {**settings, **parts}.items() if key in takes})

    gpt, head, block = STAGES[stage - 1].model
    if head is None:
        return make(gpt)
    if block is None:
        return make(gpt, contextualizer=make(head))
    blocks = (make(block, head=make(head)) for _ in range(config.n_layers))
    return make(gpt, contextualizer=nn.Sequential(*blocks))


def load_model(run: "Run") -> nn.Module:
    """The trained model of a run, in evaluation mode, built from the package that it was trained with.

    Raises UserError where the code or the weights are not there any more.
    """
    stage = stage_to_train(use_package(run.about["solutions"]), run.about["stage"])
    model = build_model(stage, run.tokenizer.vocab_size, run.config.model)
    run.load_weights(model)
    return model.eval()
