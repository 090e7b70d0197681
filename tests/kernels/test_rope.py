from typing import NamedTuple

import pytest
import torch
from kernel_testing import ACTIVATIONS, DEVICE, INTERPRETED, Guarded, assert_close, integers, normal

from kernels.reference.rope import rope_and_cache as oracle
from kernels.rope import rope_and_cache

POSITIONS = [0, 5, 6, 49, 7]
SLOTS = [9, 0, -1, 31, 16]  # one token is padding
BLOCKS, BLOCK_SIZE = 4, 8


class Heads(NamedTuple):
    query: int
    kv: int
    head_dim: int
    rotary_dim: int


def angles(rotary_dim: int, positions: int = 50) -> torch.Tensor:
    theta = 10000.0 ** (-torch.arange(0, rotary_dim, 2) / rotary_dim)
    angle = torch.arange(positions)[:, None] * theta
    return torch.cat((angle.cos(), angle.sin()), dim=1).to(DEVICE)


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("heads", [Heads(9, 3, 64, 64), Heads(4, 4, 20, 12), Heads(2, 1, 6, 2)])
def test_equals_oracle(heads: Heads, interleaved: bool, dtype: torch.dtype, guarded: Guarded) -> None:
    qkv = normal((len(SLOTS), heads.query + 2 * heads.kv, heads.head_dim), dtype)
    cache_dtype = torch.float16 if INTERPRETED else torch.bfloat16
    pages = BLOCKS, heads.kv, BLOCK_SIZE, heads.head_dim

    def run(function, projected, k_cache, v_cache):  # type: ignore[no-untyped-def]
        q, k, v = projected.split([heads.query, heads.kv, heads.kv], dim=1)
        slots = integers(SLOTS, torch.int64)
        cos_sin = angles(heads.rotary_dim)
        function(q, k, v, integers(POSITIONS), cos_sin, slots, k_cache, v_cache, interleaved)

    expected = qkv.clone(), guarded(pages, cache_dtype), guarded(pages, cache_dtype)
    actual = guarded(qkv.shape, dtype).copy_(qkv), guarded(pages, cache_dtype), guarded(pages, cache_dtype)
    run(oracle, *expected)
    run(rope_and_cache, *actual)
    assert torch.equal(actual[0][:, heads.query :], qkv[:, heads.query :])  # k and v stay as they were
    for result, wanted in zip(actual, expected, strict=True):
        untouched = wanted.isnan()
        assert torch.equal(result.isnan(), untouched)
        assert_close(result[~untouched], wanted[~untouched], result.dtype)
