"""Prefill in any chunks, decode and any mixture of them give the logits of a plain forward pass."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import TinyFile

from kernels.ops import load_ops
from model.executor import ModelExecutor
from model.kv_cache import KVCache
from model.loader import load_model
from model.sequence_step import SequenceStep

BLOCK_SIZE = 4
CPU = torch.device("cpu")


def run(executor: ModelExecutor, sequences: list[list[int]], chunks: list[list[int]]) -> list[torch.Tensor]:
    """Feed each step's chunk (tokens per sequence) and gather the logits of every token."""
    blocks = torch.randperm(executor.cache.num_blocks, generator=torch.Generator().manual_seed(1)).tolist()
    tables = [[blocks.pop() for _ in range(-(-len(s) // BLOCK_SIZE))] for s in sequences]
    done = [0] * len(sequences)
    logits: list[list[torch.Tensor]] = [[] for _ in sequences]
    for sizes in chunks:
        picked = [i for i, size in enumerate(sizes) if size]
        steps = [
            SequenceStep(sequences[i][done[i] : done[i] + sizes[i]], done[i], tables[i], sizes[i])
            for i in picked
        ]
        rows = executor.step(steps).clone()
        for i, part in zip(picked, rows.split([sizes[i] for i in picked]), strict=True):
            logits[i].append(part)
            done[i] += sizes[i]
    return [torch.cat(parts) for parts in logits]


@st.composite
def schedules(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]]]:
    """Token sequences, and steps of so many tokens of each until all are through."""
    sequences = draw(st.lists(st.lists(st.integers(0, 263), min_size=1, max_size=14), min_size=1, max_size=5))
    left = [len(s) for s in sequences]
    chunks = []
    while any(left):
        largest = draw(st.sampled_from([1, 1, 3, 14]))
        sizes = [draw(st.integers(0, min(n, largest))) for n in left]
        if not any(sizes):
            sizes = [min(n, 1) for n in left]
        chunks.append(sizes)
        left = [n - size for n, size in zip(left, sizes, strict=True)]
    return sequences, chunks


def executor_of(file: TinyFile, backend: Any, **options: Any) -> ModelExecutor:
    loaded = load_model(file.path, **options)
    cache = KVCache(loaded.config, 40, BLOCK_SIZE, options.get("activations", torch.float32), CPU)
    return ModelExecutor(loaded.model, cache, load_ops(backend))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=schedules())
def test_chunking_does_not_change_logits(any_tiny_file: TinyFile, schedule: Any) -> None:
    sequences, chunks = schedule
    results = run(executor_of(any_tiny_file, "reference"), sequences, chunks)
    for tokens, logits in zip(sequences, results, strict=True):
        expected = any_tiny_file.logits(tokens)
        torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


MIXED = ([[5, 9, 200, 31, 7, 77, 8], [100] * 3, [250, 1, 2, 3]], [[6, 0, 0], [1, 2, 0], [0, 1, 3], [0, 0, 1]])


@pytest.mark.parametrize("variant", ["q4_1 with q8_0 head"])
def test_compiled_kernels_agree(tiny_file: Callable[[str], TinyFile], variant: str) -> None:
    sequences, chunks = MIXED
    file = tiny_file(variant)
    for tokens, logits in zip(sequences, run(executor_of(file, "compiled"), sequences, chunks), strict=True):
        expected = file.logits(tokens)
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("weights", ["f32", "bf16", "f16", "q8_0"])
@pytest.mark.parametrize("activations", [torch.float32, torch.bfloat16])
def test_lower_precision_is_rounding_only(
    any_tiny_file: TinyFile, weights: Any, activations: torch.dtype
) -> None:
    executor = executor_of(any_tiny_file, "reference", weights=weights, activations=activations)
    exact = weights == "f32" and activations == torch.float32
    for tokens, logits in zip(MIXED[0], run(executor, *MIXED), strict=True):
        expected = any_tiny_file.logits(tokens)
        error = (logits - expected).square().mean().sqrt() / expected.square().mean().sqrt()
        assert error < (1e-5 if exact else 0.08 if weights == "q8_0" else 0.04)
