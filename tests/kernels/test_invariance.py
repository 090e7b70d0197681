"""Invariant kernels: no bit of a row depends on how many rows there are, or on how a sequence's tokens are cut."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kernel_testing import ACTIVATIONS, DEVICE, INTERPRETED, integers, normal, packed

from kernels.ops import load_ops
from kernels.packed import BlockFormat, LowRank, Weight, columns_of
from kernels.paged_attention import scratch_size

ON_CPU = DEVICE.type == "cpu" and not INTERPRETED
pytestmark = pytest.mark.skipif(not ON_CPU, reason="what is promised are kernels compiled for a CPU")
ROWS = [1, 2, 3, 5, 8, 9, 17, 70, 300]
Rows = Callable[[torch.Tensor], torch.Tensor]  # [T, K] to [T, N]
OPS: Any = load_ops("compiled", invariant=True) if ON_CPU else None


def assert_rows_are_independent(call: Rows, x: torch.Tensor) -> None:
    whole = call(x)
    for rows in ROWS:
        assert torch.equal(call(x[-rows:].contiguous()), whole[-rows:]), f"{rows} rows"


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("stored", [*ACTIVATIONS, *BlockFormat])
def test_products(act: torch.dtype, stored: torch.dtype | BlockFormat) -> None:
    shape = (40, 96)
    weight: Weight = packed(shape, stored) if isinstance(stored, BlockFormat) else normal(shape, stored)
    x = normal((300, 96), act)
    assert_rows_are_independent(lambda x: OPS.linear(x, weight, normal((len(x), 40))), x)
    assert_rows_are_independent(lambda x: OPS.swiglu(x, weight, weight, normal((len(x), 40), act)), x)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("is_packed", [False, True])
def test_sparse_linear(act: torch.dtype, is_packed: bool) -> None:
    weight = columns_of(packed((72, 160), BlockFormat.Q8_0)) if is_packed else normal((160, 72), act)
    x = normal((300, 160), act).relu()
    assert_rows_are_independent(lambda x: OPS.sparse_linear(x, weight, integers([0] * 161), normal((len(x), 72))), x)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_low_rank(act: torch.dtype) -> None:
    branches = [LowRank(normal((rank, 128), act), normal((128, rank), act), None) for rank in (32, 16, 64, 32)]

    def call(x: torch.Tensor) -> torch.Tensor:
        log_w, *others = normal((len(x), 128)), *(normal((len(x), 128), act) for _ in range(3))
        OPS.low_rank(x.repeat(4, 1, 1), *branches, normal((len(x), 144), act), log_w, *others)
        return torch.cat([log_w, *(other.float() for other in others)], dim=1)

    assert_rows_are_independent(call, normal((300, 128), act))


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize(
    ("q_heads", "kv_heads", "head_dim", "block_size"), [(9, 3, 64, 32), (2, 2, 8, 4), (4, 1, 20, 64)]
)
def test_paged_attention(act: torch.dtype, q_heads: int, kv_heads: int, head_dim: int, block_size: int) -> None:
    length = 150
    pages = -(-length // block_size)
    q = normal((length, q_heads, head_dim), act)
    k, v = (normal((pages, kv_heads, block_size, head_dim), act, seed) for seed in (1, 2))
    table = integers([list(range(pages))])

    def attend(first: int, end: int) -> torch.Tensor:
        part = q[first:end].contiguous()
        scratch = normal((scratch_size(len(part), q_heads, head_dim, q.device),))
        lengths = integers([0, len(part)]), integers([end])
        return OPS.paged_attention(part, k, v, table, *lengths, scratch, part.clone(), 0.3, len(part))

    whole = attend(0, length)
    for size in ROWS[:-1]:
        for first in range(0, length, max(size, 10)):
            end = min(first + size, length)
            assert torch.equal(attend(first, end), whole[first:end]), f"{size} queries"
