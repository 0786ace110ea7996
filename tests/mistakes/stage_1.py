"""Known mistakes of stage 1: GPTVer1.generate."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.kit.seeds import seed

from . import Outcome, mistake, place

SURE = 100.0
LOGITS = torch.tensor([[3.0, 1.0, 0.5, 2.2], [0.3, 3.4, 1.0, 0.1], [1.5, 0.2, 3.0, 0.4], [0.2, 1.2, 0.7, 3.2]])


@place("1", "gpt_v1.GPTVer1", "generate")
def observe(cls: type) -> Outcome:
    """What comes from a model whose next token is certain (no randomness left), and the shares of many draws."""
    state = torch.random.get_rng_state()
    grad_mode = torch.is_grad_enabled()
    seed(1)
    try:
        outcome: Outcome = {}
        for B, T, new in ((1, 3, 2), (2, 1, 4), (2, 2, 0), (3, 6, 3), (2, 4, 3), (2, 2, 5)):
            outcome[f"certain {B} x {T} + {new}"] = _certain(cls, B, T, new)
        outcome["shares"] = _ended(lambda: _shares(cls))
        outcome["negative logits"] = _ended(lambda: type(_model(cls, LOGITS - 4).generate(torch.tensor([[1, 0]]), 1)))
        outcome["left behind"] = _ended(lambda: _left_behind(cls))
    finally:
        torch.random.set_rng_state(state)
        torch.set_grad_enabled(grad_mode)
    return outcome


def _certain(cls: Any, B: int, T: int, new: int) -> Any:
    """What is generated, or "varies" where four calls do not give the same."""

    class Certain(cls):
        def logits(self, indices: Tensor) -> Tensor:
            places = torch.arange(1, indices.shape[1] + 1)
            return SURE * F.one_hot((3 + (indices * places).cumsum(dim=1)) % 11, 11)

    model: Any = Certain(11, 4)
    with torch.no_grad():
        model.token_embedding_table.weight.copy_(SURE * F.one_hot((torch.arange(11) + 5) % 11, 11))
    prompt = (torch.arange(B * T).view(B, T) * 7 + 2) % 11
    outs = [_ended(lambda: model.generate(prompt.clone(), new)) for _ in range(4)]
    if not all(isinstance(out, Tensor) for out in outs):
        return str(outs[0])
    if any(out.shape != outs[0].shape or not torch.equal(out, outs[0]) for out in outs):
        return "varies"
    return outs[0].detach()


def _shares(cls: Any) -> Any:
    """The name of the one distribution that 8000 draws after each of two prompts, (1, 0) and (2, 3), follow."""
    model = _model(cls, LOGITS)
    prompts = torch.tensor([[1, 0], [2, 3]]).repeat(200, 1)
    outs = [model.generate(prompts.clone(), 1) for _ in range(40)]
    if any(out.shape != (400, 3) for out in outs):
        return str(tuple(outs[0].shape))
    calls = torch.stack([out[:, -1].view(200, 2) for out in outs])
    same_in_all_calls = bool((calls == calls[0]).all())
    same_in_all_rows = bool((calls == calls[:, :1]).all())
    if same_in_all_rows and not same_in_all_calls:
        return "one token for both prompts" if bool((calls[..., 0] == calls[..., 1]).all()) else "one for each prompt"
    if same_in_all_calls and not same_in_all_rows:
        return "each call as the first one"
    got = torch.stack(
        [torch.bincount(calls[..., i].flatten(), minlength=4)[:4] / calls[..., i].numel() for i in (0, 1)]
    )
    fitting = [name for name, want in _distributions().items() if (got - want).abs().max() < 0.032]
    return fitting[0] if len(fitting) == 1 else float("nan")  # nan is equal to nothing


def _distributions() -> dict[str, Tensor]:
    """The shares after (1, 0) and after (2, 3), (2, 4), of each thing that could be drawn from."""
    last, first = LOGITS[[0, 3]], LOGITS[[1, 2]]
    right = F.softmax(last, dim=-1)
    over_batch, over_time = F.softmax(last, dim=0), F.softmax(torch.stack([first, last]), dim=0)[1]
    columns = F.softmax(torch.stack([first[:, 3], last[:, 3]], dim=1), dim=1)
    shares = {
        "softmax": right,
        "most likely": F.one_hot(last.argmax(dim=-1), 4).float(),
        "least likely": F.one_hot(last.argmin(dim=-1), 4).float(),
        "uniform": torch.ones(2, 4),
        "softmax twice": F.softmax(right, dim=-1),
        "over the batch": over_batch,
        "over time": over_time,
        "first place": F.softmax(first, dim=-1),
        "first sequence": right[[0, 0]],
        "last column": F.pad(columns, (0, 2)),
        "logits": last,
        "sigmoid": last.sigmoid(),
        "cooler": F.softmax(last / 2, dim=-1),
        "hotter": F.softmax(last * 2, dim=-1),
        "negated": F.softmax(-last, dim=-1),
    }
    return {name: weights / weights.sum(dim=-1, keepdim=True) for name, weights in shares.items()}


def _left_behind(cls: Any) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for training in (True, False):
        model = _model(cls, LOGITS).train(training)
        prompt = torch.tensor([[1, 0], [2, 3]])
        before = prompt.clone()
        with torch.enable_grad():
            out = model.generate(prompt, 2)
            left[f"gradient mode {training}"] = torch.is_grad_enabled()
        left[f"mode {training}"] = model.training
        left[f"prompt {training}"] = torch.equal(prompt, before)
        left[f"out {training}"] = (str(out.dtype), out.requires_grad) if isinstance(out, Tensor) else str(type(out))
    return left


def _model(cls: Any, logits: Tensor) -> Any:
    model = cls(4, 8)
    with torch.no_grad():
        model.token_embedding_table.weight.copy_(logits)
    return model


def _ended(look: Callable[[], Any]) -> Any:
    """What `look` gives, or the first line of the error that it ends with: many mistakes end with one."""
    try:
        return look()
    except Exception as error:
        if str(error).startswith("TODO"):
            raise
        return f"{type(error).__name__}: {error}".splitlines()[0]


def last_logits(self, indices):
    """The logits of the last step, for the context that may be shown."""
    return self(indices[:, -self.block_size :])[0][:, -1]


def draw(logits):
    return torch.multinomial(F.softmax(logits, dim=-1), num_samples=1)


def generate_with(self, indices, max_new_tokens, next_token):
    """Everything right but `next_token`."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, next_token(indices[:, -self.block_size :])], dim=1)
    return indices


@mistake("1")
def most_likely_token_taken(self, indices, max_new_tokens):
    """The token with the largest logit is taken each time (argmax), so that the same prompt always leads to the same
    text. Draw the token: each one comes as often as its probability says."""
    return generate_with(self, indices, max_new_tokens, lambda x: last_logits(self, x).argmax(dim=-1, keepdim=True))


@mistake("1")
def all_tokens_equally_likely(self, indices, max_new_tokens):
    """The new tokens are drawn as if all were equally likely; what the model says about them is not used. Draw with
    the probabilities that the softmax makes of the last step's logits."""
    vocab_size = self.token_embedding_table.num_embeddings
    return generate_with(self, indices, max_new_tokens, lambda x: torch.randint(vocab_size, (x.shape[0], 1)))


@mistake("1")
def softmax_twice(self, indices, max_new_tokens):
    """The softmax is taken twice, which makes all tokens nearly equally likely. (Categorical(logits=...) and
    F.cross_entropy have a softmax inside; torch.multinomial has none.)"""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(F.softmax(last_logits(self, x), dim=-1)))


@mistake("1")
def logits_taken_for_probabilities(self, indices, max_new_tokens):
    """torch.multinomial is given the logits themselves. They may be negative, and do not sum to 1: a softmax turns
    them into probabilities."""
    return generate_with(self, indices, max_new_tokens, lambda x: torch.multinomial(last_logits(self, x), 1))


@mistake("1")
def log_probabilities_taken_for_probabilities(self, indices, max_new_tokens):
    """torch.multinomial is given the log_softmax, which is never positive. It wants probabilities: softmax."""
    return generate_with(
        self, indices, max_new_tokens, lambda x: torch.multinomial(F.log_softmax(last_logits(self, x), dim=-1), 1)
    )


@mistake("1")
def sigmoid_instead_of_softmax(self, indices, max_new_tokens):
    """A sigmoid is taken where the softmax has to be: it looks at each logit by itself, so that a token with a large
    logit is hardly more likely than one with a middling one."""
    return generate_with(self, indices, max_new_tokens, lambda x: torch.multinomial(last_logits(self, x).sigmoid(), 1))


@mistake("1")
def logits_divided_by_the_root_of_the_vocabulary(self, indices, max_new_tokens):
    """The logits are divided by sqrt(V) before the softmax, which makes the tokens more alike than the model says.
    Nothing is scaled here: the softmax is taken of the logits as they are."""
    return generate_with(
        self,
        indices,
        max_new_tokens,
        lambda x: draw(last_logits(self, x) / self.token_embedding_table.num_embeddings**0.5),
    )


@mistake("1")
def softmax_over_the_batch(self, indices, max_new_tokens):
    """The softmax runs over the batch (dim=0), so that the sequences compete with each other. The tokens of the
    vocabulary have to compete: dim=-1."""
    return generate_with(
        self, indices, max_new_tokens, lambda x: torch.multinomial(F.softmax(last_logits(self, x), dim=0), 1)
    )


@mistake("1")
def softmax_over_time(self, indices, max_new_tokens):
    """The softmax runs over the T places (dim=1 of B x T x V), so that places compete with each other. The tokens of
    the vocabulary have to compete: dim=-1."""
    return generate_with(
        self, indices, max_new_tokens, lambda x: torch.multinomial(F.softmax(self(x)[0], dim=1)[:, -1], 1)
    )


@mistake("1")
def first_place_read(self, indices, max_new_tokens):
    """The logits are read at the first place, [:, 0]: they say what follows the first token. What comes next is said
    at the last place, [:, -1]."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(self(x)[0][:, 0]))


@mistake("1")
def last_column_read(self, indices, max_new_tokens):
    """[:, :, -1] takes the logit of the last token of the vocabulary at each of the T places. The logits are
    (B, T, V): the last place is [:, -1, :]."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(self(x)[0][:, :, -1]))


@mistake("1")
def last_sequence_read(self, indices, max_new_tokens):
    """[-1] takes the last sequence of the batch, with all its places. The logits are (B, T, V): the last place of
    every sequence is [:, -1]."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(self(x)[0][-1]))


@mistake("1")
def first_sequence_decides_for_all(self, indices, max_new_tokens):
    """Every sequence of the batch gets the token that was drawn for the first one. Draw for each row of the (B, V)
    probabilities."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x)[0]).expand(x.shape[0], 1))


@mistake("1")
def all_sequences_drawn_from_the_first_ones_probabilities(self, indices, max_new_tokens):
    """Each sequence gets a draw of its own, but all from the probabilities of the first sequence. Each row of the
    (B, V) probabilities belongs to one sequence."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x)[:1].expand(x.shape[0], -1)))


@mistake("1")
def one_random_number_for_the_whole_batch(self, indices, max_new_tokens):
    """One random number decides for all sequences, so that equal prompts always lead to equal texts. Each sequence
    needs a draw of its own."""

    def next_token(x):
        cumulated = F.softmax(last_logits(self, x), dim=-1).cumsum(dim=-1)
        return (cumulated < torch.rand(1)).sum(dim=-1, keepdim=True).clamp(max=cumulated.shape[-1] - 1)

    return generate_with(self, indices, max_new_tokens, next_token)


@mistake("1")
def random_seed_set_in_each_call(self, indices, max_new_tokens):
    """The random seed is set inside generate, so that every call gives the same text. Leave the seed to the caller."""
    torch.manual_seed(42)
    return generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x)))


@mistake("1")
def context_not_cropped(self, indices, max_new_tokens):
    """The model is shown all tokens that there are, more than block_size of them after a while. It may be shown the
    last block_size tokens only."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, draw(self(indices)[0][:, -1])], dim=1)
    return indices


@mistake("1")
def context_not_cropped_and_logits_called_directly(self, indices, max_new_tokens):
    """self.logits is shown all tokens that there are, more than block_size of them after a while, and only `forward`
    would have said so. The model may be shown the last block_size tokens only."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, draw(self.logits(indices)[:, -1])], dim=1)
    return indices


@mistake("1")
def first_tokens_shown_instead_of_the_last(self, indices, max_new_tokens):
    """[:, :block_size] shows the model the *first* block_size tokens, so that after a while it never sees a new one.
    It has to be the last ones."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, draw(self(indices[:, : self.block_size])[0][:, -1])], dim=1)
    return indices


@mistake("1")
def last_token_alone_shown(self, indices, max_new_tokens):
    """The model is shown nothing but the last token. That is enough for the bigram model, but every later GPT inherits
    this method, and looks at up to block_size tokens."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, draw(self(indices[:, -1:])[0][:, -1])], dim=1)
    return indices


@mistake("1")
def context_one_token_too_short(self, indices, max_new_tokens):
    """The model is shown only the last block_size - 1 tokens; it can be shown block_size of them."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, draw(self(indices[:, -self.block_size + 1 :])[0][:, -1])], dim=1)
    return indices


@mistake("1")
def context_one_token_too_long(self, indices, max_new_tokens):
    """The model is shown the last block_size + 1 tokens; it can be shown block_size of them."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, draw(self(indices[:, -self.block_size - 1 :])[0][:, -1])], dim=1)
    return indices


@mistake("1")
def table_asked_instead_of_the_model(self, indices, max_new_tokens):
    """The logits are read from token_embedding_table directly. Every later GPT inherits this method and has other
    logits: ask the model itself, self(...), or self.logits(...)."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(self.token_embedding_table(x)[:, -1]))


@mistake("1")
def new_tokens_never_looked_at(self, indices, max_new_tokens):
    """All new tokens are drawn from what the model says about the prompt. Each new token changes what comes next: ask
    the model again after each one."""
    logits = last_logits(self, indices)
    return generate_with(self, indices, max_new_tokens, lambda x: draw(logits))


@mistake("1")
def empty_places_shown(self, indices, max_new_tokens):
    """Room for all new tokens is made first, and the model is shown that room, still full of zeros, as if it had been
    written. Show it only the tokens up to the one that comes next."""
    T = indices.shape[1]
    out = F.pad(indices, (0, max_new_tokens))
    for t in range(T, T + max_new_tokens):
        out[:, t : t + 1] = draw(last_logits(self, out))
    return out


@mistake("1")
def prompt_not_given_back(self, indices, max_new_tokens):
    """Only the new tokens come back. The prompt has to stand before them: (B, T + max_new_tokens)."""
    T = indices.shape[1]
    return generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x)))[:, T:]


@mistake("1")
def prompt_cropped_for_good(self, indices, max_new_tokens):
    """The tokens themselves are cropped to block_size, so that the beginning of a long text is lost. Crop only what
    the model is shown, and keep it under another name."""
    for _ in range(max_new_tokens):
        indices = indices[:, -self.block_size :]
        indices = torch.cat([indices, draw(last_logits(self, indices))], dim=1)
    return indices


@mistake("1")
def window_of_the_prompts_length_slides_along(self, indices, max_new_tokens):
    """Each new token pushes the first one out, so that only T tokens come back. Append it: the text grows to
    T + max_new_tokens."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices[:, 1:], draw(last_logits(self, indices))], dim=1)
    return indices


@mistake("1")
def new_token_put_before_the_others(self, indices, max_new_tokens):
    """The new token is put before the others: torch.cat joins in the order that it is given. It has to come last."""
    for _ in range(max_new_tokens):
        indices = torch.cat([draw(last_logits(self, indices)), indices], dim=1)
    return indices


@mistake("1")
def new_token_joined_along_the_batch(self, indices, max_new_tokens):
    """The new token is concatenated along dim=0, as if it were another sequence. Time is dim=1."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, draw(last_logits(self, indices))], dim=0)
    return indices


@mistake("1")
def new_token_without_a_time_dimension(self, indices, max_new_tokens):
    """The new tokens have the shape (B,), and cannot be joined with indices, (B, T). Make them (B, 1): one more step
    of each sequence."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x)).squeeze(1))


@mistake("1")
def pair_taken_for_the_logits(self, indices, max_new_tokens):
    """self(indices) gives a pair, (logits, loss), and the pair is used as if it were the logits. Take it apart:
    logits, _ = self(...)."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(self(x)[:, -1]))


@mistake("1")
def one_token_too_few(self, indices, max_new_tokens):
    """The loop stops one token early: range(1, n) and range(n - 1) have n - 1 steps. There have to be
    max_new_tokens."""
    return generate_with(self, indices, max_new_tokens - 1, lambda x: draw(last_logits(self, x)))


@mistake("1")
def one_token_too_many(self, indices, max_new_tokens):
    """The loop goes on for one token too many: max_new_tokens + 1 of them. range(n) has n steps."""
    return generate_with(self, indices, max_new_tokens + 1, lambda x: draw(last_logits(self, x)))


@mistake("1")
def max_new_tokens_taken_for_the_whole_length(self, indices, max_new_tokens):
    """The loop stops when the text is max_new_tokens long, with the prompt counted in. That many *new* tokens are
    asked for: (B, T + max_new_tokens) in the end."""
    return generate_with(self, indices, max_new_tokens - indices.shape[1], lambda x: draw(last_logits(self, x)))


@mistake("1")
def returned_after_the_first_token(self, indices, max_new_tokens):
    """The `return` stands inside the loop, so that one token is generated and the rest never is. Move it to the left,
    behind the loop."""
    for _ in range(max_new_tokens):
        indices = torch.cat([indices, draw(last_logits(self, indices))], dim=1)
        return indices


@mistake("1")
def nothing_returned(self, indices, max_new_tokens):
    """The tokens are generated, but there is no `return`, and so the method gives None."""
    generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x)))


@mistake("1")
def model_left_in_evaluation_mode(self, indices, max_new_tokens):
    """generate calls self.eval() and leaves the model so: if it is training, its dropout stays off from then on. The
    mode is the caller's business."""
    self.eval()
    return generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x)))


@mistake("1")
def model_put_into_training_mode(self, indices, max_new_tokens):
    """generate ends with self.train(), also where the model was in evaluation mode before. The mode is the caller's
    business."""
    out = generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x)))
    self.train()
    return out


@mistake("1")
def tokens_become_floating_point_numbers(self, indices, max_new_tokens):
    """The tokens come back as floating-point numbers. They are places in a table: whole numbers (torch.long)."""
    return generate_with(self, indices, max_new_tokens, lambda x: draw(last_logits(self, x))).float()


@mistake("1")
def room_made_for_floating_point_numbers(self, indices, max_new_tokens):
    """Room for the tokens is made by torch.zeros or torch.empty without a dtype, and so the tokens become
    floating-point numbers. They are places in a table: whole numbers (dtype=torch.long)."""
    B, T = indices.shape
    out = torch.zeros(B, T + max_new_tokens)
    out[:, :T] = indices
    for t in range(T, T + max_new_tokens):
        out[:, t : t + 1] = draw(last_logits(self, out[:, :t]))
    return out
