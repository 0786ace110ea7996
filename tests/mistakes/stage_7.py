"""Known mistakes of stage 7: MultiHeadVer1.forward, MultiHeadVer2.forward and GPTVer4.logits."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.costs import counted
from tests.kit.devices import placement
from tests.kit.seeds import seed

from . import Outcome, mistake, observed, place


def sent_in(layers: list[nn.Module]) -> Outcome:
    """Whatever will go into the layers, call by call, as it happens."""
    log: Outcome = {}

    def look(number: int, _: nn.Module, args: tuple[Any, ...]) -> None:
        value = args[0].detach().clone() if args and isinstance(args[0], Tensor) else None
        log[f"call {len(log)}, of layer {number}"] = value

    for number, layer in enumerate(layers):
        layer.register_forward_pre_hook(partial(look, number))
    return log


def gradients(out: Any, leaves: dict[str, Tensor]) -> Outcome:
    """The gradients of the leaves, for an output with any factors."""
    if not isinstance(out, Tensor) or not out.requires_grad:
        return {"gradients": None}
    factors = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
    failed = observed(lambda: (out * factors).sum().backward())
    return {"backward": failed, **{f"gradient of {name}": leaf.grad for name, leaf in leaves.items()}}


def again(module: nn.Module, x: Tensor) -> Outcome:
    """What a second call of the same module gives, in evaluation mode."""
    call = getattr(module.eval(), "logits", module)
    return {"again": observed(lambda: call(x.detach()))}


# --- 7-1


@place("7-1", "multi_head_v1.MultiHeadVer1", "forward")
def observe_ver_1(cls: Any) -> Outcome:
    """Outputs, gradients, and what goes into the heads (linear layers stand in for them) and into the projection."""
    outcome: Outcome = {}
    for B, T, H in ((2, 5, 3), (1, 8, 2), (3, 1, 3), (2, 3, 1)):
        seed(7)
        layer = cls(8, 6, H)
        layer.heads = nn.ModuleList(nn.Linear(6, 6 // H) for _ in range(H))
        seen = sent_in([*layer.heads, layer.proj])
        x = torch.randn(B, T, 6, requires_grad=True)
        out = observed(partial(layer, x))
        leaves = {"x": x, **dict(layer.named_parameters())}
        outcome[f"{B} x {T}, {H} heads"] = {"out": out} | seen | gradients(out, leaves) | again(layer, x[:, :2])
    return outcome


@mistake("7-1")
def heads_not_projected(self, x):
    """The heads are joined, but the projection is missing: features of different heads never meet. Send what was joined
    through self.proj."""
    return torch.cat([head(x) for head in self.heads], dim=-1)


@mistake("7-1")
def heads_added_up_instead_of_joined(self, x):
    """The outputs of the heads are added up, so that the sum is only head_size wide. Put them side by side instead:
    n_heads times head_size is embed_size again."""
    return self.proj(sum(head(x) for head in self.heads))


@mistake("7-1")
def heads_averaged_instead_of_joined(self, x):
    """The outputs of the heads are averaged, so that the mean is only head_size wide, and what a single head found is
    lost. Put them side by side instead."""
    return self.proj(torch.stack([head(x) for head in self.heads]).mean(dim=0))


@mistake("7-1")
def heads_joined_along_time(self, x):
    """The outputs of the heads are concatenated along dim=1, time: n_heads times as many tokens, each head_size wide.
    Join their features, the last dimension."""
    return self.proj(torch.cat([head(x) for head in self.heads], dim=1))


@mistake("7-1")
def heads_joined_along_the_batch(self, x):
    """The outputs of the heads are concatenated along dim=0, the batch (torch.cat does so unless told otherwise). Join
    their features, the last dimension."""
    return self.proj(torch.cat([head(x) for head in self.heads]))


@mistake("7-1")
def features_of_the_heads_interleaved(self, x):
    """The features of the heads alternate: the first of head 0, the first of head 1, ..., the second of head 0. Put
    each head's features together: all of head 0, then all of head 1."""
    return self.proj(torch.stack([head(x) for head in self.heads], dim=-1).flatten(2))


@mistake("7-1")
def stack_of_heads_reshaped(self, x):
    """The outputs are stacked into (n_heads, B, T, head_size), and reshaped to (B, T, C) as if n_heads stood beside
    head_size: a reshape moves no number, so that heads, examples and tokens are mixed."""
    return self.proj(torch.stack([head(x) for head in self.heads]).reshape(x.shape))


@mistake("7-1")
def stack_of_heads_reshaped_with_time_and_heads_mixed(self, x):
    """The outputs are stacked into (B, n_heads, T, head_size), and reshaped to (B, T, C) as if n_heads stood after T: a
    reshape moves no number, so that heads and tokens are mixed."""
    return self.proj(torch.stack([head(x) for head in self.heads], dim=1).reshape(x.shape))


@mistake("7-1")
def one_head_feeds_the_next(self, x):
    """Each head gets the output of the one before it. All heads get the same x; only their outputs are joined."""
    for head in self.heads:
        x = head(x)
    return self.proj(x)


@mistake("7-1")
def only_the_first_head_is_used(self, x):
    """The first head runs n_heads times, and the others never. Call each head of self.heads once."""
    return self.proj(torch.cat([self.heads[0](x) for _ in self.heads], dim=-1))


@mistake("7-1")
def each_head_sees_a_slice_of_x(self, x):
    """x is cut into n_heads slices, one for each head. Each head sees all features of x; narrow is only what it
    gives."""
    slices = x.chunk(len(self.heads), dim=-1)
    return self.proj(torch.cat([head(part) for head, part in zip(self.heads, slices, strict=True)], dim=-1))


@mistake("7-1")
def heads_in_reverse_order(self, x):
    """The heads are joined from the last to the first (as when each new one is put before those that are there). Head 0
    comes first."""
    return self.proj(torch.cat([head(x) for head in reversed(self.heads)], dim=-1))


@mistake("7-1")
def projected_before_the_heads(self, x):
    """The projection is applied to x, before the heads. It comes after them, and mixes what they found."""
    x = self.proj(x)
    return torch.cat([head(x) for head in self.heads], dim=-1)


@mistake("7-1")
def each_head_projected_alone(self, x):
    """Each head's output goes into the projection by itself, and is only head_size wide. Join the outputs first, then
    project once."""
    return torch.cat([self.proj(head(x)) for head in self.heads], dim=-1)


@mistake("7-1")
def projected_twice(self, x):
    """The projection is applied twice. Once is enough."""
    return self.proj(self.proj(torch.cat([head(x) for head in self.heads], dim=-1)))


@mistake("7-1")
def list_of_heads_not_joined(self, x):
    """The projection gets the list of the outputs. Make one tensor of them first: torch.cat along the last
    dimension."""
    return self.proj([head(x) for head in self.heads])


@mistake("7-1")
def input_added_to_the_heads(self, x):
    """The input is added to the output. That is a residual connection, and comes in stage 8, outside the heads."""
    return x + self.proj(torch.cat([head(x) for head in self.heads], dim=-1))


@mistake("7-1")
def heads_detached(self, x):
    """The right numbers, but the outputs of the heads are detached from the graph (.detach(), .data or no_grad): no
    gradient reaches the heads, and they never learn."""
    return self.proj(torch.cat([head(x).detach() for head in self.heads], dim=-1))


@mistake("7-1")
def whole_layer_without_gradients(self, x):
    """The right numbers, but all is computed without gradients (no_grad, .detach() or .data on the result): neither the
    heads nor the projection ever learn."""
    return self.proj(torch.cat([head(x) for head in self.heads], dim=-1)).detach()


# --- 7-2


@place("7-2", "multi_head_v2.MultiHeadVer2", "forward")
def observe_ver_2(cls: Any) -> Outcome:
    """Outputs and gradients for several sizes, whether the work grows with the heads, and the device."""
    outcome: Outcome = {}
    for B, T, H in ((2, 5, 3), (2, 8, 3), (1, 5, 3), (3, 1, 3), (2, 5, 1)):
        seed(7)
        layer = cls(8, 12, H)
        x = (3 * torch.randn(B, T, 12)).requires_grad_()
        copy = x.detach().clone()
        out = observed(partial(layer, x))
        look: Outcome = {"out": out, "x is as it was": torch.equal(x, copy)}
        look |= gradients(out, {"x": x, **dict(layer.named_parameters())})
        outcome[f"{B} x {T}, {H} heads"] = look | again(layer, x[:, :2])
    x = torch.ones(2, 6, 32)
    few, many = (observed(lambda H=H: counted(partial(cls(6, 32, H), x)).operations) for H in (2, 16))
    outcome["grows with the heads"] = isinstance(few, int) and isinstance(many, int) and many > 1.5 * few
    outcome["device"] = observed(lambda: placement(cls(8, 12, 3), torch.ones(2, 5, 12)))
    return outcome


def split(self, x):
    """(B, T, C) -> (B, H, T, D)"""
    return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


def qkv(self, x):
    return split(self, self.query(x)), split(self, self.key(x)), split(self, self.value(x))


def scores_of(q, k):
    return q @ k.transpose(2, 3) / q.shape[-1] ** 0.5


def masked(self, scores, fill=float("-inf")):
    T = scores.shape[-1]
    return scores.masked_fill(self.tril[:T, :T] == 0, fill)


def join(self, out):
    """(B, H, T, D) -> (B, T, C), projected."""
    return self.proj(out.transpose(1, 2).flatten(2))


def finish(self, scores, v):
    """From scaled scores on, everything right."""
    return join(self, F.softmax(masked(self, scores), dim=-1) @ v)


@mistake("7-2")
def scores_of_all_heads_divided_by_the_root_of_embed_size(self, x):
    """The scores are divided by sqrt(embed_size). A head's score is a sum over head_size products: divide by
    sqrt(head_size), as in HeadVer4."""
    q, k, v = qkv(self, x)
    return finish(self, q @ k.transpose(2, 3) / x.shape[-1] ** 0.5, v)


@mistake("7-2")
def scores_of_all_heads_divided_by_the_root_of_n_heads(self, x):
    """The scores are divided by sqrt(n_heads); it has to be sqrt(head_size), the width of one head."""
    q, k, v = qkv(self, x)
    return finish(self, q @ k.transpose(2, 3) / self.n_heads**0.5, v)


@mistake("7-2")
def scores_of_all_heads_divided_by_the_root_of_the_number_of_tokens(self, x):
    """The scores are divided by sqrt(T), the number of tokens (is it the size of another dimension than you meant?); it
    has to be sqrt(head_size)."""
    q, k, v = qkv(self, x)
    return finish(self, q @ k.transpose(2, 3) / x.shape[1] ** 0.5, v)


@mistake("7-2")
def scores_of_all_heads_not_scaled(self, x):
    """The scores are not divided by sqrt(head_size), as HeadVer4 does."""
    q, k, v = qkv(self, x)
    return finish(self, q @ k.transpose(2, 3), v)


@mistake("7-2")
def scores_of_all_heads_divided_by_head_size_without_the_root(self, x):
    """The scores are divided by head_size, or twice by its square root. Divide them once by sqrt(head_size), the width
    of one head."""
    q, k, v = qkv(self, x)
    return finish(self, q @ k.transpose(2, 3) / q.shape[-1], v)


@mistake("7-2")
def reshaped_to_heads_without_transpose(self, x):
    """Queries, keys and values are viewed as (B, n_heads, T, head_size) at once. A view moves no number, so that tokens
    and features are mixed: view as (B, T, n_heads, head_size), then transpose."""
    B, T, C = x.shape
    q, k, v = (layer(x).view(B, self.n_heads, T, C // self.n_heads) for layer in (self.query, self.key, self.value))
    return finish(self, scores_of(q, k), v)


@mistake("7-2")
def heads_reshaped_back_without_transpose(self, x):
    """The result, (B, n_heads, T, head_size), is reshaped to (B, T, C) at once. A reshape moves no number, so that
    heads and tokens are mixed: transpose back first."""
    q, k, v = qkv(self, x)
    return self.proj((F.softmax(masked(self, scores_of(q, k)), dim=-1) @ v).reshape(x.shape))


@mistake("7-2")
def reshaped_without_transpose_there_and_back(self, x):
    """Both on the way to the heads and on the way back, the tensor is reshaped without a transpose. A view moves no
    number, so that a head gets pieces of different tokens: view as (B, T, n_heads, head_size), then transpose."""
    B, T, C = x.shape
    q, k, v = (layer(x).view(B, self.n_heads, T, C // self.n_heads) for layer in (self.query, self.key, self.value))
    return self.proj((F.softmax(masked(self, scores_of(q, k)), dim=-1) @ v).reshape(x.shape))


@mistake("7-2")
def view_after_transpose(self, x):
    """After a transpose the numbers do not lie in memory in the order in which a view would read them: torch refuses.
    Use .reshape(B, T, C), or .contiguous() before the view."""
    q, k, v = qkv(self, x)
    out = F.softmax(masked(self, scores_of(q, k)), dim=-1) @ v
    return self.proj(out.transpose(1, 2).view(x.shape))


@mistake("7-2")
def wrong_dimensions_transposed_back(self, x):
    """On the way back, the last two dimensions are swapped, T and head_size; it has to be n_heads and T, so that the
    heads of one token lie side by side."""
    q, k, v = qkv(self, x)
    out = F.softmax(masked(self, scores_of(q, k)), dim=-1) @ v
    return self.proj(out.transpose(2, 3).reshape(x.shape))


@mistake("7-2")
def heads_interleaved(self, x):
    """The columns are dealt out in turn, the first to head 0, the second to head 1 (a view as (B, T, head_size,
    n_heads)). Head h has the columns from h * head_size on: view as (B, T, n_heads, head_size)."""
    B, T, C = x.shape
    q, k, v = (
        layer(x).view(B, T, -1, self.n_heads).permute(0, 3, 1, 2) for layer in (self.query, self.key, self.value)
    )
    out = F.softmax(masked(self, scores_of(q, k)), dim=-1) @ v
    return self.proj(out.permute(0, 2, 3, 1).reshape(B, T, C))


@mistake("7-2")
def n_heads_and_head_size_swapped(self, x):
    """There are head_size heads, each n_heads wide; it has to be n_heads heads, each head_size wide: view as (B, T,
    n_heads, head_size)."""
    B, T, _ = x.shape
    q, k, v = (layer(x).view(B, T, -1, self.n_heads).transpose(1, 2) for layer in (self.query, self.key, self.value))
    return finish(self, scores_of(q, k), v)


@mistake("7-2")
def all_features_in_one_head(self, x):
    """Queries and keys are not split: this is one head, embed_size wide. Split them into n_heads, each with weights of
    its own."""
    q, k, v = self.query(x), self.key(x), self.value(x)
    scores = masked(self, q @ k.transpose(1, 2) / q.shape[-1] ** 0.5)
    return self.proj(F.softmax(scores, dim=-1) @ v)


@mistake("7-2")
def heads_attend_to_heads_instead_of_tokens(self, x):
    """The tensors stay (B, T, n_heads, head_size), so that the heads of one token attend to each other. Bring n_heads
    before T: the last two dimensions, T and head_size, are those that are multiplied."""
    B, T, C = x.shape
    q, k, v = (layer(x).view(B, T, self.n_heads, -1) for layer in (self.query, self.key, self.value))
    return self.proj((F.softmax(masked_over(self, scores_of(q, k), T), dim=-1) @ v).reshape(B, T, C))


def masked_over(self, scores, T):
    return scores.masked_fill(self.tril[:T, :T] == 0, float("-inf"))


@mistake("7-2")
def heads_of_all_tokens_not_projected(self, x):
    """The heads are side by side again, but the projection is missing: features of different heads never meet. Send the
    result through self.proj."""
    q, k, v = qkv(self, x)
    out = F.softmax(masked(self, scores_of(q, k)), dim=-1) @ v
    return out.transpose(1, 2).flatten(2)


@mistake("7-2")
def whole_mask_on_a_shorter_sequence(self, x):
    """The mask is (block_size, block_size), the scores of a shorter sequence are not. Cut it to the T tokens that are
    there: self.tril[:T, :T]."""
    q, k, v = qkv(self, x)
    return join(self, F.softmax(scores_of(q, k).masked_fill(self.tril == 0, float("-inf")), dim=-1) @ v)


@mistake("7-2")
def future_visible_to_all_heads(self, x):
    """Nothing is masked: in every head, each token attends to the tokens after it, which it should predict."""
    q, k, v = qkv(self, x)
    return join(self, F.softmax(scores_of(q, k), dim=-1) @ v)


@mistake("7-2")
def past_hidden_from_all_heads(self, x):
    """The mask is upside down: in every head, each token attends to itself and its future. Mask where tril is 0."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    return join(self, F.softmax(scores_of(q, k).masked_fill(self.tril[:T, :T].T == 0, float("-inf")), dim=-1) @ v)


@mistake("7-2")
def mask_one_token_too_far(self, x):
    """The mask is off by one: in every head, each token also attends to the one right after it."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    future = torch.ones(T, T, device=x.device).triu(2) == 1
    return join(self, F.softmax(scores_of(q, k).masked_fill(future, float("-inf")), dim=-1) @ v)


@mistake("7-2")
def mask_hides_the_token_itself(self, x):
    """The mask hides the token itself, too, or all that is allowed (is it where tril is 1?): the first token has
    nothing left to attend to, and its softmax is NaN. Mask where tril is 0."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    return join(
        self, F.softmax(scores_of(q, k).masked_fill(self.tril[:T, :T].tril(-1) == 0, float("-inf")), dim=-1) @ v
    )


@mistake("7-2")
def scores_of_the_future_set_to_zero(self, x):
    """In every head, scores of the future are set to 0, and exp(0) = 1 is no small weight. Set them to minus
    infinity."""
    q, k, v = qkv(self, x)
    return join(self, F.softmax(masked(self, scores_of(q, k), 0.0), dim=-1) @ v)


@mistake("7-2")
def masked_after_the_softmax_of_all_heads(self, x):
    """In every head, the weights of the future are set to 0 after the softmax, so that the others do not sum to 1. Mask
    the scores, before the softmax."""
    q, k, v = qkv(self, x)
    return join(self, masked(self, F.softmax(scores_of(q, k), dim=-1), 0.0) @ v)


@mistake("7-2")
def masked_scores_not_used(self, x):
    """No softmax: the scaled scores are used as weights as they are, with zeros for the future. Set the future to minus
    infinity, and take the softmax of each row."""
    q, k, v = qkv(self, x)
    return join(self, masked(self, scores_of(q, k), 0.0) @ v)


@mistake("7-2")
def softmax_over_the_tokens_that_ask(self, x):
    """The softmax runs down the columns (dim=-2 or 2), over the queries. Each *row* has to sum to 1: dim=-1."""
    q, k, v = qkv(self, x)
    return join(self, F.softmax(masked(self, scores_of(q, k)), dim=-2) @ v)


@mistake("7-2")
def softmax_over_the_heads(self, x):
    """The softmax runs over the heads (dim=1: the same number as in HeadVer4 is another dimension here). Each row has
    to sum to 1: dim=-1."""
    q, k, v = qkv(self, x)
    return join(self, F.softmax(masked(self, scores_of(q, k)), dim=1) @ v)


@mistake("7-2")
def softmax_of_the_softmax(self, x):
    """The softmax of all heads is taken twice, which makes the weights nearly equal and gives the future weight
    again."""
    q, k, v = qkv(self, x)
    return join(self, F.softmax(F.softmax(masked(self, scores_of(q, k)), dim=-1), dim=-1) @ v)


@mistake("7-2")
def keys_ask_and_queries_answer_in_all_heads(self, x):
    """The scores are key times query: in each head, row t holds how well the *key* of t fits all queries. It has to be
    query @ key^T, so that row t belongs to the query of t."""
    q, k, v = qkv(self, x)
    return finish(self, scores_of(k, q), v)


@mistake("7-2")
def queries_taken_for_keys(self, x):
    """The queries are multiplied with themselves, and the keys are not used (a copied line, or a wrong name?). It has
    to be query @ key^T."""
    q, _, v = qkv(self, x)
    return finish(self, scores_of(q, q), v)


@mistake("7-2")
def weights_multiplied_with_the_keys(self, x):
    """The weights of all heads are multiplied with the keys; it has to be the values."""
    q, k, _ = qkv(self, x)
    return finish(self, scores_of(q, k), k)


@mistake("7-2")
def weights_multiplied_with_the_input(self, x):
    """The weights are multiplied with x itself, split into heads; it has to be value(x)."""
    q, k, _ = qkv(self, x)
    return finish(self, scores_of(q, k), split(self, x))


@mistake("7-2")
def written_for_a_batch_of_one(self, x):
    """The shapes leave out the batch (or fix it to 1), which fits one example only. The views begin with B: (B, T,
    n_heads, head_size)."""
    T = x.shape[1]
    q, k, v = (layer(x).view(1, T, self.n_heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value))
    return finish(self, scores_of(q, k), v)


@mistake("7-2")
def only_the_first_example(self, x):
    """Only the first example of the batch is computed, and its result stands for all. Keep the dimension B
    throughout."""
    q, k, v = qkv(self, x[:1])
    return finish(self, scores_of(q, k), v).repeat(len(x), 1, 1)


@mistake("7-2")
def loop_over_the_heads(self, x):
    """The right numbers, but in a loop over the heads, or partly so, as in MultiHeadVer1, and as slow. Let the matrix
    products run over all heads at once: in a (B, n_heads, T, head_size) tensor, n_heads is like a second batch."""
    q, k, v = qkv(self, x)
    heads = [
        F.softmax(masked(self, q[:, h] @ k[:, h].mT / q.shape[-1] ** 0.5), dim=-1) @ v[:, h]
        for h in range(self.n_heads)
    ]
    return self.proj(torch.cat(heads, dim=-1))


@mistake("7-2")
def weights_of_all_heads_detached(self, x):
    """The right numbers, but the weights are detached from the graph (.detach(), .data or no_grad): no gradient reaches
    query and key, and they never learn."""
    q, k, v = qkv(self, x)
    return join(self, F.softmax(masked(self, scores_of(q, k)), dim=-1).detach() @ v)


@mistake("7-2")
def all_heads_without_gradients(self, x):
    """The right numbers, but all is computed without gradients (no_grad, .detach() or .data on the result): no layer
    ever learns."""
    q, k, v = qkv(self, x)
    return finish(self, scores_of(q, k), v).detach()


@mistake("7-2")
def mask_built_on_the_cpu(self, x):
    """The right numbers, but the mask is built on the CPU, whatever device x is on; on a GPU this fails. Use self.tril,
    which moves with the module."""
    T = x.shape[1]
    q, k, v = qkv(self, x)
    return join(self, F.softmax(scores_of(q, k).masked_fill(torch.ones(T, T).triu(1) == 1, float("-inf")), dim=-1) @ v)


@mistake("7-2")
def input_added_to_all_heads(self, x):
    """The input is added to what the heads give. That is a residual connection, and comes in stage 8, outside this
    class."""
    q, k, v = qkv(self, x)
    return x + finish(self, scores_of(q, k), v)


# --- 7-3


class Square(nn.Module):
    """The contextualizer of the probes: it is not linear, and the place of a token counts."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * x).cumsum(dim=-2) + x.flip(-1)


def probe(cls: Any) -> Any:
    seed(7)
    model = cls(Square(), 7, 8, 6)
    nn.init.normal_(model.ln_f.weight)
    nn.init.normal_(model.ln_f.bias)
    return model


@place("7-3", "gpt_v4.GPTVer4", "logits")
def observe_gpt(cls: Any) -> Outcome:
    """Logits, gradients, and what the contextualizer and the other layers get."""
    outcome: Outcome = {}
    for B, T in ((2, 5), (3, 8), (3, 1), (1, 4)):
        model = probe(cls)
        seen = sent_in([model.contextualizer, model.ln_f, model.lm_head])
        indices = torch.randint(7, (B, T))
        out = observed(partial(model.logits, indices))
        outcome[f"{B} x {T}"] = {
            "out": out, **seen, **gradients(out, dict(model.named_parameters())), **again(model, indices[:, :2])
        }  # fmt: skip
    outcome["device"] = observed(lambda: placement(probe(cls), torch.ones(2, 5, dtype=torch.long), "logits"))
    return outcome


def embedded(self, indices):
    return self.token_embedding_table(indices) + self.pos_embedding_table.weight[: indices.shape[1]]


def scored(self, x):
    """From the sum of the embeddings on, everything right."""
    return self.lm_head(self.ln_f(self.contextualizer(x)))


@mistake("7-3")
def positions_not_added(self, indices):
    """The positions are missing: the model cannot tell the order of its tokens. Add the rows of pos_embedding_table."""
    return scored(self, self.token_embedding_table(indices))


@mistake("7-3")
def tokens_looked_up_in_the_table_of_positions(self, indices):
    """The table of positions is asked for the indices of the *tokens*. Ask it for the places 0, 1, ..., T - 1."""
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table(indices))


@mistake("7-3")
def positions_looked_up_in_the_table_of_tokens(self, indices):
    """The places 0 to T - 1 are looked up in token_embedding_table; they have a table of their own,
    pos_embedding_table."""
    positions = torch.arange(indices.shape[1], device=indices.device)
    return scored(self, self.token_embedding_table(indices) + self.token_embedding_table(positions))


@mistake("7-3")
def positions_counted_from_one(self, indices):
    """The positions are counted from 1 to T: row 0 is never used, and a sequence of full length asks for a row that is
    not there. Count from 0 to T - 1."""
    positions = torch.arange(1, indices.shape[1] + 1, device=indices.device)
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table(positions))


@mistake("7-3")
def same_position_for_all_tokens(self, indices):
    """All tokens get the embedding of the same position, row 0. Token t gets row t."""
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table.weight[0])


@mistake("7-3")
def position_of_the_last_token_for_all(self, indices):
    """All tokens get the embedding of position T - 1. Look up all positions, 0 to T - 1: torch.arange(T)."""
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table.weight[indices.shape[1] - 1])


@mistake("7-3")
def position_of_the_example_in_the_batch(self, indices):
    """The position is counted along the batch: all tokens of example b get row b. Count along time, the second
    dimension of indices."""
    B = indices.shape[0]
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table.weight[:B].unsqueeze(1))


@mistake("7-3")
def all_positions_added_to_a_shorter_sequence(self, indices):
    """All block_size rows of the table are added, which fits only sequences of full length. Take the first T."""
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table.weight)


@mistake("7-3")
def last_positions_for_a_shorter_sequence(self, indices):
    """A short sequence gets the *last* T rows of the table. The first token always has position 0: take the first T
    rows."""
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table.weight[-indices.shape[1] :])


@mistake("7-3")
def positions_in_reverse_order(self, indices):
    """The positions are counted from the end: the last token gets row 0. The first token has position 0."""
    return scored(
        self, self.token_embedding_table(indices) + self.pos_embedding_table.weight[: indices.shape[1]].flip(0)
    )


@mistake("7-3")
def positions_multiplied_instead_of_added(self, indices):
    """The embeddings of tokens and positions are multiplied; add them."""
    return scored(self, self.token_embedding_table(indices) * self.pos_embedding_table.weight[: indices.shape[1]])


@mistake("7-3")
def only_the_positions(self, indices):
    """Only the positions go in, not the tokens (is the sum overwritten?). Add the two embeddings."""
    x = self.pos_embedding_table.weight[: indices.shape[1]].expand(*indices.shape, -1)
    return scored(self, x)


@mistake("7-3")
def positions_added_after_the_contextualizer(self, indices):
    """The positions are added after the contextualizer, which needs them: without, it cannot tell the order of its
    tokens. Add them before."""
    x = self.contextualizer(self.token_embedding_table(indices)) + self.pos_embedding_table.weight[: indices.shape[1]]
    return self.lm_head(self.ln_f(x))


@mistake("7-3")
def contextualizer_forgotten(self, indices):
    """The contextualizer is missing: no token sees another one."""
    return self.lm_head(self.ln_f(embedded(self, indices)))


@mistake("7-3")
def contextualizer_with_a_residual(self, indices):
    """The input of the contextualizer is added to its output. Residual connections come in stage 8, and inside the
    blocks."""
    x = embedded(self, indices)
    return self.lm_head(self.ln_f(x + self.contextualizer(x)))


@mistake("7-3")
def ln_f_forgotten(self, indices):
    """The LayerNorm before the last layer, ln_f, is missing."""
    return self.lm_head(self.contextualizer(embedded(self, indices)))


@mistake("7-3")
def ln_f_before_the_contextualizer(self, indices):
    """ln_f normalizes what goes into the contextualizer. It has to normalize what comes out, just before lm_head."""
    return self.lm_head(self.contextualizer(self.ln_f(embedded(self, indices))))


@mistake("7-3")
def ln_f_after_lm_head(self, indices):
    """ln_f comes after lm_head, and gets vocab_size numbers a token instead of embed_size. It comes just before
    lm_head."""
    return self.ln_f(self.lm_head(self.contextualizer(embedded(self, indices))))


@mistake("7-3")
def ln_f_without_its_weight_and_bias(self, indices):
    """The numbers are normalized, but without the weight and the bias that ln_f learns. Call self.ln_f itself."""
    return self.lm_head(F.layer_norm(self.contextualizer(embedded(self, indices)), self.ln_f.normalized_shape))


@mistake("7-3")
def lm_head_forgotten(self, indices):
    """lm_head is missing: what comes out has embed_size numbers a token; it has to be vocab_size, one logit for each
    token that may follow."""
    return self.ln_f(self.contextualizer(embedded(self, indices)))


@mistake("7-3")
def probabilities_instead_of_logits(self, indices):
    """A softmax is taken at the end. Give the logits: the loss and generate take the softmax themselves."""
    return F.softmax(scored(self, embedded(self, indices)), dim=-1)


@mistake("7-3")
def positions_detached(self, indices):
    """The right numbers, but the positions are detached from the graph (.data, .detach() or no_grad): their table gets
    no gradient, and is never learned."""
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table.weight.data[: indices.shape[1]])


@mistake("7-3")
def positions_built_on_the_cpu(self, indices):
    """The right numbers, but the positions are built on the CPU, whatever device the indices are on; on a GPU this
    fails: torch.arange(T, device=indices.device)."""
    return scored(self, self.token_embedding_table(indices) + self.pos_embedding_table(torch.arange(indices.shape[1])))
