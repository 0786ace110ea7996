"""Right versions of FeedForward.net, BlockVer1.forward and BlockVer2.forward."""

from collections import OrderedDict
from functools import reduce

import torch
from torch import nn
from torch.nn import functional as F

from . import right


@right("8-1")
def with_named_layers(self, embed_size):
    nn.Module.__init__(self)
    hidden = embed_size * 4
    self.net = nn.Sequential(
        OrderedDict(
            widen=nn.Linear(in_features=embed_size, out_features=hidden, bias=True),
            relu=nn.ReLU(inplace=True),
            narrow=nn.Linear(in_features=hidden, out_features=embed_size, bias=True),
        )
    )


class Net(nn.Module):
    def __init__(self, embed_size: int):
        super().__init__()
        self.narrow = nn.Linear(4 * embed_size, embed_size)
        self.widen = nn.Linear(embed_size, 4 * embed_size)

    def forward(self, x):
        return self.narrow(F.relu(self.widen(x)))


@right("8-1")
def with_a_module_of_its_own_that_makes_the_second_layer_first(self, embed_size):
    nn.Module.__init__(self)
    self.net = Net(embed_size)


class Formula(nn.Module):
    def __init__(self, embed_size: int):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(embed_size, 4 * embed_size) / embed_size**0.5)
        self.b1 = nn.Parameter(torch.zeros(4 * embed_size))
        self.w2 = nn.Parameter(torch.randn(4 * embed_size, embed_size) / (4 * embed_size) ** 0.5)
        self.b2 = nn.Parameter(torch.zeros(embed_size))

    def forward(self, x):
        hidden = torch.einsum("btc,ch->bth", x, self.w1) + self.b1
        return torch.einsum("bth,hc->btc", torch.maximum(hidden, torch.zeros_like(hidden)), self.w2) + self.b2


@right("8-1")
def with_parameters_as_in_the_formula(self, embed_size):
    nn.Module.__init__(self)
    self.net = Formula(embed_size)


class Convolutions(nn.Module):
    def __init__(self, embed_size: int):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Conv1d(embed_size, 4 * embed_size, 1), nn.Conv1d(4 * embed_size, embed_size, 1)]
        )

    def forward(self, x):
        first, second = self.layers
        return second(first(x.mT).clamp_min(0)).mT


@right("8-1")
def with_convolutions_one_token_wide(self, embed_size):
    nn.Module.__init__(self)
    self.net = Convolutions(embed_size)


@right("8-1")
def with_a_threshold_and_weights_set_anew(self, embed_size):
    nn.Module.__init__(self)
    self.net = nn.Sequential()
    self.net.append(nn.Linear(embed_size, 4 * embed_size))
    self.net.append(nn.Threshold(0.0, 0.0))
    self.net.append(nn.Dropout(0.0))
    self.net.append(nn.Linear(4 * embed_size, embed_size))
    for layer in (self.net[0], self.net[3]):
        nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)


@right("8-1")
def with_layers_beside_the_net(self, embed_size):
    nn.Module.__init__(self)
    self.first = nn.Linear(embed_size, 4 * embed_size)
    self.second = nn.Linear(4 * embed_size, embed_size)
    self.net = lambda x: self.second((self.first(x) + self.first(x).abs()) / 2)


@right("8-2")
def in_two_steps(self, x):
    gathered = self.head(x)
    thought = self.ffwd(gathered)
    return thought


@right("8-2")
def as_a_sequence(self, x):
    return nn.Sequential(self.head, self.ffwd)(x)


@right("8-2")
def in_a_loop(self, x):
    for step in [self.head, self.ffwd]:
        x = step(x)
    return x


@right("8-2")
def by_forward(self, x):
    return self.ffwd.forward(self.head.forward(x))


@right("8-2")
def folded(self, x):
    return reduce(lambda value, step: step(value), self.children(), x)


@right("8-3")
def in_one_line(self, x):
    return (x1 := x + self.head(x)) + self.ffwd(x1)


@right("8-3")
def in_a_loop_with_sums(self, x):
    for step in (self.head, self.ffwd):
        x = step(x) + x
    return x


@right("8-3")
def with_three_terms(self, x):
    gathered = self.head(x)
    thought = self.ffwd(x + gathered)
    return torch.stack([x, gathered, thought]).sum(dim=0)


@right("8-3")
def added_in_place_to_what_is_its_own(self, x):
    gathered = self.head(x)
    gathered += x
    thought = self.ffwd(gathered)
    thought += gathered
    return thought


@right("8-3")
def with_copies(self, x):
    residual = x.clone()
    x = torch.add(self.head(x), residual)
    residual = x.clone()
    return residual.add_(self.ffwd(x))


@right("8-3")
def with_the_sum_made_twice(self, x):
    return x + self.head(x) + self.ffwd(x + self.head(x))
