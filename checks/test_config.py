"""Settings: where they come from, and what is said of wrong ones."""

from pathlib import Path

import pytest
import yaml

from checks.conftest import ROOT
from training.config import KEYS, SECTIONS, load_config
from training.errors import UserError


def config_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_config_yaml_has_every_key_and_a_comment_for_each():
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    keys = [f"{section}.{key}" for section in SECTIONS for key in values[section]]
    assert keys == KEYS, "each key of training/config.py has its line in config.yaml, in the same order"
    for section, cls in SECTIONS.items():
        for key, field in cls.model_fields.items():
            assert f"{section}.{key}" == "train.seconds" or values[section][key] == field.default, key
    body = text[: text.index("presets:")]
    for line in body.splitlines():
        if line.startswith("  "):
            assert "# " in line, line


def test_every_preset_is_valid():
    path = ROOT / "config.yaml"
    presets = yaml.safe_load(path.read_text(encoding="utf-8"))["presets"]
    assert {"gpu", "shakespeare-74s", "shakespeare-5min", "shakespeare-10min"} <= set(presets)
    for name in presets:
        load_config(path, name)


def test_the_gpu_preset_has_the_familiar_size():
    config = load_config(ROOT / "config.yaml", "gpu")
    model = config.model
    assert (model.n_layers, model.n_heads, model.embed_size, model.block_size) == (6, 6, 384, 256)
    assert (config.train.batch_size, model.dropout) == (64, 0.2)


def test_the_command_line_wins_over_the_preset_and_the_preset_over_the_file(tmp_path: Path):
    path = config_file(
        tmp_path,
        "model: {n_layers: 1, n_heads: 1, embed_size: 8}\ntrain: {seconds: 5}\n"
        "presets: {wide: {model: {n_layers: 2, embed_size: 64}}}\n",
    )
    config = load_config(path, "wide", {"model.embed_size": "32", "train.learning_rate": "3e-3"})
    assert (config.model.n_layers, config.model.n_heads, config.model.embed_size) == (2, 1, 32)
    assert config.train.learning_rate == 3e-3


@pytest.mark.parametrize("none", ["none", "null", "None"])
def test_a_limit_can_be_taken_away_on_the_command_line(tmp_path: Path, none: str):
    path = config_file(tmp_path, "train: {seconds: 5, iterations: 10}")
    assert load_config(path, overrides={"train.seconds": none}).train.seconds is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train: {seconds: 5, batchsize: 3}", "there is no setting 'train.batchsize'; did you mean train.batch_size?"),
        ("tran: {seconds: 5}", "there is no setting 'tran'; did you mean train?"),
        ("train: {seconds: 5, clip: 0}", "train.clip = 0: it has to be greater than 0"),
        ("train: {seconds: 5, clip: high}", "train.clip = 'high': it has to be a valid number"),
        ("train: {batch_size: 4}", "a run needs a budget"),
        ("train: {seconds: 5}\nmodel: {n_heads: 5}", "model.embed_size = 128 is not divisible by model.n_heads = 5"),
        ("train: 5", "section 'train' has to hold its keys"),
        ("train:", "section 'train' has to hold its keys"),
        ("- train", "has to hold sections"),
        ("", "has to hold sections"),
        ("train: {seconds: 5", "cannot be read as YAML"),
        ("train: {seconds: 5}\npresets: [a]", "there is no preset 'p'"),
        ("train: {seconds: 5}\npresets: {p: 3}", "preset has to hold sections"),
    ],
)
def test_what_is_wrong_in_a_config_is_said_in_a_sentence(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(UserError) as error:
        load_config(config_file(tmp_path, text), "p" if "presets" in text else None)
    assert sentence in str(error.value)


def test_the_width_suggested_for_a_number_of_heads_is_divisible(tmp_path: Path):
    with pytest.raises(UserError, match=r"130 would be"):
        load_config(config_file(tmp_path, "train: {seconds: 5}\nmodel: {n_heads: 5}"))
