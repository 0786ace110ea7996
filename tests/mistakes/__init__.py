"""The catalogue of known mistakes: small wrong versions of each TODO, each with a docstring that explains it.

A mistake is a function that stands in for the learner's method, on an object that the learner's own (given)
constructor has built:

    @mistake("5")
    def scaled_by_embed_size(self, x, debug=False):
        \"\"\"The scores are divided by sqrt(embed_size); it has to be sqrt(head_size), ...\"\"\"

It is used twice. `named` compares the outcome of the learner's code with the outcome of each mistake on the same
probes, and gives the explanation where they are equal in everything that was observed: no match, no claim.
checks/test_stage_tests.py puts each mistake into the finished class, and proves that the stage's tests reject it under
its own name.
"""

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

Outcome = dict[str, Any]  # what was observed -> a tensor, a number, or the name of an exception
Observer = Callable[[type], Outcome]


class Mistake(NamedTuple):
    todo: str
    function: Callable[..., Any]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def explanation(self) -> str:
        return " ".join((self.function.__doc__ or "").split())


class Place(NamedTuple):
    """Where a TODO's code lives, and how to look at what it does."""

    cls: str  # "head_v4.HeadVer4"
    method: str  # "forward"
    observe: Observer


MISTAKES: list[Mistake] = []
PLACES: dict[str, Place] = {}


def mistake(todo: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        MISTAKES.append(Mistake(todo, function))
        return function

    return add


def place(todo: str, cls: str, method: str) -> Callable[[Observer], Observer]:
    """Register how a TODO is observed: a function from the class (the learner's or a wrong one) to its outcome."""

    def add(observe: Observer) -> Observer:
        PLACES[todo] = Place(cls, method, observe)
        return observe

    return add


def wrong_version(cls: Any, wrong: Mistake) -> type:
    """A subclass of the learner's class whose method makes the mistake."""
    method = PLACES[wrong.todo].method
    function = staticmethod(wrong.function) if isinstance(cls.__dict__.get(method), staticmethod) else wrong.function
    return type(cls.__name__, (cls,), {method: function})


def place_of(todo: str) -> Place:
    """Where the TODO's code lives, from the catalogue of its stage."""
    importlib.import_module(f"tests.mistakes.stage_{todo.split('-')[0]}")
    return PLACES[todo]


@lru_cache(maxsize=32)
def named(todo: str, cls: Any) -> str | None:
    """The explanation of the one known mistake whose outcome on all probes is that of the learner's class."""
    theirs, known = place_of(todo).observe(cls), outcomes(todo, cls)
    matches = [m for m, outcome in known.items() if same(theirs, outcome)]
    if not matches:  # it may have a second flaw, on another device or in another precision
        matches = [m for m, outcome in known.items() if same(_apart(theirs), _apart(outcome))]
        if any(known[m].get("device", "nothing") != "nothing" for m in matches):
            return None  # these are mistakes on another device, and theirs is another
    if len(matches) != 1:
        return None
    return f"Known mistake: {in_words(matches[0].name)}.\n{matches[0].explanation}"


def in_words(name: str) -> str:
    """
    >>> in_words("ln_f_left_out")
    'ln_f left out'
    """
    words = name.replace("_", " ")
    for identifier in ("ln_f", "lm_head", "n_heads", "head_size", "embed_size", "block_size", "max_new_tokens"):
        words = words.replace(identifier.replace("_", " "), identifier)
    return words


def _apart(outcome: Outcome) -> Outcome:
    """What was observed apart from device and precision."""
    return {key: value for key, value in outcome.items() if key not in ("device", "precision")}


def outcomes(todo: str, cls: Any) -> dict[Mistake, Outcome]:
    """What is observed of each known mistake of a TODO, in the place of the learner's method."""
    observe = place_of(todo).observe
    return {m: observe(wrong_version(cls, m)) for m in MISTAKES if m.todo == todo}


def observed(look: Callable[[], Any]) -> Any:
    """What `look` gives, or the name of the exception that it ends with."""
    try:
        return look()
    except NotImplementedError:
        raise
    except Exception as error:
        return f"{type(error).__name__}"


def same(a: Any, b: Any) -> bool:
    """Whether two outcomes are equal in everything: numbers up to rounding, shapes and dtypes exactly."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
            return False
        finite = b[b.isfinite()].abs()
        largest = max(1.0, float(finite.detach().max())) if len(finite) and b.is_floating_point() else 1.0
        return torch.allclose(a, b, rtol=1e-4, atol=1e-6 * largest, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-6 + 1e-4 * abs(b)
    return type(a) is type(b) and bool(a == b)
