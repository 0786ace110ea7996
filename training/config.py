"""Every setting: its type, its bounds and what it does; from config.yaml, a preset and the command line, in that order.

    config = load_config(Path("config.yaml"), preset="gpu", overrides={"train.learning_rate": "3e-3"})

Errors are UserError: unknown keys suggest the nearest one, values out of range name the range.
"""

import argparse
import difflib
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import UserError


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    path: str = Field(default="input.txt", description="text to learn from: a UTF-8 file, or tinyshakespeare")
    validation: float = Field(default=0.1, gt=0, lt=1, description="share of the text, at its end, kept for validation")
    tokenizer: Literal["char", "bpe"] = Field(
        default="char", description="a token for each character, or byte-pair encoding: one for each frequent piece"
    )
    vocab_size: int = Field(
        default=1024, ge=256, le=65536, description="tokens of bpe: 256 bytes, and the pieces merged from them"
    )


class ModelConfig(Section):
    n_layers: int = Field(default=3, ge=1, le=64, description="blocks on top of each other (stages 8 to 10)")
    n_heads: int = Field(default=4, ge=1, le=64, description="attention heads, a divisor of embed_size (from stage 7)")
    embed_size: int = Field(default=128, ge=1, le=8192, description="width C of the vectors between the layers")
    block_size: int = Field(default=96, ge=1, le=8192, description="context: the tokens that the model sees at once")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="share of each branch's output dropped (stage 10)")

    @model_validator(mode="after")
    def heads_divide_the_width(self):
        if self.embed_size % self.n_heads:
            raise ValueError(
                f"model.embed_size = {self.embed_size} is not divisible by model.n_heads = {self.n_heads}"
                f"; {self.embed_size - self.embed_size % self.n_heads + self.n_heads} would be"
            )
        return self


class TrainConfig(Section):
    seconds: float | None = Field(
        default=None, gt=0, description="budget in seconds of training steps (none: no limit)"
    )
    iterations: int | None = Field(default=None, ge=1, description="budget in optimizer steps (none: no limit)")
    batch_size: int = Field(default=32, ge=1, le=65536, description="sequences in a batch")
    accumulate: int = Field(default=1, ge=1, le=1024, description="batches whose gradients are summed for one step")
    optimizer: Literal["muon", "adamw"] = Field(
        default="muon", description="muon: Muon for the hidden matrices, AdamW for the rest; adamw: AdamW for all"
    )
    learning_rate: float = Field(default=1.5e-3, gt=0, le=1, description="AdamW's highest learning rate")
    muon_learning_rate: float = Field(default=0.05, gt=0, le=1, description="Muon's highest learning rate")
    weight_decay: float = Field(default=0.1, ge=0, le=1, description="decoupled weight decay of the matrices")
    warmup: float = Field(default=0.02, ge=0, le=1, description="share of the budget in which the learning rate rises")
    decay: float = Field(
        default=0.95, ge=0, le=1, description="share of the budget, at its end, in which it falls to zero"
    )
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of matrix products; auto measures which is faster"
    )
    fused_layer_norm: bool = Field(
        default=True, description="train with torch's LayerNorm in the place of yours, if yours computes the same"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="auto: cuda, else mps, else cpu")
    evaluations: int = Field(default=8, ge=1, le=1000, description="how often to validate and to write a sample")
    checkpoint_seconds: float | None = Field(
        default=60.0, gt=0, description="a checkpoint after so many seconds of training (none: not by the clock)"
    )
    checkpoint_iterations: int | None = Field(
        default=None, ge=1, description="a checkpoint after so many steps (none: not by steps)"
    )
    seed: int = Field(default=1, ge=0, lt=2**63, description="of the weights, the batches and the samples")

    @model_validator(mode="after")
    def some_budget(self):
        if self.seconds is None and self.iterations is None:
            raise ValueError("a run needs a budget: set train.seconds or train.iterations")
        return self


class SampleConfig(Section):
    prompt: str = Field(default="\n", min_length=1, description="text to go on from")
    length: int = Field(default=500, ge=0, description="tokens to write at the end of the run")
    temperature: float = Field(
        default=0.8, ge=0, le=10, description="below 1 bolder in its favourites, 0 always the likeliest"
    )
    top_k: int | None = Field(default=None, ge=1, description="draw from the k likeliest tokens only")
    top_p: float | None = Field(default=None, gt=0, le=1, description="draw from the fewest tokens that sum to p only")


class Config(Section):
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig
    sample: SampleConfig = SampleConfig()


SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "sample": SampleConfig,
}
KEYS = [f"{section}.{key}" for section, cls in SECTIONS.items() for key in cls.model_fields]


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """One option a key, `--train.learning_rate 3e-3`, with its description and bounds in --help."""
    for section, cls in SECTIONS.items():
        group = parser.add_argument_group(f"{section} (config.yaml has the values)")
        for key, field in cls.model_fields.items():
            bounds = " ".join(_bound(m) for m in field.metadata)
            text = f"{field.description}{f' [{bounds}]' if bounds else ''}".replace("%", "%%")
            choices = ("true", "false") if field.annotation is bool else getattr(field.annotation, "__args__", ())
            metavar = "|".join(choices) if choices and isinstance(choices[0], str) else key.upper()
            group.add_argument(f"--{section}.{key}", metavar=metavar, default=argparse.SUPPRESS, help=text)


def _bound(constraint: object) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return ", ".join(f"{s} {getattr(constraint, n)}" for n, s in signs.items() if hasattr(constraint, n))


def load_config(path: Path, preset: str | None = None, overrides: dict[str, Any] | None = None) -> Config:
    """Read config.yaml, lay the preset over it and the overrides ("section.key": value) over both."""
    values = _read_yaml(path)
    presets = values.pop("presets", None) or {}
    if preset is not None:
        if not isinstance(presets, dict) or preset not in presets:
            raise UserError(f"there is no preset '{preset}' in {path}; it has {', '.join(presets) or 'none'}")
        values = _merge(values, presets[preset])
    return make_config(values, overrides)


def make_config(values: dict[str, Any], overrides: dict[str, Any] | None = None) -> Config:
    """Check the values of config.yaml or of a run folder, with the overrides laid over them."""
    for key, value in (overrides or {}).items():
        section, _, name = key.partition(".")
        field = SECTIONS[section].model_fields[name] if key in KEYS else None
        may_be_none = field is not None and type(None) in get_args(field.annotation)
        values = _merge(values, {section: {name: _none(value) if may_be_none else value}})
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UserError("; ".join(_sentence(e) for e in error.errors()[:3])) from None


def _none(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() in ("none", "null") else value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no config file {path}; git checkout config.yaml brings it back") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} has to hold sections ({', '.join(SECTIONS)}), each with its keys")
    return values


def _merge(below: dict[str, Any], above: Any) -> dict[str, Any]:
    if not isinstance(above, dict) or not all(isinstance(v, dict) for v in above.values()):
        raise UserError(f"a preset has to hold sections ({', '.join(SECTIONS)}), each with its keys")
    merged = dict(below)
    for section, keys in above.items():
        under = merged.get(section) or {}
        merged[section] = {**under, **keys} if isinstance(under, dict) else under
    return merged


def nearest(name: str, names: list[str]) -> str:
    """' (did you mean …?)', or nothing where no name is near."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _sentence(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no setting '{key}'{nearest(key, [*SECTIONS, *KEYS])}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] in ("model_type", "missing"):
        return f"the section '{key}' has to hold its keys, one a line"
    if error["type"] == "bool_parsing":
        return f"{key} = {error['input']!r}: it has to be true or false"
    expected = error["msg"].replace("Input should be", "it has to be")
    return f"{key} = {error['input']!r}: {expected[0].lower()}{expected[1:]}"
