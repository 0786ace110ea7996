"""The finished stages keep their contract, and the finished GPT is the one that torch's own layers make."""

import inspect
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from checks.conftest import ROOT
from course.models import build_model
from course.stages import STAGES
from training.config import ModelConfig

CONFIG = ModelConfig(n_layers=3, n_heads=4, embed_size=32, block_size=12, dropout=0.1)
V = 11


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[s.number for s in STAGES])
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(1)
    return build_model(request.param, V, CONFIG).eval()


def test_the_code_under_test_comes_from_solutions(model: nn.Module):
    assert Path(inspect.getfile(type(model))).parent == ROOT / "solutions" / "gpt"
    for name, module in sys.modules.items():
        if name.startswith("gpt."):
            assert Path(str(module.__file__)).parent == ROOT / "solutions" / "gpt"


def test_logits_and_loss_have_their_shapes(model: nn.Module):
    x = tokens(3, 9)
    logits, loss = model(x, tokens(3, 9))
    assert logits.shape == (3, 9, V)
    assert loss.shape == ()
    torch.testing.assert_close(loss, F.cross_entropy(logits.reshape(-1, V), tokens(3, 9).reshape(-1)))
    assert model(x)[1] is None


def test_no_token_sees_its_future_or_another_example(model: nn.Module):
    x = tokens(2, 9)
    changed = x.clone()
    changed[:, 5:] = (x[:, 5:] + 1) % V
    torch.testing.assert_close(model(changed)[0][:, :5], model(x)[0][:, :5])
    assert not torch.allclose(model(changed)[0][:, 5:], model(x)[0][:, 5:])
    torch.testing.assert_close(model(x[1:])[0], model(x)[0][1:])


def test_generation_appends_tokens_and_keeps_the_prompt(model: nn.Module):
    x = tokens(2, 3)
    out = model.generate(x, max_new_tokens=20)  # longer than the context of 12
    assert out.shape == (2, 23)
    assert torch.equal(out[:, :3], x)
    assert 0 <= out.min() <= out.max() < V


def test_more_tokens_than_the_context_holds_are_refused_with_both_numbers(model: nn.Module):
    with pytest.raises(ValueError, match=r"13 .*12"):
        model(tokens(1, 13))


def test_gradients_reach_every_parameter(model: nn.Module):
    model(tokens(4, 12), tokens(4, 12))[1].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_no_tensor_is_built_on_another_device(model: nn.Module):
    """A tensor on the CPU among those on the meta device is an error there, as it would be on a GPU."""
    model.to("meta")(torch.zeros(2, 9, dtype=torch.long, device="meta"))


def test_the_finished_gpt_equals_torchs_own_encoder_with_the_same_weights():
    torch.manual_seed(2)
    model = build_model(10, V, CONFIG).eval()
    C = CONFIG.embed_size
    layers = []
    for block in model.contextualizer:
        layer = nn.TransformerEncoderLayer(
            C, CONFIG.n_heads, 4 * C, activation="relu", batch_first=True, norm_first=True, dropout=0.0
        )
        attention, first, last = block.head, block.ffwd.net[0], block.ffwd.net[2]
        torch.nn.init.normal_(block.ln1.gamma)
        torch.nn.init.normal_(block.ln2.beta)
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": torch.cat(
                    [attention.query.weight, attention.key.weight, attention.value.weight]
                ),
                "self_attn.in_proj_bias": torch.zeros(3 * C),
                "self_attn.out_proj.weight": attention.proj.weight,
                "self_attn.out_proj.bias": attention.proj.bias,
                "linear1.weight": first.weight, "linear1.bias": first.bias,
                "linear2.weight": last.weight, "linear2.bias": last.bias,
                "norm1.weight": block.ln1.gamma, "norm1.bias": block.ln1.beta,
                "norm2.weight": block.ln2.gamma, "norm2.bias": block.ln2.beta,
            }
        )  # fmt: skip
        layers.append(layer)
    x = tokens(3, 9)
    hidden = model.token_embedding_table(x) + model.pos_embedding_table.weight[:9]
    mask = nn.Transformer.generate_square_subsequent_mask(9)
    for layer in layers:
        hidden = layer(hidden, src_mask=mask, is_causal=True)
    expected = F.linear(F.layer_norm(hidden, (C,), model.ln_f.weight, model.ln_f.bias), model.lm_head.weight)
    torch.testing.assert_close(model(x)[0], expected + model.lm_head.bias, rtol=1e-4, atol=1e-4)
