"""Stage 1: a GPT that looks at nothing but the last token."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class GPTVer1(nn.Module):
    """The bigram model: row i of one V x V table holds the logits of the token that follows token i.

    P(next = j | last = i) = softmax(table[i])[j]. All later versions inherit `forward` and `generate`
    and replace `logits`.

    Shapes: B batch, T time (at most block_size), V vocab_size.
    Source: Bengio et al. 2003, "A Neural Probabilistic Language Model", section 1.1 (n-gram models).

    >>> model = GPTVer1(vocab_size=5, block_size=8)
    >>> logits, loss = model(torch.tensor([[0, 1, 2]]), targets=torch.tensor([[1, 2, 3]]))
    >>> logits.shape
    torch.Size([1, 3, 5])
    """

    def __init__(self, vocab_size: int, block_size: int):
        super().__init__()
        self.block_size = block_size
        self.token_embedding_table = nn.Embedding(vocab_size, vocab_size)

    def logits(self, indices: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """An unnormalised score for each token of the vocabulary to come next, at each of the T places."""
        return self.token_embedding_table(indices)

    def forward(
        self, indices: Int[Tensor, "B T"], targets: Int[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T V"], Float[Tensor, ""] | None]:
        """The logits and, where targets are given, the mean cross-entropy in nats a token.

        Raises ValueError if T exceeds block_size.
        """
        T = indices.shape[1]
        if T > self.block_size:
            raise ValueError(f"the input has T = {T} tokens, but block_size is {self.block_size}")
        logits = self.logits(indices)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def generate(self, indices: Int[Tensor, "B T"], max_new_tokens: int) -> Int[Tensor, "B T_new"]:
        """Append max_new_tokens sampled tokens to each of the B sequences: (B, T) -> (B, T + max_new_tokens).

        One token at a time: take the logits at the last place, turn them into probabilities with a softmax,
        draw one token from them, and append it. The model is shown the last block_size tokens only.
        """
        # TODO 1: draw one token after another from the softmax of the last step's logits
        raise NotImplementedError("TODO 1: draw one token after another from the softmax of the last step's logits")
        # END TODO 1
