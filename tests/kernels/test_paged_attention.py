from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_testing import ACTIVATIONS, DEVICE, INTERPRETED, Guarded, assert_close, integers, normal

from kernels.paged_attention import flops, paged_attention, scratch_size
from kernels.reference.paged_attention import paged_attention as oracle


class Heads(NamedTuple):
    query: int
    kv: int
    head_dim: int
    block_size: int


class Sequence(NamedTuple):
    queries: int
    context: int  # with the queries


class Inputs(NamedTuple):
    q: torch.Tensor
    k_cache: torch.Tensor
    v_cache: torch.Tensor
    block_tables: torch.Tensor
    cu_seqlens: torch.Tensor
    context_lens: torch.Tensor
    scratch: torch.Tensor


def batch(sequences: list[Sequence], heads: Heads, dtype: torch.dtype, cache_dtype: torch.dtype) -> Inputs:
    """Sequences on shuffled pages. What they have not written is NaN; unused table entries are invalid."""
    pages = [-(-s.context // heads.block_size) for s in sequences]
    n_blocks = sum(pages) + 1
    shape = n_blocks, heads.kv, heads.block_size, heads.head_dim
    k_cache, v_cache = (normal(shape, cache_dtype, seed) for seed in (1, 2))
    free = torch.randperm(n_blocks, generator=torch.Generator().manual_seed(3))
    tables = torch.full((len(sequences), max(pages) + 1), 2**30, dtype=torch.int32)
    for table, count, sequence in zip(tables, pages, sequences, strict=True):
        table[:count], free = free[:count], free[count:]
        used = sequence.context - (count - 1) * heads.block_size
        for cache in (k_cache, v_cache):
            cache[table[count - 1], :, used:] = float("nan")
    lengths = torch.tensor([0] + [s.queries for s in sequences])
    q = normal((int(lengths.sum()), heads.query, heads.head_dim), dtype)
    cu_seqlens = lengths.cumsum(0).to(torch.int32).to(DEVICE)
    contexts = integers([s.context for s in sequences])
    scratch = normal((scratch_size(len(q), heads.query, heads.head_dim, q.device),))
    return Inputs(q, k_cache, v_cache, tables.to(DEVICE), cu_seqlens, contexts, scratch)


def check(
    sequences: list[Sequence], heads: Heads, dtype: torch.dtype, cache_dtype: torch.dtype, guarded: Guarded
) -> None:
    inputs = batch(sequences, heads, dtype, cache_dtype)
    longest = max(s.queries for s in sequences)
    scale = heads.head_dim**-0.5
    out = guarded(tuple(inputs.q.shape), dtype)
    expected = oracle(*inputs, torch.empty_like(out), scale, longest)
    paged_attention(*inputs, out, scale, longest)
    assert_close(out, expected, torch.float16 if cache_dtype != torch.float32 == dtype else dtype)


MIXES = {
    "decode": [Sequence(1, 1), Sequence(1, 70), Sequence(1, 16)],
    "verification": [Sequence(3, 3), Sequence(1, 40), Sequence(5, 129)],
    "prefill": [Sequence(90, 90), Sequence(7, 7)],
    "mix": [Sequence(1, 33), Sequence(21, 50), Sequence(1, 1), Sequence(34, 34), Sequence(2, 19)],
}


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("heads", [Heads(9, 3, 64, 16), Heads(4, 1, 20, 32), Heads(2, 2, 8, 4)])
@pytest.mark.parametrize("mix", MIXES)
def test_equals_oracle(mix: str, heads: Heads, dtype: torch.dtype, guarded: Guarded) -> None:
    check(MIXES[mix], heads, dtype, dtype, guarded)


@pytest.mark.parametrize("mix", ["decode", "prefill"])
def test_cache_of_another_type(mix: str, guarded: Guarded) -> None:
    check(MIXES[mix], Heads(6, 2, 32, 16), torch.float32, ACTIVATIONS[-1], guarded)


@settings(
    max_examples=5 if INTERPRETED else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.integers(1, 80), st.integers(0, 90)), min_size=1, max_size=5))
def test_ragged_batches(guarded: Guarded, lengths: list[tuple[int, int]]) -> None:
    sequences = [Sequence(queries, queries + past) for queries, past in lengths]
    check(sequences, Heads(6, 2, 32, 16), torch.float32, torch.float32, guarded)


def test_decoding_does_not_depend_on_the_batch(guarded: Guarded) -> None:
    heads = Heads(6, 2, 32, 16)
    inputs = batch([Sequence(1, n) for n in (5, 200, 64)], heads, torch.float32, torch.float32)
    together = paged_attention(*inputs, guarded((3, 6, 32), torch.float32), 0.2, 1)
    for s in range(3):
        alone = paged_attention(
            inputs.q[s : s + 1], inputs.k_cache, inputs.v_cache, inputs.block_tables[s : s + 1],
            integers([0, 1]), inputs.context_lens[s : s + 1], inputs.scratch.chunk(3)[s],
            guarded((1, 6, 32), torch.float32), 0.2, 1,
        )  # fmt: skip
        assert torch.equal(alone[0], together[s])


def test_oracle_is_causal_attention() -> None:
    heads = Heads(4, 4, 16, 8)
    inputs = batch([Sequence(20, 20)], heads, torch.float32, torch.float32)
    out = oracle(*inputs, torch.empty_like(inputs.q), 0.25, 20)
    pages = inputs.block_tables[0, :3].long()
    k, v = (c[pages].transpose(0, 1).flatten(1, 2)[:, :20] for c in (inputs.k_cache, inputs.v_cache))
    expected = torch.nn.functional.scaled_dot_product_attention(inputs.q.transpose(0, 1), k, v, is_causal=True)
    assert_close(out, expected.transpose(0, 1), torch.float32)


def test_flops_count_visible_keys() -> None:
    assert flops([1, 3], [5, 4], q_heads=2, head_dim=8) == 4 * 2 * 8 * (5 + 2 + 3 + 4)
