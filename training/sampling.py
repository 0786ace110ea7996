"""Writing text with a trained model, one token at a time."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .config import SampleConfig
from .tokenizer import Tokenizer, decode_stream


def next_token_probabilities(
    logits: Float[Tensor, " V"], temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Float[Tensor, " V"]:
    """softmax(logits / temperature), of the top_k likeliest tokens and of the fewest that sum to top_p.

    Temperature 0 gives all the probability to the likeliest token.
    Source of top_p: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
    """
    logits = logits.float()
    if temperature < 1e-6:  # differences divided by less leave float32
        return nn.functional.one_hot(logits.argmax(), len(logits)).float()
    logits = (logits - logits.max()) / temperature
    order = logits.argsort(descending=True, stable=True)
    if top_k is not None:
        logits[order[top_k:]] = -torch.inf
    probabilities = logits.softmax(dim=-1)
    if top_p is not None:
        sorted_probabilities = probabilities[order]
        before = sorted_probabilities.cumsum(dim=-1) - sorted_probabilities  # what the likelier ones sum to
        probabilities[order[1:][before[1:] >= top_p]] = 0
        probabilities = probabilities / probabilities.sum()
    return probabilities


@torch.inference_mode()
def generate(
    model: nn.Module,
    prompt: Int[Tensor, " T"],
    length: int,
    block_size: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Iterator[int]:
    """Yield `length` tokens that go on from the prompt, each as soon as it is drawn. `generator` is the CPU's.

    The model, in evaluation mode, is shown the last block_size tokens.
    """
    device = next(model.parameters()).device
    indices = prompt
    for _ in range(length):
        logits, _ = model(indices[None, -block_size:].to(device))
        probabilities = next_token_probabilities(logits[0, -1].cpu(), temperature, top_k, top_p)
        token = torch.multinomial(probabilities, num_samples=1, generator=generator)  # (1,)
        indices = torch.cat([indices, token])
        yield int(token)


def write_text(
    model: nn.Module,
    tokenizer: Tokenizer,
    block_size: int,
    config: SampleConfig,
    seed: int,
    length: int | None = None,
) -> Iterator[str]:
    """Yield what follows config.prompt, piece by piece. Puts the model into evaluation mode meanwhile."""
    was_training = model.training
    model.eval()
    try:
        generator = torch.Generator().manual_seed(seed)
        tokens = generate(
            model,
            torch.tensor(tokenizer.encode(config.prompt)),
            config.length if length is None else length,
            block_size,
            generator,
            config.temperature,
            config.top_k,
            config.top_p,
        )
        yield from decode_stream(tokenizer, tokens)
    finally:
        model.train(was_training)
