"""Stage 2: a GPT that looks at its context."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from .gpt_v1 import GPTVer1


class GPTVer2(GPTVer1):
    """Token embeddings, a contextualizer that lets them look at each other, and a linear layer to logits.

    logits = lm_head(contextualizer(token_embedding_table[indices]))

    contextualizer: any module from (B, T, C) to (B, T, C): a head, several heads, a stack of blocks.
    Shapes: B batch, T time, C embed_size, V vocab_size.
    """

    def __init__(self, contextualizer: nn.Module, vocab_size: int, block_size: int, embed_size: int):
        nn.Module.__init__(self)  # not GPTVer1's own, which would build a V x V table
        self.block_size = block_size
        self.token_embedding_table = nn.Embedding(vocab_size, embed_size)
        self.contextualizer = contextualizer
        self.lm_head = nn.Linear(embed_size, vocab_size)

    def logits(self, indices: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Embed the tokens, let them look at their context, and score the next token."""
        # TODO 2-2: embed, contextualize, then map to the vocabulary with lm_head
        raise NotImplementedError("TODO 2-2: embed, contextualize, then map to the vocabulary with lm_head")
        # END TODO 2-2
