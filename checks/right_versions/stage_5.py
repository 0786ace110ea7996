"""Right versions of HeadVer4.forward."""

import math

import torch
from torch.nn import functional as F

from . import right


@right("5")
def with_einsum_and_exp(self, x, debug=False):
    q, k, v = self.query(x), self.key(x), self.value(x)
    if debug:
        q, k, v = torch.randn_like(q), torch.randn_like(k), torch.randn_like(v)
    T = x.shape[1]
    scores = torch.einsum("btd,bsd->bts", q, k) * q.size(-1) ** -0.5
    self.var = torch.var(scores, correction=0).item() if x.device.type != "meta" else None
    exponentials = torch.exp(scores - scores.amax(dim=-1, keepdim=True).detach()) * self.tril[:T, :T]
    self.wei = exponentials / exponentials.sum(dim=-1, keepdim=True)
    return torch.einsum("bts,bsd->btd", self.wei, v)


@right("5")
def with_torchs_own_attention(self, x, debug=False):
    q, k, v = self.query(x), self.key(x), self.value(x)
    if debug:
        q, k, v = (torch.randn(t.shape, device=t.device, dtype=t.dtype) for t in (q, k, v))
    identity = torch.eye(x.shape[1], device=x.device, dtype=x.dtype).expand(x.shape[0], -1, -1)
    self.wei = F.scaled_dot_product_attention(q, k, identity, is_causal=True)
    self.var = (q @ k.mT / math.sqrt(q.shape[-1])).var()
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


@right("5")
def with_an_added_mask_and_scaled_queries(self, x, debug=False):
    q, k, v = self.query(x), self.key(x), self.value(x)
    if debug:
        q, k, v = torch.randn_like(q), torch.randn_like(k), torch.randn_like(v)
    T = x.size(1)
    wei = (q / q.size(-1) ** 0.5).bmm(k.permute(0, 2, 1))
    self.var = wei.var()
    wei = wei + torch.full((T, T), -torch.inf, device=x.device, dtype=x.dtype).triu(1)
    wei = wei.softmax(2)
    self.wei = wei.clone()
    return wei.bmm(v)


@right("5")
def with_a_boolean_mask_made_on_the_spot(self, x, debug=False):
    q, k, v = self.query(x), self.key(x), self.value(x)
    if debug:
        q, k, v = torch.randn_like(q), torch.randn_like(k), torch.randn_like(v)
    positions = torch.arange(x.shape[1], device=x.device)
    future = positions[None, :] > positions[:, None]
    scores = torch.baddbmm(
        torch.zeros((), device=x.device, dtype=x.dtype), q, k.transpose(-2, -1), alpha=1 / math.sqrt(k.shape[2])
    )
    self.var = scores.var().detach()
    self.wei = torch.where(future, float("-inf"), scores).softmax(dim=-1)
    return torch.matmul(self.wei, v)
