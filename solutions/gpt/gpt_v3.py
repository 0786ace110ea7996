"""Stage 6: a GPT that knows the order of its tokens."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .gpt_v2 import GPTVer2


class GPTVer3(GPTVer2):
    """GPTVer2 with sinusoidal positions added to the token embeddings.

    PE(t, 2i) = sin(t / 10000^(2i/C)),  PE(t, 2i + 1) = cos(t / 10000^(2i/C))

    Shapes: B batch, T time, C embed_size, V vocab_size.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
    """

    pos_table: Float[Tensor, "block_size C"]

    def __init__(self, contextualizer: nn.Module, vocab_size: int, block_size: int, embed_size: int):
        super().__init__(contextualizer, vocab_size, block_size, embed_size)
        self.register_buffer("pos_table", self.pos_encodings(block_size, embed_size), persistent=False)

    @staticmethod
    def pos_encodings(block_size: int, embed_size: int) -> Float[Tensor, "block_size C"]:
        """Row t is the encoding of position t: sines in the even columns, cosines in the odd ones. Any C >= 1."""
        # TODO 6-1: sines in the even columns, cosines in the odd ones
        positions = torch.arange(block_size).unsqueeze(1)  # (T, 1)
        even_columns = torch.arange(0, embed_size, 2)
        angles = positions / 10000 ** (even_columns / embed_size)  # (T, ceil(C / 2))
        encodings = torch.empty(block_size, embed_size)
        encodings[:, 0::2] = angles.sin()
        encodings[:, 1::2] = angles[:, : embed_size // 2].cos()
        return encodings
        # END TODO 6-1

    def logits(self, indices: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Embed the tokens, add the encodings of their positions, contextualize, and score the next token."""
        # TODO 6-2: add the first T rows of self.pos_table to the embeddings, then go on as before
        T = indices.shape[1]
        x = self.token_embedding_table(indices) + self.pos_table[:T]  # (B, T, C) + (T, C)
        x = self.contextualizer(x)
        return self.lm_head(x)  # (B, T, V)
        # END TODO 6-2
