"""Stage 1: what a bigram model can learn, and what it cannot."""

import math
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.kit import Wrong
from tests.kit.experiment import FIRST, Asked, Outcome, Text, can_be_trained, descend
from tests.kit.loading import load


class BigramCounts:
    """A table of logits, trained on all of a short text at once, beside the text's own bigram counts.

    No bigram model has a loss below the text's conditional entropy H(next | last), the mean of -log of
    count(a, b) / count(a): Cover and Thomas, "Elements of Information Theory", section 2.6 (the mean of -log p is
    least where p is the true distribution).
    """

    name = "test_the_trained_table_is_the_bigram_counts"
    stage = 1
    claim = "training makes the table what counting the pairs of the text would make it"
    reason = "gpt/gpt_v1.py came with this part done: `git diff gpt/gpt_v1.py` shows what is different now."
    text = Text(training=10_001, validation=1_000, context=100)
    steps = 80
    close = 0.03  # nats above the entropy, and the share of probability that is elsewhere

    def measure(self, seed: int, alike: bool = False) -> Outcome:
        tokens = self.text.parts[0]
        x, y = tokens[:-1].view(-1, 100), tokens[1:].view(-1, 100)
        V = self.text.vocab_size
        torch.manual_seed(seed)
        model = load("gpt_v1.GPTVer1")(V, block_size=100)
        before = model(x, y)[1].item()
        start = time.perf_counter()
        with can_be_trained("the bigram model"):
            optimizer = torch.optim.AdamW(model.parameters(), betas=(0.8, 0.95), weight_decay=0, fused=True)
            curve = descend(optimizer, lambda: model(x, y)[1], 1 if alike else self.steps, learning_rate=0.5)
            loss = model(x, y)[1].item()
        seconds = time.perf_counter() - start
        start_token = torch.zeros(1, 1, dtype=torch.long)
        two = model.generate(start_token, 2)  # a batch that doubles with each token would fill the memory in 70
        if not isinstance(two, Tensor) or two.shape != (1, 3):
            raise Wrong(f"generate(indices, 2) should return the 3 tokens, as a tensor (1, 3).\n{FIRST}")
        written = self.text.decode(model.generate(start_token, 70)[0])
        counts = F.one_hot(x.flatten() * V + y.flatten(), V * V).sum(dim=0).view(V, V).double()
        entropy = conditional_entropy(counts)
        table = model.token_embedding_table.weight.detach().double().softmax(dim=-1)
        shares = counts.sum(dim=1) / counts.sum()
        seen = counts.sum(dim=1) > 0
        apart = (table[seen] - counts[seen] / counts[seen].sum(dim=1, keepdim=True)).abs().sum(dim=1) / 2
        misplaced = (shares[seen] * apart).sum().item()
        rows = [
            ["", "loss on the text", "bits a character"],
            ["a table of random numbers", f"{before:.4f}", f"{before / math.log(2):.3f}"],
            [f"after {len(curve)} steps, {seconds:.1f} s", f"{loss:.4f}", f"{loss / math.log(2):.3f}"],
            ["the entropy: no bigram model can do better", f"{entropy:.4f}", f"{entropy / math.log(2):.3f}"],
        ]
        asked = [
            Asked("nats from the loss down to the entropy", loss - entropy, self.close, at_most=True),
            Asked("share of probability that is not where the counts have it", misplaced, self.close, at_most=True),
            Asked("the loss minus the entropy, which it cannot cross", loss - entropy, -1e-4, fact=True),
        ]
        level = ("conditional entropy of the text", entropy)
        return Outcome(rows, asked, {"the bigram model": curve}, level, [f"It writes: {' '.join(written.split())}"])


def conditional_entropy(counts: Tensor) -> float:
    """H(next | last) in nats, from the counts of pairs (V, V)."""
    pairs = counts / counts.sum()
    given = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return -(pairs * given.clamp(min=1e-300).log()).sum().item()


BIGRAM_COUNTS = BigramCounts()
