"""Known mistakes of stage 6: GPTVer3.pos_encodings and GPTVer3.logits."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.devices import placement
from tests.kit.seeds import seed

from . import Outcome, mistake, observed, place


@place("6-1", "gpt_v3.GPTVer3", "pos_encodings")
def observe_encodings(cls: type) -> Outcome:
    """Tables of even and odd widths, longer than wide and wider than long, and whether they learn."""
    outcome: Outcome = {}
    for T, C in ((4, 6), (5, 7), (1, 4), (6, 2), (9, 3)):
        encodings = observed(lambda T=T, C=C: cls.pos_encodings(T, C))
        if isinstance(encodings, Tensor):
            outcome[f"learns {T} x {C}"] = encodings.requires_grad
            encodings = encodings.detach()
        outcome[f"encodings {T} x {C}"] = "an error" if isinstance(encodings, str) else encodings
    return outcome


class Past(nn.Module):
    """A contextualizer of its own: the mean of tanh(W x) over the past. It remembers what it was given."""

    def __init__(self, embed_size: int):
        super().__init__()
        self.proj = nn.Linear(embed_size, embed_size)
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.detach()
        counts = torch.arange(1, x.shape[1] + 1, device=x.device).unsqueeze(1)
        return torch.tanh(self.proj(x)).cumsum(dim=1) / counts


@place("6-2", "gpt_v3.GPTVer3", "logits")
def observe_logits(cls: type) -> Outcome:
    """Logits, what the contextualizer was given, gradients, both modes, the table after the calls, another device.

    The table is a right one, whatever pos_encodings does.
    """

    class GPTVer3(cls):
        pos_encodings = staticmethod(right_encodings)

    seed(6)
    model = GPTVer3(Past(6), 11, 8, 6)
    outcome: Outcome = {}
    for B, T in ((2, 5), (1, 8), (3, 1), (2, 8)):
        model.train(T != 1)
        indices = (7 * torch.arange(B * T) ** 2 + 1).reshape(B, T) % 5
        model.contextualizer.seen = None
        outcome[f"logits {B} x {T}"] = out = observed(lambda indices=indices: model.logits(indices))
        outcome[f"seen {B} x {T}"] = model.contextualizer.seen
        model.zero_grad()
        if isinstance(out, Tensor) and out.requires_grad:
            outcome[f"logits {B} x {T}"] = out.detach()
            (out * torch.randn(out.shape)).sum().backward()
        for name, parameter in model.named_parameters():
            outcome[f"gradient of {name} {B} x {T}"] = None if parameter.grad is None else parameter.grad.clone()
    outcome["pos_table"] = model.pos_table
    outcome["device"] = observed(lambda: placement(model, torch.zeros(2, 8, dtype=torch.long), "logits"))
    return outcome


def waves(T: int, C: int, base: float = 10000.0) -> Tensor:
    """The angles of each pair of columns, (T, ceil(C / 2))."""
    return torch.arange(T).unsqueeze(1) / base ** (torch.arange(0, C, 2) / C)


def paired(angles: Tensor, C: int) -> Tensor:
    """Sines and cosines of the angles in turns, C columns."""
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :C]


def right_encodings(T: int, C: int) -> Tensor:
    return paired(waves(T, C), C)


@mistake("6-1")
def sines_in_the_left_half_and_cosines_in_the_right(block_size, embed_size):
    """All sines come first and all cosines after them. They have to take turns: sine, cosine, sine, cosine, so that
    the two of the same wave stand next to each other."""
    angles = waves(block_size, embed_size)
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :embed_size]


@mistake("6-1")
def cosines_in_the_even_columns(block_size, embed_size):
    """Sines and cosines have changed places. Columns 0, 2, 4 ... hold the sines, and 1, 3, 5 ... the cosines, so that
    row 0 reads 0, 1, 0, 1."""
    angles = waves(block_size, embed_size)
    return torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)[:, :embed_size]


@mistake("6-1")
def sines_in_all_columns(block_size, embed_size):
    """Every column holds a sine; the odd columns have to hold the cosine of the same angle."""
    angles = waves(block_size, embed_size)
    return angles.sin().repeat_interleave(2, dim=1)[:, :embed_size]


@mistake("6-1")
def cosines_left_out(block_size, embed_size):
    """The odd columns are left at 0; they have to hold the cosines."""
    encodings = torch.zeros(block_size, embed_size)
    encodings[:, 0::2] = waves(block_size, embed_size).sin()
    return encodings


@mistake("6-1")
def rows_take_turns_instead_of_columns(block_size, embed_size):
    """Even *positions* get sines and odd positions cosines. It is the columns that take turns: the second index of
    the table, not the first."""
    angles = waves(block_size, embed_size).repeat_interleave(2, dim=1)[:, :embed_size]
    return torch.where(torch.arange(block_size).unsqueeze(1) % 2 == 0, angles.sin(), angles.cos())


@mistake("6-1")
def each_column_has_a_wave_of_its_own(block_size, embed_size):
    """The exponent grows with every column, so that a cosine has another wave length than the sine to its left.
    Columns 2i and 2i + 1 share the exponent 2i / C."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000 ** (torch.arange(embed_size) / embed_size)
    return torch.where(torch.arange(embed_size) % 2 == 0, angles.sin(), angles.cos())


@mistake("6-1")
def number_of_the_column_for_number_of_the_pair(block_size, embed_size):
    """The i in 2i / C is taken for the number of the column, so that every column has an exponent of its own, up to
    nearly 2. It is the number of the pair: columns 2i and 2i + 1 share the exponent 2i / C."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000 ** (2 * torch.arange(embed_size) / embed_size)
    return torch.where(torch.arange(embed_size) % 2 == 0, angles.sin(), angles.cos())


@mistake("6-1")
def the_two_in_the_exponent_taken_twice(block_size, embed_size):
    """The exponent is 4i / C. If the columns are counted as 0, 2, 4 ..., the 2 of 2i is already in them: do not
    multiply by 2 again."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000 ** (2 * torch.arange(0, embed_size, 2) / embed_size)
    return paired(angles, embed_size)


@mistake("6-1")
def the_two_in_the_exponent_left_out(block_size, embed_size):
    """The exponent is i / C; for the pair of columns 2i and 2i + 1 it has to be 2i / C."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000 ** (torch.arange(0, embed_size, 2) / 2 / embed_size)
    return paired(angles, embed_size)


@mistake("6-1")
def exponents_that_start_one_pair_too_late(block_size, embed_size):
    """The pairs of columns are counted from 1. Count from i = 0, so that the first pair is sin(t) and cos(t)."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000 ** ((torch.arange(0, embed_size, 2) + 2) / embed_size)
    return paired(angles, embed_size)


@mistake("6-1")
def exponent_not_divided_by_embed_size(block_size, embed_size):
    """The exponent is 2i; it has to be 2i / C. Without the division, all waves but the first are so long that their
    columns are 0 and 1 everywhere."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000.0 ** torch.arange(0, embed_size, 2)
    return paired(angles, embed_size)


@mistake("6-1")
def exponent_rounded_down_to_a_whole_number(block_size, embed_size):
    """The exponent is divided with //, which makes every 2i / C a 0, and all pairs of columns the same. Divide
    with /."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000.0 ** (torch.arange(0, embed_size, 2) // embed_size)
    return paired(angles, embed_size)


@mistake("6-1")
def exponent_divided_by_block_size(block_size, embed_size):
    """The exponent is 2i / block_size; it has to be 2i / embed_size. How fast a wave is depends on its column, not on
    the length of the table."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000 ** (torch.arange(0, embed_size, 2) / block_size)
    return paired(angles, embed_size)


@mistake("6-1")
def slowest_wave_at_10000_exactly(block_size, embed_size):
    """The exponents are spread so that the last one is 1, as i / (C/2 - 1). It is 2i / C here, so that the last pair
    stays below 1."""
    pairs = (embed_size + 1) // 2
    angles = torch.arange(block_size).unsqueeze(1) / 10000 ** (torch.arange(pairs) / max(pairs - 1, 1))
    return paired(angles, embed_size)


@mistake("6-1")
def position_multiplied_instead_of_divided(block_size, embed_size):
    """t is multiplied by 10000^(2i/C), so that the waves get ever shorter. Divide: they have to get ever longer."""
    angles = torch.arange(block_size).unsqueeze(1) * 10000 ** (torch.arange(0, embed_size, 2) / embed_size)
    return paired(angles, embed_size)


@mistake("6-1")
def base_1000_instead_of_10000(block_size, embed_size):
    """The base of the wave lengths is 1000; it has to be 10000. Count the zeros."""
    return paired(waves(block_size, embed_size, base=1000.0), embed_size)


@mistake("6-1")
def base_e_instead_of_10000(block_size, embed_size):
    """The waves are exp(-2i/C): the logarithm of 10000 is missing. As an exponential, 10000^(-y) is
    exp(-y ln 10000)."""
    return paired(waves(block_size, embed_size, base=math.e), embed_size)


@mistake("6-1")
def decimal_logarithm_in_the_exponential(block_size, embed_size):
    """The waves are exp(-4 * 2i/C), with the decimal logarithm of 10000, which is 4. exp needs the natural logarithm,
    9.21: torch and math call it log."""
    return paired(waves(block_size, embed_size, base=math.exp(4)), embed_size)


@mistake("6-1")
def position_and_column_swapped(block_size, embed_size):
    """The column is divided by 10000^(t/C). It has to be the position t that is divided, and the column that is in
    the exponent."""
    angles = torch.arange(0, embed_size, 2) / 10000 ** (torch.arange(block_size).unsqueeze(1) / embed_size)
    return paired(angles, embed_size)


@mistake("6-1")
def positions_counted_from_one(block_size, embed_size):
    """The first row belongs to t = 1. Count from t = 0, so that the first row is 0, 1, 0, 1."""
    return right_encodings(block_size + 1, embed_size)[1:]


@mistake("6-1")
def positions_divided_by_block_size(block_size, embed_size):
    """t is divided by block_size, so that a position has another encoding in a longer table. Take t as it is: 0, 1,
    2, 3 ..."""
    return paired(waves(block_size, embed_size) / block_size, embed_size)


@mistake("6-1")
def table_lying_on_its_side(block_size, embed_size):
    """The table is (C, T), with a column for each position. It has to be (T, C), a row for each."""
    return right_encodings(block_size, embed_size).T


@mistake("6-1")
def a_batch_of_one_table(block_size, embed_size):
    """The table has a batch dimension, (1, T, C). It has to be (T, C): every example of a batch has the same
    positions, and broadcasting takes care of that."""
    return right_encodings(block_size, embed_size).unsqueeze(0)


@mistake("6-1")
def right_for_an_even_embed_size_only(block_size, embed_size):
    """It fails where embed_size is odd: there is one sine more than there are cosines then, and the odd columns are
    one fewer than the angles."""
    encodings = torch.zeros(block_size, embed_size)
    angles = waves(block_size, embed_size)
    encodings[:, 0::2] = angles.sin()
    encodings[:, 1::2] = angles.cos()
    return encodings


@mistake("6-1")
def odd_embed_size_rounded_up_in_the_exponent(block_size, embed_size):
    """For an odd embed_size, the exponent is 2i / (C + 1), that of the next even size cut by one column. It has to be
    2i / C, with the odd C."""
    even = embed_size + embed_size % 2
    return right_encodings(block_size, even)[:, :embed_size]


@mistake("6-1")
def odd_embed_size_rounded_down_in_the_exponent(block_size, embed_size):
    """For an odd embed_size, the exponent is 2i / (C - 1), for example because it is written as i / (C // 2). It has
    to be 2i / C, with the odd C."""
    angles = torch.arange(block_size).unsqueeze(1) / 10000 ** (torch.arange(0, embed_size, 2) / (embed_size // 2 * 2))
    return paired(angles, embed_size)


@mistake("6-1")
def last_column_of_an_odd_embed_size_left_empty(block_size, embed_size):
    """For an odd embed_size, the last column is 0 everywhere. It has to hold one more sine, without a cosine."""
    encodings = right_encodings(block_size, embed_size)
    if embed_size % 2:
        encodings[:, -1] = 0
    return encodings


@mistake("6-1")
def written_into_a_table_of_integers(block_size, embed_size):
    """The sines and cosines are written into a table of integers, which cuts them off to 0, 1 and -1. torch.arange
    and what is copied from it hold integers; make a table of floats."""
    return right_encodings(block_size, embed_size).long()


@mistake("6-1")
def table_in_float64(block_size, embed_size):
    """The table is in float64, which lm_head with its float32 weights refuses. Compute in float64 if you like, but
    give back float32, torch's default."""
    return right_encodings(block_size, embed_size).double()


@mistake("6-1")
def table_that_learns(block_size, embed_size):
    """The table is a parameter, or asks for gradients in another way. These encodings are constants; positions that
    learn come in stage 7."""
    return nn.Parameter(right_encodings(block_size, embed_size))


def rows(self, indices):
    """The right positions."""
    return self.pos_table[: indices.shape[1]]


def finish(self, x):
    """From token + position on, everything right."""
    return self.lm_head(self.contextualizer(x))


@mistake("6-2")
def positions_left_out(self, indices):
    """No positions are added: these are the logits of GPTVer2, which cannot see the order of its tokens."""
    return finish(self, self.token_embedding_table(indices))


@mistake("6-2")
def tokens_left_out(self, indices):
    """The contextualizer gets the positions alone. It has to get the sum of the token embeddings and the positions."""
    return finish(self, rows(self, indices).expand(indices.shape[0], -1, -1))


@mistake("6-2")
def whole_table_added(self, indices):
    """All block_size rows of the table are added, which fits only sequences of full length. Take the first T rows,
    one for each token that is there."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table)


@mistake("6-2")
def last_rows_instead_of_the_first(self, indices):
    """The last T rows of the table are added, so that the positions of a short sequence start in the middle. Take the
    first T rows."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table[-indices.shape[1] :])


@mistake("6-2")
def rows_one_too_late(self, indices):
    """The rows 1 to T are added, and there is none for the last token of a full sequence. Positions start at 0: take
    the rows 0 to T - 1."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table[1 : indices.shape[1] + 1])


@mistake("6-2")
def one_row_for_all_tokens(self, indices):
    """One single row, that of the last position, is added to all tokens. Each token needs the row of its own
    position."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table[indices.shape[1] - 1])


@mistake("6-2")
def row_t_instead_of_the_first_t_rows(self, indices):
    """pos_table[T] is one single row, that of position T, added to all tokens; a full sequence has none. Take the
    first T rows, with a slice."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table[indices.shape[1]])


@mistake("6-2")
def positions_counted_from_the_end(self, indices):
    """The rows are added in reverse order, so that the last token has position 0. The first token has position 0."""
    return finish(self, self.token_embedding_table(indices) + rows(self, indices).flip(0))


@mistake("6-2")
def rows_picked_by_token(self, indices):
    """The table is indexed with the tokens themselves, so that token 7 gets row 7 wherever it stands. Index it with
    the place of the token: 0 to T - 1."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table[indices])


@mistake("6-2")
def rows_counted_by_the_batch(self, indices):
    """The number of rows is taken from the batch, indices.shape[0]; it has to be the number of tokens,
    indices.shape[1]."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table[: indices.shape[0]])


@mistake("6-2")
def positions_numbered_along_the_batch(self, indices):
    """All tokens of example b get row b: the positions run along the batch. They have to run along T, the same for
    each example."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table[: indices.shape[0]].unsqueeze(1))


@mistake("6-2")
def columns_cut_instead_of_rows(self, indices):
    """The first T *columns* of the table are taken. Positions are its rows: cut the first dimension."""
    return finish(self, self.token_embedding_table(indices) + self.pos_table[:, : indices.shape[1]])


@mistake("6-2")
def positions_multiplied_instead_of_added(self, indices):
    """The token embeddings are multiplied by the positions, and every 0 in the table wipes out what the token is.
    Add them."""
    return finish(self, self.token_embedding_table(indices) * rows(self, indices))


@mistake("6-2")
def positions_appended_instead_of_added(self, indices):
    """The positions are put next to the embeddings, which makes each token 2 C wide. Add them: C stays C."""
    positions = rows(self, indices).expand(indices.shape[0], -1, -1)
    return finish(self, torch.cat([self.token_embedding_table(indices), positions], dim=-1))


@mistake("6-2")
def positions_added_after_the_contextualizer(self, indices):
    """The positions are added after the contextualizer, which then cannot see the order. Add them before it."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices)) + rows(self, indices))


@mistake("6-2")
def positions_added_twice(self, indices):
    """The positions are added before the contextualizer and once more after it. Once is enough: before it."""
    x = self.contextualizer(self.token_embedding_table(indices) + rows(self, indices))
    return self.lm_head(x + rows(self, indices))


@mistake("6-2")
def positions_added_to_the_token_numbers(self, indices):
    """The position is added to the number of the token before it is looked up, which makes it another token, or none
    of the vocabulary. Add the encodings after the lookup."""
    return finish(self, self.token_embedding_table(indices + torch.arange(indices.shape[1], device=indices.device)))


@mistake("6-2")
def positions_looked_up_among_the_tokens(self, indices):
    """The positions 0, 1, 2 ... are looked up in token_embedding_table, as if they were tokens. Their encodings are
    in pos_table."""
    positions = torch.arange(indices.shape[1], device=indices.device)
    return finish(self, self.token_embedding_table(indices) + self.token_embedding_table(positions))


@mistake("6-2")
def embeddings_scaled_by_the_root_of_embed_size(self, indices):
    """The token embeddings are multiplied by sqrt(C), as in section 3.4 of the paper. This course leaves that out:
    add the positions to the embeddings as they are."""
    x = self.token_embedding_table(indices)
    return finish(self, x * x.shape[-1] ** 0.5 + rows(self, indices))


@mistake("6-2")
def contextualizer_left_out(self, indices):
    """The sum of tokens and positions goes straight to lm_head. The contextualizer has to come between them."""
    return self.lm_head(self.token_embedding_table(indices) + rows(self, indices))


@mistake("6-2")
def lm_head_left_out(self, indices):
    """What the contextualizer gives is returned, C numbers a token. lm_head has to make V logits of them."""
    return self.contextualizer(self.token_embedding_table(indices) + rows(self, indices))


@mistake("6-2")
def probabilities_instead_of_logits(self, indices):
    """A softmax is taken at the end. Logits are the scores before the softmax: the loss and generate take it
    themselves."""
    return F.softmax(finish(self, self.token_embedding_table(indices) + rows(self, indices)), dim=-1)


@mistake("6-2")
def logits_of_the_last_token_only(self, indices):
    """Only the last token gets its logits, (B, V). All T tokens have to get theirs, (B, T, V): each one is trained to
    predict the next."""
    return finish(self, self.token_embedding_table(indices) + rows(self, indices))[:, -1]


@mistake("6-2")
def table_cut_for_good(self, indices):
    """pos_table itself is cut to the first T rows, so that a longer sequence finds too few of them the next time. Cut
    a copy: leave self.pos_table as it is."""
    self.pos_table = rows(self, indices)
    return finish(self, self.token_embedding_table(indices) + self.pos_table)


@mistake("6-2")
def embeddings_detached(self, indices):
    """The right numbers, but the token embeddings are cut off from the graph (detach, .data or no_grad), and never
    learn."""
    return finish(self, self.token_embedding_table(indices).detach() + rows(self, indices))


@mistake("6-2")
def contextualizer_detached(self, indices):
    """The right numbers, but what the contextualizer gives is cut off from the graph: neither it nor the embeddings
    ever learn, only lm_head."""
    return self.lm_head(self.contextualizer(self.token_embedding_table(indices) + rows(self, indices)).detach())


@mistake("6-2")
def everything_without_gradients(self, indices):
    """The right numbers, but the logits are cut off from the graph (detach, .data or no_grad): nothing in the model
    ever learns."""
    return finish(self, self.token_embedding_table(indices) + rows(self, indices)).detach()


@mistake("6-2")
def built_on_the_cpu(self, indices):
    """The encodings, or the numbers of the positions, are made anew in each call, on the CPU; with the model on a GPU
    this fails. self.pos_table[:T] is all that is needed: a buffer moves to the device with the model."""
    x = self.token_embedding_table(indices)
    return finish(self, x + self.pos_encodings(x.shape[1], x.shape[2]))
