"""Right versions of BlockVer4.forward."""

import torch
from torch import nn
from torch.nn import functional as F

from . import right


@right("10")
def with_functional_dropout(self, x):
    x = x + F.dropout(self.head(self.ln1(x)), p=self.dropout1.p, training=self.training)
    return x + F.dropout(self.ffwd(self.ln2(x)), p=self.dropout2.p, training=self.training)


@right("10")
def with_masks_of_its_own(self, x):
    def drop(out, p):
        if not self.training:
            return out
        return out * (torch.rand_like(out) >= p) / (1 - p)

    x = x + drop(self.head(self.ln1(x)), self.dropout1.p)
    return x + drop(self.ffwd(self.ln2(x)), self.dropout2.p)


@right("10")
def with_bernoulli_and_where(self, x):
    for norm, branch, dropout in ((self.ln1, self.head, self.dropout1), (self.ln2, self.ffwd, self.dropout2)):
        out = branch(norm(x))
        if dropout.training:
            keep = torch.full_like(out, 1 - dropout.p).bernoulli().bool()
            out = torch.where(keep, out / (1 - dropout.p), torch.zeros_like(out))
        x = out + x
    return x


@right("10")
def with_sequential(self, x):
    x = x + nn.Sequential(self.ln1, self.head, self.dropout1)(x)
    return nn.Sequential(self.ln2, self.ffwd, self.dropout2)(x) + x


@right("10")
def with_factors_drawn_beforehand(self, x):
    second, first = self.dropout2(torch.ones_like(x)), self.dropout1(torch.ones_like(x))
    x = torch.addcmul(x, self.head(self.ln1(x)), first)
    return torch.addcmul(x, self.ffwd(self.ln2(x)), second)


@right("10")
def with_dropout_in_place_on_the_branches_outputs(self, x):
    out = F.dropout(self.head(self.ln1(x)), self.dropout1.p, self.training, inplace=True)
    out = out.add(x)
    rest = F.dropout(self.ffwd(self.ln2(out)), self.dropout2.p, self.training, inplace=True)
    rest += out
    return rest


@right("10")
def with_a_loop_over_the_examples(self, x):
    examples = []
    for example in x.split(1):
        gathered = example + self.dropout1(self.head(self.ln1(example)))
        examples.append(gathered + self.dropout2(self.ffwd(self.ln2(gathered))))
    return torch.cat(examples)
