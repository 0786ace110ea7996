"""Right versions of LayerNorm.forward and BlockVer3.forward."""

import torch
from torch import nn
from torch.nn import functional as F

from . import right


@right("9-1")
def with_var_mean(self, x):
    var, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(var + self.eps) * self.gamma + self.beta


@right("9-1")
def with_torchs_own(self, x):
    return F.layer_norm(x, self.gamma.shape, self.gamma, self.beta, self.eps)


@right("9-1")
def with_the_mean_of_squares_minus_the_square_of_the_mean(self, x):
    mean = x.mean(-1, keepdim=True)
    var = (x * x).mean(-1, keepdim=True) - mean * mean
    return torch.addcmul(self.beta, self.gamma, (x - mean) * (var + self.eps) ** -0.5)


@right("9-1")
def with_a_centering_matrix(self, x):
    C = x.shape[-1]
    centering = torch.eye(C, dtype=x.dtype, device=x.device) - 1 / C
    centered = x @ centering
    var = torch.einsum("...c,...c->...", centered, centered).unsqueeze(-1) / C
    return self.beta + centered * (self.gamma / (var + self.eps).sqrt())


@right("9-1")
def with_the_biased_std(self, x):
    std = x.std(dim=-1, unbiased=False, keepdim=True)
    return self.gamma * ((x - x.mean(dim=-1, keepdim=True)) / (std**2 + self.eps).sqrt()) + self.beta


@right("9-1")
def with_a_loop_over_tokens(self, x):
    tokens = []
    for token in x.reshape(-1, x.shape[-1]):
        distance = token - token.sum() / len(token)
        scale = 1 / torch.sqrt(torch.dot(distance, distance) / len(token) + self.eps)
        tokens.append(distance * scale * self.gamma + self.beta)
    return torch.stack(tokens).reshape(x.shape)


@right("9-1")
def with_a_group_norm_of_one_group(self, x):
    flat = x.reshape(-1, x.size(-1))
    return F.group_norm(flat, 1, self.gamma, self.beta, self.eps).view_as(x)


@right("9-1")
def in_place_on_tensors_of_its_own(self, x):
    out = x.clone()
    out -= x.mean(-1, keepdim=True)
    root = out.pow(2).mean(-1, keepdim=True).add_(self.eps).sqrt()
    out = out / root
    out = out * self.gamma
    out += self.beta
    return out


@right("9-2")
def with_a_name_for_each_step(self, x):
    normed = self.ln1(x)
    attended = self.head(normed)
    middle = attended + x
    normed = self.ln2(middle)
    return self.ffwd(normed) + middle


@right("9-2")
def in_one_expression(self, x):
    return x + self.head(self.ln1(x)) + self.ffwd(self.ln2(x + self.head(self.ln1(x))))


@right("9-2")
def with_a_loop_over_the_branches(self, x):
    for norm, branch in ((self.ln1, self.head), (self.ln2, self.ffwd)):
        x = torch.add(x, branch(norm(x)))
    return x


@right("9-2")
def with_sequential(self, x):
    x = x + nn.Sequential(self.ln1, self.head)(x)
    return torch.stack([x, nn.Sequential(self.ln2, self.ffwd)(x)]).sum(dim=0)


@right("9-2")
def with_torchs_own_norm_and_the_layers_parameters(self, x):
    sizes = x.shape[-1:]
    x = x + self.head(F.layer_norm(x, sizes, self.ln1.gamma, self.ln1.beta, self.ln1.eps))
    return x + self.ffwd(F.layer_norm(x, sizes, self.ln2.gamma, self.ln2.beta, self.ln2.eps))


@right("9-2")
def in_place_on_the_branches_outputs(self, x):
    out = self.head(self.ln1(x))
    out += x
    residual = out
    out = self.ffwd.forward(self.ln2.forward(out))
    out += residual
    return out
