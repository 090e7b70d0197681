"""Decode steps: replayed from their first launches, harmless to everybody else's cache."""

from collections.abc import Callable

import pytest
import torch
from tiny_model import TinyFile

from kernels.ops import load_ops
from model.executor import ModelExecutor
from model.kv_cache import KVCache
from model.loader import load_model
from model.sequence_step import SequenceStep

VARIANT = "q4_0 grouped untied"


@pytest.fixture
def executor(tiny_file: Callable[[str], TinyFile]) -> ModelExecutor:
    loaded = load_model(tiny_file(VARIANT).path, max_context=32)
    cache = KVCache(loaded.config, 24, 4, torch.float32, torch.device("cpu"))
    return ModelExecutor(loaded.model, cache, load_ops("reference"))


def decode(token: int, cached: int, block: int) -> SequenceStep:
    return SequenceStep([token], cached, list(range(block, block + cached // 4 + 1)), 1)


def test_padding_rows_write_nothing(executor: ModelExecutor) -> None:
    blocks = range(3, 21, 2)  # nine sequences take the room of 16
    executor.step([decode(block, 0, block) for block in [*blocks, 21]])
    before = executor.cache.k.clone()
    executor.step([decode(block, 1, block) for block in blocks])
    changed = (executor.cache.k != before).any(dim=-1).any(dim=2).all(dim=0).nonzero().tolist()
    assert changed == [[block, 1] for block in blocks]
    assert torch.equal(executor.cache.k[:, 21], before[:, 21])


def test_replayed_steps_are_timed(executor: ModelExecutor) -> None:
    for position in range(4):
        executor.step([decode(7, position, 3)])
    timing = executor.replay_timing
    assert timing.steps == 3
    assert 0 < timing.replay_seconds < timing.seconds


def test_a_step_without_wanted_logits_gives_none(executor: ModelExecutor) -> None:
    logits = executor.step([SequenceStep([1, 2, 3], 0, [4], 0)])
    assert logits.shape == (0, executor.model.config.vocab_size)


def test_positions_beyond_the_context_are_refused(executor: ModelExecutor) -> None:
    executor.step([decode(1, 31, 0)])
    with pytest.raises(ValueError, match="position 32 is beyond the context of 32 tokens"):
        executor.step([decode(1, 32, 0)])
