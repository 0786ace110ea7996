"""Known mistakes of stage 8: the net of FeedForward, BlockVer1.forward and BlockVer2.forward."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.kit.seeds import seed

from . import Outcome, mistake, place


def look(call: Callable[[], Any]) -> Any:
    """What the call gives, or the exception that it ends with: its name and what it says."""
    try:
        return call()
    except Exception as error:
        if isinstance(error, NotImplementedError) and str(error).startswith("TODO"):
            raise
        return f"{type(error).__name__}: {error}"


# TODO 8-1: FeedForward.net


@place("8-1", "feed_forward.FeedForward", "__init__")
def observe_net(cls: type) -> Outcome:
    """Parameters, outputs, gradients and mode for several sizes. The weights are set here, by their shapes."""
    return {f"{B} x {T} x {C}": look(lambda B=B, T=T, C=C: observe_one_net(cls, B, T, C)) for B, T, C in SIZES}


SIZES = ((2, 5, 6), (1, 4, 3), (3, 1, 10))


def observe_one_net(cls: type, B: int, T: int, C: int) -> Outcome:
    made, other = cls(C), cls(C)
    first, second = list(made.parameters()), list(other.parameters())
    return {
        "shared": any(a is b for a in first for b in second),
        "equal": all(torch.equal(a, b) for a, b in zip(first, second, strict=False) if a.dim() > 1),
        "zero": not any(bool(p.any()) for p in first),
        "alike": all(bool((p == p[:1]).all()) for p in first if p.dim() > 1),
        **observe_filled_net(made, fill(first), B, T, C),
    }


def fill(parameters: list[nn.Parameter]) -> dict[str, nn.Parameter]:
    """Numbers that depend on the shape of each parameter alone, and not on how and in which order they were made."""
    named: dict[str, nn.Parameter] = {}
    for parameter in parameters:
        shape = " x ".join(map(str, parameter.shape))
        while shape in named:
            shape += " again"
        named[shape] = parameter
        random = torch.Generator().manual_seed(len(shape) + parameter.numel())
        parameter.data.copy_(torch.randn(parameter.shape, generator=random))
    return named


def observe_filled_net(made: nn.Module, parameters: dict[str, nn.Parameter], B: int, T: int, C: int) -> Outcome:
    x = 2 * torch.randn(B, T, C, generator=torch.Generator().manual_seed(8))
    before = x.clone()
    outs = [look(lambda mode=mode: made.train(mode).net(x)) for mode in (True, True, False)]
    outcome: Outcome = {"parameters": sorted(parameters), "input changed": not torch.equal(x, before)}
    if not all(isinstance(out, Tensor) for out in outs):
        return outcome | {"out": outs[-1] if isinstance(outs[-1], str) else type(outs[-1]).__name__}
    outcome["random"] = not torch.equal(outs[0], outs[1])
    outcome["mode"] = not torch.equal(outs[1], outs[2])
    outcome["graph"] = outs[2].requires_grad
    if not parameters:
        return outcome | {"shape": list(outs[2].shape)}
    outcome["out"] = outs[2].detach()
    leaf = before.clone().requires_grad_()
    return outcome | {"gradients": look(lambda: gradients(made.net, leaf, parameters))}


def gradients(module: Any, leaf: Tensor, parameters: dict[str, nn.Parameter]) -> Any:
    """The gradients of a weighted sum of module(leaf), or None where there are none."""
    out = module(leaf * 1.0)  # of a copy: a leaf that is changed in place is another matter
    if not out.requires_grad:
        return None
    factors = torch.randn(out.shape, generator=torch.Generator().manual_seed(88))
    leaves = {"x": leaf, **{name: p for name, p in parameters.items() if p.requires_grad}}
    return dict(
        zip(leaves, torch.autograd.grad((out * factors).sum(), [*leaves.values()], allow_unused=True), strict=True)
    )


def chain(self: Any, *layers: Any) -> None:
    nn.Module.__init__(self)
    self.net = nn.Sequential(*layers)


class Calls(nn.Module):
    """A module that runs a function of itself."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


@mistake("8-1")
def no_relu(self, embed_size):
    """There is nothing between the two linear layers, so that together they are one linear layer. Put a ReLU between
    them."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.Linear(4 * embed_size, embed_size))


@mistake("8-1")
def relu_at_the_end_instead_of_between(self, embed_size):
    """The ReLU comes after the second linear layer, so that no output is ever negative. It belongs between the two
    layers."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.Linear(4 * embed_size, embed_size), nn.ReLU())


@mistake("8-1")
def relu_after_both_layers(self, embed_size):
    """A second ReLU follows the second linear layer, so that no output is ever negative. The output has to be left as
    it is."""
    C = embed_size
    chain(self, nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C), nn.ReLU())


@mistake("8-1")
def relu_before_the_first_layer(self, embed_size):
    """The ReLU is the first layer: it wipes out whatever is negative in x before anything has looked at it. It
    belongs between the two linear layers."""
    chain(self, nn.ReLU(), nn.Linear(embed_size, 4 * embed_size), nn.Linear(4 * embed_size, embed_size))


@mistake("8-1")
def hidden_layer_not_widened(self, embed_size):
    """The hidden layer is embed_size wide. It has to be four times as wide: W1 leads from C to 4 C, W2 back."""
    chain(self, nn.Linear(embed_size, embed_size), nn.ReLU(), nn.Linear(embed_size, embed_size))


@mistake("8-1")
def hidden_layer_twice_as_wide(self, embed_size):
    """The hidden layer is 2 x embed_size wide; it has to be 4 x embed_size."""
    chain(self, nn.Linear(embed_size, 2 * embed_size), nn.ReLU(), nn.Linear(2 * embed_size, embed_size))


@mistake("8-1")
def hidden_layer_of_width_four(self, embed_size):
    """The hidden layer is 4 wide, whatever embed_size is; it has to be 4 *times* embed_size."""
    chain(self, nn.Linear(embed_size, 4), nn.ReLU(), nn.Linear(4, embed_size))


@mistake("8-1")
def hidden_layer_four_wider(self, embed_size):
    """The hidden layer is embed_size + 4 wide; it has to be embed_size *times* 4."""
    chain(self, nn.Linear(embed_size, embed_size + 4), nn.ReLU(), nn.Linear(embed_size + 4, embed_size))


@mistake("8-1")
def no_biases(self, embed_size):
    """Both linear layers are without a bias. The formula has b1 and b2: leave bias at its default, True."""
    C = embed_size
    chain(self, nn.Linear(C, 4 * C, bias=False), nn.ReLU(), nn.Linear(4 * C, C, bias=False))


@mistake("8-1")
def gelu_instead_of_relu(self, embed_size):
    """Between the layers is a GELU, as in GPT-2. Here it is max(0, ...): a ReLU."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.GELU(), nn.Linear(4 * embed_size, embed_size))


@mistake("8-1")
def leaky_relu_instead_of_relu(self, embed_size):
    """Between the layers is a LeakyReLU, which lets a hundredth of the negative numbers through. max(0, ...) lets
    nothing through: a ReLU."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.LeakyReLU(), nn.Linear(4 * embed_size, embed_size))


@mistake("8-1")
def sigmoid_instead_of_relu(self, embed_size):
    """Between the layers is a sigmoid, which squeezes everything between 0 and 1. It has to be max(0, ...): a ReLU."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.Sigmoid(), nn.Linear(4 * embed_size, embed_size))


@mistake("8-1")
def tanh_instead_of_relu(self, embed_size):
    """Between the layers is a tanh, which squeezes everything between -1 and 1. It has to be max(0, ...): a ReLU."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.Tanh(), nn.Linear(4 * embed_size, embed_size))


@mistake("8-1")
def softmax_instead_of_relu(self, embed_size):
    """Between the layers is a softmax, which makes the hidden numbers of a token sum to 1. It has to be max(0, ...):
    a ReLU."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.Softmax(dim=-1), nn.Linear(4 * embed_size, embed_size))


@mistake("8-1")
def dropout_too_early(self, embed_size):
    """There is a dropout in the net: in training, the same x gives something else each time. Dropout comes in stage
    10, and not here but in the block."""
    C = embed_size
    chain(self, nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C), nn.Dropout(0.2))


@mistake("8-1")
def layer_norm_too_early(self, embed_size):
    """The net begins with a LayerNorm. It comes in stage 9, and in the block: here are two linear layers and a ReLU,
    nothing else."""
    C = embed_size
    chain(self, nn.LayerNorm(C), nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C))


@mistake("8-1")
def residual_inside_the_net(self, embed_size):
    """The net adds its input to its output. That is the residual connection, and the block makes it (TODO 8-3): here
    it would count twice."""
    C = embed_size
    nn.Module.__init__(self)
    layers = nn.Sequential(nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C))
    self.net = Calls(lambda net, x: x + net.layers(x), layers=layers)


@mistake("8-1")
def second_layer_missing(self, embed_size):
    """After the ReLU nothing leads back to embed_size: each token comes out 4 x embed_size wide. A second linear
    layer has to follow."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.ReLU())


@mistake("8-1")
def second_layer_copied_from_the_first(self, embed_size):
    """Both linear layers lead from embed_size to 4 x embed_size, so that the second does not fit what it is given. It
    has to lead back: from 4 x embed_size to embed_size."""
    C = embed_size
    chain(self, nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(C, 4 * C))


@mistake("8-1")
def linear_layers_in_the_wrong_order(self, embed_size):
    """The layer from 4 x embed_size to embed_size comes first, and x does not fit it. Widen first, then narrow."""
    C = embed_size
    chain(self, nn.Linear(4 * C, C), nn.ReLU(), nn.Linear(C, 4 * C))


@mistake("8-1")
def one_layer_only(self, embed_size):
    """The net is one linear layer from embed_size to embed_size and a ReLU. It has to be two linear layers with the
    ReLU between them: to 4 x embed_size, and back."""
    chain(self, nn.Linear(embed_size, embed_size), nn.ReLU())


@mistake("8-1")
def one_layer_too_many(self, embed_size):
    """Between the two linear layers is a third one, with a ReLU of its own. One hidden layer is asked for."""
    C = embed_size
    chain(self, nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C))


@mistake("8-1")
def one_matrix_for_both_layers(self, embed_size):
    """The second layer uses the matrix of the first one, transposed. W1 and W2 are two matrices, each of which learns
    for itself."""
    nn.Module.__init__(self)
    self.net = Calls(
        lambda net, x: F.relu(net.first(x)) @ net.first.weight + net.second.bias,
        first=nn.Linear(embed_size, 4 * embed_size),
        second=nn.Linear(1, embed_size),
    )
    del self.net.second.weight


@mistake("8-1")
def layers_not_registered(self, embed_size):
    """The linear layers are in a plain Python list or in local variables, where the module does not see them: it has
    no parameters, and an optimizer finds nothing to train. Put them into an nn.Sequential."""
    nn.Module.__init__(self)
    layers = [nn.Linear(embed_size, 4 * embed_size), nn.ReLU(), nn.Linear(4 * embed_size, embed_size)]
    self.net = Calls(lambda net, x: layers[2](layers[1](layers[0](x))))


@mistake("8-1")
def net_is_a_module_list(self, embed_size):
    """self.net is an nn.ModuleList, which holds layers but cannot be called. An nn.Sequential runs one after the
    other."""
    nn.Module.__init__(self)
    C = embed_size
    self.net = nn.ModuleList([nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C)])


@mistake("8-1")
def net_is_a_list(self, embed_size):
    """self.net is a plain Python list, which cannot be called, and whose layers are never trained. Put them into an
    nn.Sequential, which runs one after the other."""
    nn.Module.__init__(self)
    C = embed_size
    self.net = [nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C)]


@mistake("8-1")
def comma_after_the_net(self, embed_size):
    """self.net is a tuple, which cannot be called. Mostly that is a comma after the last bracket: self.net = ...(),"""
    nn.Module.__init__(self)
    C = embed_size
    self.net = (nn.Sequential(nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C)),)


@mistake("8-1")
def net_not_kept(self, embed_size):
    """The constructor ends without a self.net. What is made has to be kept: self.net = ..."""
    nn.Module.__init__(self)


@mistake("8-1")
def relu_without_brackets(self, embed_size):
    """nn.ReLU without brackets is the class, not a layer. nn.ReLU() makes one."""
    C = embed_size
    chain(self, nn.Linear(C, 4 * C), nn.ReLU, nn.Linear(4 * C, C))


@mistake("8-1")
def function_relu_as_a_layer(self, embed_size):
    """F.relu is a function of a tensor, and nn.Sequential takes modules. The same as a module: nn.ReLU()."""
    C = embed_size
    chain(self, nn.Linear(C, 4 * C), F.relu, nn.Linear(4 * C, C))


@mistake("8-1")
def seeded_in_the_constructor(self, embed_size):
    """The random numbers are seeded in the constructor, so that every feed-forward layer begins with the same
    weights. Seeding is done once, where the program begins."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        chain(self, nn.Linear(embed_size, 4 * embed_size), nn.ReLU(), nn.Linear(4 * embed_size, embed_size))


@mistake("8-1")
def weights_begin_at_zero(self, embed_size):
    """All weights are set to zero: all hidden numbers stay the same as each other, and learn nothing. Leave the
    random numbers with which nn.Linear begins."""
    chain(self, nn.Linear(embed_size, 4 * embed_size), nn.ReLU(), nn.Linear(4 * embed_size, embed_size))
    for parameter in self.net.parameters():
        nn.init.zeros_(parameter)


NETS: dict[int, nn.Module] = {}


@mistake("8-1")
def one_net_for_all(self, embed_size):
    """The net is made once, and every FeedForward gets the same one, so that all blocks share its weights. Each
    FeedForward has to make a net of its own."""
    nn.Module.__init__(self)
    C = embed_size
    if C not in NETS:
        NETS[C] = nn.Sequential(nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C))
    self.net = NETS[C]


# TODO 8-2 and 8-3: the blocks, with a head and a feed-forward layer that stand in for the real ones


class StandIn(nn.Module):
    """sin(x W + b), with a sum over the past where it stands in for a head. (B, T, C) -> (B, T, C)."""

    def __init__(self, embed_size: int, over_time: bool):
        super().__init__()
        self.layer = nn.Linear(embed_size, embed_size)
        self.over_time = over_time

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return torch.sin(x.cumsum(dim=1) if self.over_time else x)


def make_block(cls: Any, embed_size: int = 6) -> Any:
    """A block with stand-ins in both places, so that what it does depends on its forward alone."""
    with torch.random.fork_rng(devices=[]):
        seed(8)
        head, ffwd = StandIn(embed_size, over_time=True), StandIn(embed_size, over_time=False)
        block = cls(head, embed_size)
    block.head, block.ffwd = head, ffwd
    return block


@place("8-2", "block_v1.BlockVer1", "forward")
@place("8-3", "block_v2.BlockVer2", "forward")
def observe_block(cls: type) -> Outcome:
    """Outputs and gradients in both modes, for several sizes, and whether the input stays as it was."""
    outcome: Outcome = {}
    for B, T, training in ((2, 5, True), (1, 8, False), (3, 1, True)):
        block = make_block(cls).train(training)
        x = torch.randn(B, T, 6, generator=torch.Generator().manual_seed(8))
        leaf = x.clone().requires_grad_()
        out = look(lambda block=block, x=x: block(x))
        outcome[f"out {T}"] = plain(out)
        outcome[f"input changed {T}"] = not torch.equal(x, leaf)
        if isinstance(out, Tensor):
            parameters = dict(block.named_parameters())
            for frozen in ("nothing", "head", "ffwd"):  # a layer needs its input as it was only where it learns
                for name, parameter in parameters.items():
                    parameter.requires_grad_(not name.startswith(frozen))
                outcome[f"gradients {T}, {frozen} frozen"] = look(
                    lambda b=block, i=leaf, p=parameters: gradients(b, i, p)
                )
    return outcome


def plain(out: Any) -> Any:
    if isinstance(out, tuple | list):
        return {f"{type(out).__name__} {i}": plain(part) for i, part in enumerate(out)}
    return out.detach() if isinstance(out, Tensor) else out if isinstance(out, str) else type(out).__name__


@mistake("8-2")
def feed_forward_before_the_head(self, x):
    """x goes through the feed-forward layer first, then through the head. First gather (head), then think (ffwd)."""
    return self.head(self.ffwd(x))


@mistake("8-2")
def head_left_out(self, x):
    """The feed-forward layer is given x itself, and what the head makes of x is not used."""
    return self.ffwd(x)


@mistake("8-2")
def feed_forward_left_out(self, x):
    """The output is that of the head; it still has to go through the feed-forward layer."""
    return self.head(x)


@mistake("8-2")
def head_and_feed_forward_side_by_side(self, x):
    """Both are given x, and their outputs are added. The feed-forward layer has to be given the head's output."""
    return self.head(x) + self.ffwd(x)


@mistake("8-2")
def head_and_feed_forward_multiplied(self, x):
    """Both are given x, and their outputs are multiplied. The feed-forward layer has to be given the head's
    output."""
    return self.head(x) * self.ffwd(x)


@mistake("8-2")
def residual_around_both(self, x):
    """x is added to the output. BlockVer1 is without residual connections; they come in BlockVer2 (TODO 8-3)."""
    return x + self.ffwd(self.head(x))


@mistake("8-2")
def residual_around_the_feed_forward_layer(self, x):
    """The head's output is added to what the feed-forward layer makes of it. BlockVer1 is without residual
    connections; they come in BlockVer2 (TODO 8-3)."""
    x = self.head(x)
    return x + self.ffwd(x)


@mistake("8-2")
def residual_around_the_head(self, x):
    """x is added to the head's output. BlockVer1 is without residual connections; they come in BlockVer2 (TODO
    8-3)."""
    return self.ffwd(x + self.head(x))


@mistake("8-2")
def both_residuals_already(self, x):
    """This is BlockVer2, with its two residual connections. BlockVer1 is without: what the head gives goes into the
    feed-forward layer, and what that gives comes out."""
    x = x + self.head(x)
    return x + self.ffwd(x)


@mistake("8-2")
def feed_forward_twice(self, x):
    """The head's output goes through the feed-forward layer twice; once is asked for."""
    return self.ffwd(self.ffwd(self.head(x)))


@mistake("8-2")
def head_twice(self, x):
    """x goes through the head twice before the feed-forward layer; once is asked for."""
    return self.ffwd(self.head(self.head(x)))


@mistake("8-2")
def relu_between_them(self, x):
    """The head's output goes through a ReLU before the feed-forward layer. The ReLU is inside FeedForward; here
    nothing comes between the two."""
    return self.ffwd(F.relu(self.head(x)))


@mistake("8-2")
def relu_at_the_end(self, x):
    """The output goes through a ReLU, so that it is never negative. The ReLU is inside FeedForward; nothing comes
    after it."""
    return F.relu(self.ffwd(self.head(x)))


@mistake("8-2")
def head_detached(self, x):
    """The right numbers, but the head's output is detached from the graph: no gradient reaches the head, and it never
    learns."""
    return self.ffwd(self.head(x).detach())


@mistake("8-2")
def output_detached(self, x):
    """The right numbers, but cut off from the graph (detach or no_grad): no gradient reaches anything, and nothing
    learns."""
    return self.ffwd(self.head(x)).detach()


@mistake("8-2")
def input_overwritten(self, x):
    """The head's output is written into x, the caller's own tensor. Give it a name of its own, or bind the name x
    anew, instead of writing into x[...]."""
    x[...] = self.head(x)
    return self.ffwd(x)


@mistake("8-2")
def nothing_returned(self, x):
    """The function ends without a return, and so gives None."""
    self.ffwd(self.head(x))


@mistake("8-2")
def both_outputs_returned(self, x):
    """Two things are returned: the head's output and that of the feed-forward layer. The second alone is asked for."""
    gathered = self.head(x)
    return gathered, self.ffwd(gathered)


# TODO 8-3


@mistake("8-3")
def second_residual_from_the_original_input(self, x):
    """The second residual adds the block's input x. It has to add x1 = x + head(x), the very tensor that the
    feed-forward layer is given; otherwise what the head found is lost on the way."""
    return x + self.ffwd(x + self.head(x))


@mistake("8-3")
def no_residual(self, x):
    """Nothing is added: this is BlockVer1. x has to be added to the head's output, and their sum to what the
    feed-forward layer makes of it."""
    return self.ffwd(self.head(x))


@mistake("8-3")
def first_residual_only(self, x):
    """x is added to the head's output, but the output of the feed-forward layer is returned as it is. Its input has
    to be added to it."""
    return self.ffwd(x + self.head(x))


@mistake("8-3")
def second_residual_only(self, x):
    """The feed-forward layer has its residual connection, and the head has none: x has to be added to the head's
    output."""
    x = self.head(x)
    return x + self.ffwd(x)


@mistake("8-3")
def one_residual_around_both(self, x):
    """One residual connection leads around head and feed-forward layer together. It has to be two: one around
    each."""
    return x + self.ffwd(self.head(x))


@mistake("8-3")
def one_residual_added_at_the_end(self, x):
    """The feed-forward layer is given the head's output alone, without x. It has to be given the sum that the output is
    made of, x + head(x)."""
    gathered = self.head(x)
    return x + gathered + self.ffwd(gathered)


@mistake("8-3")
def feed_forward_given_the_input(self, x):
    """The feed-forward layer is given x, side by side with the head. It has to be given x + head(x), so that it can
    think about what the head gathered."""
    return x + self.head(x) + self.ffwd(x)


@mistake("8-3")
def feed_forward_before_the_head_with_residuals(self, x):
    """Both residual connections are there, but the feed-forward layer comes first. First gather (head), then think
    (ffwd)."""
    x = x + self.ffwd(x)
    return x + self.head(x)


@mistake("8-3")
def second_residual_from_the_head(self, x):
    """The second residual adds the head's output alone. It has to add x + head(x), the very tensor that the
    feed-forward layer is given."""
    gathered = self.head(x)
    return gathered + self.ffwd(x + gathered)


@mistake("8-3")
def input_added_twice(self, x):
    """The block's input x is added once more at the end, though it is already in x1 = x + head(x)."""
    sum_ = x + self.head(x)
    return x + sum_ + self.ffwd(sum_)


@mistake("8-3")
def sum_added_twice(self, x):
    """The feed-forward layer's input is added to its output twice; once is asked for."""
    x = x + self.head(x)
    return x + x + self.ffwd(x)


@mistake("8-3")
def head_with_residual_alone(self, x):
    """The output is x + head(x). It still has to go through the feed-forward layer, with the second residual
    connection."""
    return x + self.head(x)


@mistake("8-3")
def feed_forward_with_residual_alone(self, x):
    """The output is x + FFN(x), and the head is not used. x + head(x) comes first."""
    return x + self.ffwd(x)


@mistake("8-3")
def multiplied_instead_of_added(self, x):
    """Input and output of head and feed-forward layer are multiplied. They have to be added."""
    x = x * self.head(x)
    return x * self.ffwd(x)


@mistake("8-3")
def subtracted_instead_of_added(self, x):
    """The outputs of head and feed-forward layer are subtracted from their inputs. They have to be added."""
    x = x - self.head(x)
    return x - self.ffwd(x)


@mistake("8-3")
def averaged_instead_of_added(self, x):
    """Both sums are divided by 2. Add, and leave it at that: halved in every block, the input and its gradient fade
    away in a deep stack."""
    x = (x + self.head(x)) / 2
    return (x + self.ffwd(x)) / 2


@mistake("8-3")
def joined_instead_of_added(self, x):
    """x and the head's output are put side by side (torch.cat), which makes each token twice as wide, so that it does
    not fit the feed-forward layer. They have to be added."""
    x = torch.cat([x, self.head(x)], dim=-1)
    return torch.cat([x, self.ffwd(x)], dim=-1)


@mistake("8-3")
def added_in_place(self, x):
    """x += ... changes the caller's own tensor, which may be needed elsewhere, and the head's gradients need it as it
    was. x = x + ... makes a new one."""
    x += self.head(x)
    x += self.ffwd(x)
    return x


@mistake("8-3")
def first_sum_in_place(self, x):
    """The first sum, x += head(x), changes the caller's own tensor, which may be needed elsewhere, and the head's
    gradients need it as it was. x = x + ... makes a new one."""
    x += self.head(x)
    return x + self.ffwd(x)


@mistake("8-3")
def second_sum_in_place(self, x):
    """The second sum is made in place (+=): it changes the tensor that the feed-forward layer was given, and whose
    numbers its gradients need. x = x + ... makes a new one."""
    x = x + self.head(x)
    x += self.ffwd(x)
    return x


@mistake("8-3")
def residual_detached(self, x):
    """The right numbers, but what is added is detached from the graph, so that gradients cannot take the short way.
    That way is what residual connections are for."""
    x = x.detach() + self.head(x)
    return x.detach() + self.ffwd(x)


@mistake("8-3")
def head_and_feed_forward_detached(self, x):
    """The right numbers, but the outputs of head and feed-forward layer are detached from the graph (detach or
    no_grad): no gradient reaches them, and they never learn."""
    x = x + self.head(x).detach()
    return x + self.ffwd(x).detach()


@mistake("8-3")
def result_detached(self, x):
    """The right numbers, but the result is cut off from the graph (detach or no_grad): no gradient reaches anything,
    and nothing learns."""
    x = x + self.head(x)
    return (x + self.ffwd(x)).detach()


@mistake("8-3")
def normalized_after_each_sum(self, x):
    """Each sum is normalized. LayerNorm comes in stage 9, and there on the way *into* head and feed-forward layer;
    here nothing but the sum is asked for."""
    x = F.layer_norm(x + self.head(x), x.shape[-1:])
    return F.layer_norm(x + self.ffwd(x), x.shape[-1:])


@mistake("8-3")
def relu_after_each_sum(self, x):
    """A ReLU follows each sum, and wipes out what is negative in x. Nothing may stand in the way of the residual
    connection but a sum."""
    x = F.relu(x + self.head(x))
    return F.relu(x + self.ffwd(x))


@mistake("8-3")
def sum_not_returned(self, x):
    """Nothing is returned, so that the block gives None. It has to give the second sum."""
    x = x + self.head(x)
    x = x + self.ffwd(x)
