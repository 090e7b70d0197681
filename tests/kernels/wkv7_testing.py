"""Inputs that the tests of all forms of the wkv7 recurrence share."""

from typing import NamedTuple

import torch
from kernel_testing import integers, normal
from torch import Tensor

LOWEST_LOG_W = -0.6065306597  # the fastest decay that RWKV-7 can express


class Tokens(NamedTuple):
    """What a step brings, each [T, H, N]."""

    r: Tensor
    log_w: Tensor
    k: Tensor
    v: Tensor
    a: Tensor
    b: Tensor

    def at(self, first: int, end: int) -> "Tokens":
        return Tokens(*(x[first:end] for x in self))

    def double(self) -> "Tokens":
        return Tokens(*(x.double() for x in self))


def random_tokens(count: int, heads: int, head_size: int, dtype: torch.dtype, seed: int = 0) -> Tokens:
    """As a trained model has them: a is a negative unit vector, b its part, log_w between 0 and the lowest."""
    shape = count, heads, head_size
    r, decay, k, v, direction, rate = (normal(shape, seed=10 * seed + i) for i in range(6))
    kappa = torch.nn.functional.normalize(direction, dim=-1)
    log_w = LOWEST_LOG_W * (3 * decay).sigmoid()
    return Tokens(r.to(dtype), log_w, k.to(dtype), v.to(dtype), -kappa.to(dtype), (kappa * rate.sigmoid()).to(dtype))


def ends(query_lens: list[int]) -> Tensor:
    """cu_seqlens."""
    return integers([sum(query_lens[:i]) for i in range(len(query_lens) + 1)])
