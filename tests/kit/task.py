"""A TODO under test: making its class, calling it, and saying what is wrong, with the known mistake where it is one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.mistakes import named, place_of

from . import seeds
from .comparing import another_kind, difference
from .devices import misplaced, to_far
from .failing import Wrong, explain, in_short, is_waiting, place_of_error
from .loading import load
from .seeds import random
from .showing import by

Right = Callable[[Any, Tensor], Tensor]


def learning_parts(module: Any) -> dict[str, object]:
    """The layers and parameters of a module by their names, also those that have several."""
    if not isinstance(module, nn.Module):
        return {}
    layers = dict(module.named_modules(remove_duplicate=False))
    return {**layers, **dict(module.named_parameters(remove_duplicate=False))}


class Task:
    """What the tests of one TODO share.

        HEAD = Task("3", call="HeadVer2()(x of {})", right=lambda head, x: average(x))

        def test_no_token_sees_its_future():
            HEAD.expect_blind_to_the_future(HEAD.make(), random(2, 6, 3))

    call: the call in the learner's words, {} being the sizes of the input. dims: the names of the output's dimensions.
    given: the layers and other attributes that the given constructor makes. right: the right output for a module with
    its weights and an input, by a route that does not lead through solutions/.
    """

    def __init__(self, todo: str, call: str, dims: str = "B T C", given: str = "", right: Right | None = None):
        self.todo, self.call, self.dims, self.given = todo, call, dims, given.split()
        self.right: Any = right
        self.path, self.method, _ = place_of(todo)
        self.name = self.path.partition(".")[2]

    def __repr__(self) -> str:
        return self.name

    # ---- making it and calling it

    @property
    def cls(self) -> Any:
        return load(self.path, self.method)

    def make(self, *args: Any, seed: int | None = 0, **kwargs: Any) -> Any:
        """An object of the learner's class, with the same weights each time (or, for seed=None, with others)."""
        if seed is not None:
            seeds.seed(seed)
        made = self.attempt(partial(self.cls, *args, **kwargs), f"{self.name}(...)")
        lost = next((name for name in self.given if not hasattr(made, name)), None)
        if lost:
            raise Wrong(f"{self.name} has no `{lost}`. Keep the constructor as it came: it makes this.")
        return made

    def run(self, module: Any, x: Tensor, *more: Any, when: str = "") -> Any:
        """What it gives for x, as it comes. Its layers and parameters are still the same ones afterwards."""
        parts = learning_parts(module)
        out = self.attempt(lambda: self.applied(module)(x, *more), self.says(x) + when)
        for name, part in learning_parts(module).items():
            if part is not parts.get(name):
                did = "puts something new in the place of" if name in parts else "makes"
                raise self.wrong(
                    f"{self.says(x)} {did} self.{name}, so that nothing learned there lasts. Layers and parameters are"
                    " made once, in the constructor, which is given."
                )
        return out

    def result(self, module: Any, x: Tensor, when: str = "") -> Tensor:
        """What it gives for x, checked to be a tensor of the right shape and dtype, of finite numbers."""
        out = self.run(module, x, when=when)
        with torch.no_grad():
            want = self.right(module, x.detach())
        return self.like(out, want, self.says(x) + when)

    def attempt(self, call: Callable[[], Any], what: str) -> Any:
        """What `call` gives. If it ends with an error, `wrong` says so."""
        try:
            return call()
        except Exception as error:
            if isinstance(error, Wrong) or is_waiting(error):
                raise
            raise self.wrong(f"{what} failed.\n{explain(error) or in_short(error)}") from error

    def applied(self, module: Any) -> Any:
        return module if self.method in ("__init__", "forward") else getattr(module, self.method)

    def says(self, x: Tensor) -> str:
        return self.call.format(by(x))

    # ---- what is wrong with it

    def wrong(self, message: str) -> Wrong:
        """The error to raise: the message, and the name of the known mistake whose outcome this is, if it is one."""
        with torch.enable_grad():
            known = named(self.todo, self.cls)
        return Wrong(f"{message}\n\n{known}" if known else message, self.todo)

    def expect(
        self, got: Any, want: Tensor, what: str, dims: str | None = None, rtol: float = 1e-4, atol: float = 1e-5
    ) -> None:
        """Raise Wrong unless `got` is a tensor of the shape, the dtype and the values of `want`."""
        if message := difference(got, want, what, dims or self.dims, rtol, atol):
            raise self.wrong(message)

    def like(self, got: Any, want: Tensor, what: str, dims: str | None = None) -> Tensor:
        """`got`, checked to be a tensor of finite numbers, with the shape and dtype of `want`."""
        if message := another_kind(got, want, what, dims or self.dims):
            raise self.wrong(message)
        return got

    def expect_number(self, got: float, want: float, what: str, tolerance: float) -> None:
        if not abs(got - want) <= tolerance:
            raise self.wrong(f"{what} should be {want:.4g} (give or take {tolerance:.2g}), but is {got:.4g}.")

    # ---- what holds for every layer of the course

    def expect_right(self, module: Any, x: Tensor, when: str = "", rtol: float = 1e-4, atol: float = 1e-5) -> Any:
        """It gives what `right` gives. Returns what it gave."""
        out = self.run(module, x.clone(), when=when)
        self.expect(out, self.right(module, x).detach(), self.says(x) + when, rtol=rtol, atol=atol)
        return out

    def expect_all_lengths(self, module: Any, make_input: Callable[[int], Tensor]) -> None:
        """A longer sequence, a shorter one, the longer one again, in training and in evaluation: as if for the first
        time, and its input and its buffers stay as they were."""
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        for T, training in ((8, True), (3, True), (8, False), (5, True)):
            module.train(training)
            x = make_input(T)
            self.expect_right(module, x, f" in {'training' if training else 'evaluation'} mode")
            self.expect_input_kept(module, x)
            if any(part.training != training for part in module.modules()):
                raise self.wrong("It switches between training and evaluation mode. That is for the caller to choose.")
        for name, buffer in module.named_buffers():
            if name in buffers and not torch.equal(buffer, buffers[name]):
                raise self.wrong(f"It changes self.{name} itself, and the next call finds another one.")

    def expect_blind_to_the_future(self, module: Any, x: Tensor) -> None:
        """Change the last two tokens, and what comes out for the tokens before them stays the same."""
        t = x.shape[1] - 2
        changed = x.clone()
        changed[:, t:] = x[:, t:] + 10 if x.is_floating_point() else x.max() - x[:, t:]
        before, after = self.result(module, x.clone()), self.result(module, changed)
        gaps = (after - before)[:, :t].abs().amax(dim=(0, 2)).gt(1e-4).nonzero()
        if len(gaps):
            raise self.wrong(
                f"Tokens {t} and {t + 1} were changed, and the output of token {gaps[0].item()} changed, too."
            )

    def expect_examples_apart(self, module: Any, x: Tensor) -> None:
        """Each example alone gives what it gives in a batch."""
        together = self.result(module, x.clone())
        for b in range(len(x)):
            what = f"What comes for example {b} alone, expected to be as in a batch of {len(x)},"
            self.expect(self.run(module, x[b : b + 1].clone()), together[b : b + 1], what)

    def expect_input_kept(self, module: Any, x: Tensor) -> None:
        """The input belongs to the caller, who may need it again."""
        given = x.clone()
        self.run(module, given)
        dims = self.dims if x.dim() == len(self.dims.split()) else "B T"
        self.expect(given, x, f"After {self.says(x)}, the input itself", dims)

    def expect_gradients(self, module: Any, x: Tensor) -> None:
        """The gradients of x and of all parameters are those of `right`."""
        x = x.clone().requires_grad_(x.is_floating_point())
        leaves = {"x": x} if x.requires_grad else {}
        leaves |= dict(module.named_parameters())
        self.expect_same_gradients(self.result(module, x), self.right(module, x), leaves)

    def expect_same_gradients(self, out: Tensor, want: Tensor, leaves: dict[str, Tensor]) -> None:
        """For a random weighting of the outputs, the gradients of all leaves are the same from `out` as from `want`."""
        for name, leaf in leaves.items():
            if not leaf.requires_grad:
                raise self.wrong(f"{name} is frozen (requires_grad is False): it never learns.")
        if not out.requires_grad:
            raise self.wrong("The output is cut off from the graph: no gradient reaches anything.")
        factors = random(*want.shape, seed=1)
        right = torch.autograd.grad((want * factors).sum(), [*leaves.values()])
        try:
            got = torch.autograd.grad((out * factors).sum(), [*leaves.values()], allow_unused=True)
        except RuntimeError as error:
            why = "a tensor that they need was changed in place (+=, x[...] = ..., masked_fill_)."
            why = why if "inplace" in str(error) else str(error).partition("\n")[0]
            raise self.wrong(f"The gradients cannot be computed: {why}") from error
        for name, theirs, ours in zip(leaves, got, right, strict=True):
            if theirs is None:
                raise self.wrong(f"No gradient reaches {name}.")
            dims = "B T C" if name == "x" and ours.dim() == 3 else " ".join("ijkl"[: ours.dim()])
            self.expect(theirs, ours, f"the gradient of {name}", dims, rtol=1e-3, atol=1e-4)

    def expect_precise(self, module: Any, x: Tensor) -> None:
        """In float64, also after a call in float32, it calculates in float64 from beginning to end: it notices a change
        of x in the ninth decimal."""
        self.run(module, x.clone())
        module = module.double()
        if not x.is_floating_point():
            self.expect_right(module, x, " in float64", rtol=1e-9, atol=1e-9)
            return
        x, change = x.double(), 1e-8 * random(*x.shape, seed=2).double()
        self.expect_right(module, x, " in float64", rtol=1e-6, atol=1e-6)
        got, want = (f(module, x + change).detach() - f(module, x).detach() for f in (self.result, self.right))
        what = f"In float64, what changes in {self.says(x)} if x changes in the ninth decimal, times 1e8,"
        self.expect(1e8 * got, 1e8 * want, what, rtol=1e-3, atol=1e-3)

    def expect_on_device(self, module: Any, x: Tensor, *more: Any) -> None:
        """On a GPU it would work as on the CPU, also after a call there: nothing is built or left on a device other
        than that of the input."""
        self.attempt(lambda: self.applied(module)(x.clone(), *more), self.says(x))
        call = self.applied(to_far(module))
        failed = misplaced(lambda x: call(x, *more), x)
        if failed:
            place = place_of_error(failed.error) if failed.error else ""
            what = {
                "built": f"a tensor that was built on the CPU meets one on the GPU{place}. Give it the device of the"
                " input where it is built: torch.ones(..., device=x.device).",
                "moved": f"a tensor is moved to the CPU{place}. Leave it on the device of the input.",
                "returned": "what comes back is built on the CPU, whatever device the input is on. Build it on that of"
                " the input: torch.zeros_like(x), or torch.zeros(..., device=x.device).",
            }
            raise self.wrong(f"On a GPU this would fail: {what[failed.kind]}")
