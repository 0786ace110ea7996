"""Drawing the next token, against probabilities worked by hand."""

import pytest
import torch
from torch import Tensor, nn

from training.config import SampleConfig
from training.sampling import generate, next_token_probabilities, write_text
from training.tokenizer import CharTokenizer

HALF_QUARTER = torch.tensor([0.25, 0.5, 0.125, 0.125]).log()


def test_temperature_one_is_the_softmax():
    assert next_token_probabilities(HALF_QUARTER).tolist() == pytest.approx([0.25, 0.5, 0.125, 0.125])


def test_temperature_one_half_squares_the_odds():
    expected = torch.tensor([4.0, 16.0, 1.0, 1.0]) / 22
    torch.testing.assert_close(next_token_probabilities(HALF_QUARTER, temperature=0.5), expected)


def test_temperature_zero_takes_the_likeliest_and_so_does_nearly_zero():
    assert next_token_probabilities(HALF_QUARTER, temperature=0).tolist() == [0, 1, 0, 0]
    assert next_token_probabilities(HALF_QUARTER, temperature=1e-50).tolist() == [0, 1, 0, 0]


def test_top_k_keeps_the_k_likeliest():
    assert next_token_probabilities(HALF_QUARTER, top_k=2).tolist() == pytest.approx([1 / 3, 2 / 3, 0, 0])
    assert (next_token_probabilities(HALF_QUARTER, top_k=3) > 0).sum() == 3, "a tie keeps k tokens, not more"
    assert (next_token_probabilities(HALF_QUARTER, top_k=9) > 0).all()


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.3, [0, 1, 0, 0]), (0.6, [1 / 3, 2 / 3, 0, 0]), (1.0, [0.25, 0.5, 0.125, 0.125])]
)
def test_top_p_keeps_the_fewest_that_sum_to_p(top_p: float, kept: list[float]):
    assert next_token_probabilities(HALF_QUARTER, top_p=top_p).tolist() == pytest.approx(kept)


def test_the_logits_are_left_as_they_are():
    logits = HALF_QUARTER.clone()
    next_token_probabilities(logits, top_k=1, top_p=0.5)
    assert torch.equal(logits, HALF_QUARTER)


class Counter(nn.Module):
    """After token i comes i + 1, surely; remembers how long the context was."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.dropout = nn.Dropout(0.5)
        self.contexts: list[int] = []

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        assert not self.training
        self.contexts.append(x.shape[1])
        return nn.functional.one_hot((x + 1) % 10, 10) * 1000.0, None


def test_generation_goes_on_from_the_prompt_and_crops_the_context():
    model = Counter().eval()
    tokens = list(generate(model, torch.tensor([2, 3]), 6, block_size=4, generator=torch.Generator()))
    assert tokens == [4, 5, 6, 7, 8, 9]
    assert model.contexts == [2, 3, 4, 4, 4, 4]


def test_each_token_is_there_before_the_next_one_is_computed():
    model = Counter().eval()
    stream = generate(model, torch.tensor([0]), 1000, block_size=4, generator=torch.Generator())
    assert next(stream) == 1
    assert len(model.contexts) == 1


def test_text_is_written_in_evaluation_mode_and_the_mode_put_back():
    model = Counter()
    tokenizer = CharTokenizer("0123456789")
    assert "".join(write_text(model, tokenizer, 4, SampleConfig(prompt="78", length=4), seed=0)) == "9012"
    assert model.training


def test_the_same_seed_writes_the_same_and_another_seed_something_else():
    class Even(Counter):
        def forward(self, x: Tensor) -> tuple[Tensor, None]:
            return torch.zeros(*x.shape, 10), None

    def draw(seed: int) -> list[int]:
        return list(generate(Even().eval(), torch.tensor([0]), 50, 4, torch.Generator().manual_seed(seed)))

    torch.manual_seed(torch.seed())
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert set(draw(3)) <= set(range(10))
