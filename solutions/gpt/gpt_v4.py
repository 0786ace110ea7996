"""Stage 7: a GPT that learns its positions."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .gpt_v2 import GPTVer2


class GPTVer4(GPTVer2):
    """GPTVer2 with a learned embedding for each position, and a LayerNorm before the last layer.

    logits = lm_head(ln_f(contextualizer(token_embedding_table[indices] + pos_embedding_table[0 ... T-1])))

    Shapes: B batch, T time (at most block_size), C embed_size, V vocab_size.
    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
    """

    def __init__(self, contextualizer: nn.Module, vocab_size: int, block_size: int, embed_size: int):
        super().__init__(contextualizer, vocab_size, block_size, embed_size)
        self.pos_embedding_table = nn.Embedding(block_size, embed_size)
        self.ln_f = nn.LayerNorm(embed_size)

    def logits(self, indices: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Embed tokens and positions, add them, contextualize, normalize, and score the next token."""
        # TODO 7-3: add the embeddings of positions 0 to T-1; ln_f comes just before lm_head
        T = indices.shape[1]
        positions = torch.arange(T, device=indices.device)
        x = self.token_embedding_table(indices) + self.pos_embedding_table(positions)  # (B, T, C) + (T, C)
        x = self.contextualizer(x)
        return self.lm_head(self.ln_f(x))  # (B, T, V)
        # END TODO 7-3
