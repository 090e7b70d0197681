"""Captured steps: what they give, and leave in memory, is that of the same launches made one by one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import TinyFile
from tiny_rwkv7 import tiny_rwkv7, write_pth

from kernels.ops import load_ops
from model.batch import StepShape, make_batch, step_shape
from model.executor import ModelExecutor
from model.kv_cache import KVCache
from model.loader import load_model
from model.pth_file import PthFile
from model.rwkv7_config import rwkv7_config
from model.rwkv7_model import Rwkv7
from model.rwkv7_names import OFFICIAL
from model.rwkv7_weights import read_rwkv7_weights
from model.sequence_step import SequenceStep
from model.state_cache import StateCache
from model.step_graph import graph_shape

SEQUENCES, LOG, BLOCK_SIZE = 12, 6, 4
CPU = torch.device("cpu")
Make = Callable[[], ModelExecutor[Any]]


@pytest.fixture(scope="module", params=["llama", "rwkv7"])
def make(
    request: pytest.FixtureRequest, tiny_file: Callable[[str], TinyFile], tmp_path_factory: pytest.TempPathFactory
) -> Make:
    ops = load_ops("compiled")
    if request.param == "llama":
        loaded = load_model(tiny_file("q4_1 with q8_0 head").path, max_context=64, activations=torch.bfloat16)
        blocks = SEQUENCES * 64 // BLOCK_SIZE
        return lambda: ModelExecutor(loaded.model, KVCache(loaded.config, blocks, BLOCK_SIZE, torch.bfloat16, CPU), ops)
    file = PthFile(write_pth(tmp_path_factory.mktemp("graphs") / "tiny.pth", tiny_rwkv7()))
    config = rwkv7_config(file, OFFICIAL)
    model = Rwkv7(config, read_rwkv7_weights(file, OFFICIAL, config, "bf16", CPU), torch.bfloat16, CPU)
    return lambda: ModelExecutor(model, StateCache(config, SEQUENCES, LOG, CPU), ops)


class Feed(NamedTuple):
    sequence: int
    tokens: list[int]
    wanted: int
    lookahead: int


def steps_of(feeds: list[Feed], done: list[int], cache: Any) -> list[SequenceStep]:
    pages = 64 // BLOCK_SIZE if cache.truncates else 1
    return [
        SequenceStep(
            feed.tokens,
            done[feed.sequence],
            [feed.sequence + SEQUENCES * page for page in range(pages)],
            feed.wanted,
            feed.lookahead,
        )
        for feed in feeds
    ]


@st.composite
def steps(draw: st.DrawFn) -> list[Feed]:
    chosen = draw(st.lists(st.integers(0, SEQUENCES - 1), min_size=1, max_size=SEQUENCES, unique=True))
    most, all_logits = draw(st.sampled_from([1, 1, 2, 5])), draw(st.sampled_from([True, True, False]))
    lookahead = draw(st.sampled_from([0, 0, 1]))  # of states: the same shape with a log and without
    feeds = []
    for sequence in chosen:
        tokens = draw(st.lists(st.integers(0, 255), min_size=1, max_size=most))
        wanted = len(tokens) if all_logits else draw(st.integers(0, len(tokens)))
        feeds.append(Feed(sequence, tokens, wanted, lookahead))
    return feeds


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=st.lists(steps(), min_size=1, max_size=8))
def test_replays_equal_launches_bit_for_bit(make: Make, program: list[list[Feed]]) -> None:
    captured, launched = make(), make()
    compare(captured, launched, program + program)  # so that every shape is replayed


@pytest.mark.parametrize("wanted", [0, 1, 20])
def test_so_do_those_of_long_prompts(make: Make, wanted: int) -> None:
    """Also where no logits are wanted, as the end of a prompt is yet to come."""
    counts = [*range(10, 20), 20]
    feeds = [Feed(i, [7 * i + j for j in range(count)], min(count, wanted), 0) for i, count in enumerate(counts)]
    captured = make()
    compare(captured, make(), [feeds, feeds[::-1], feeds])
    assert captured.replay_timing.steps == 2


def test_shapes_that_were_not_used_for_long_are_forgotten(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.executor.MOST_GRAPHS", 2)
    captured = make()
    program = [[Feed(i, [1], 1, 0) for i in range(count)] for count in (1, 2, 1, 3, 1, 2)]
    compare(captured, make(), program)
    assert captured.replay_timing.steps == 2  # those of one sequence, which were used in between
    assert len(captured._graphs) == 2


def compare(captured: ModelExecutor[Any], launched: ModelExecutor[Any], program: list[list[Feed]]) -> None:
    done = [0] * SEQUENCES
    for feeds in program:
        steps = steps_of(feeds, done, captured.cache)
        launched.cache.prepare(steps)
        batch = make_batch(steps, launched.cache.block_size, CPU)
        expected = launched.model.forward(batch, launched.cache, launched.ops).clone()
        logits = captured.step(steps)
        assert torch.equal(logits, expected[: len(logits)]) and len(logits) == len(batch.logit_rows)
        for feed in feeds:
            done[feed.sequence] += len(feed.tokens)
    for feed in (feed for feeds in program for feed in feeds):
        (last,) = steps_of([feed], done, captured.cache)
        kept, other = (run.cache.save(last.blocks, done[feed.sequence]) for run in (captured, launched))
        assert all(torch.equal(kept[name], other[name]) for name in kept)


def shape(*steps: tuple[int, int]) -> StepShape | None:
    """Of a step of sequences with so many tokens and wanted rows."""
    return graph_shape(step_shape([SequenceStep([1] * tokens, 5, range(40), wanted) for tokens, wanted in steps]))


def test_steps_are_padded_to_few_shapes() -> None:
    assert shape((1, 1)) == (1, 1, 1, 1)
    assert shape(*[(1, 1)] * 5) == (8, 5, 5, 1)
    assert shape(*[(1, 1)] * 9) == shape(*[(1, 1)] * 15) == (16, 16, 16, 1)
    assert shape(*[(1, 1)] * 20) == (32, 32, 32, 1)
    assert shape(*[(1, 1)] * 300) == (512, 304, 304, 1)
    assert shape((900, 1), (125, 1)) == shape((1024, 1), (10, 0), (20, 1)) == (4, 1088, 2, 1024)
    assert shape((3, 3)) == (1, 3, 3, 4)
    assert shape((8, 8), (8, 8)) == (2, 16, 16, 8)
    assert shape((8, 8), (7, 7)) == (4, 16, 16, 8)  # one of them has the token that nobody fed
    assert shape(*[(5, 5)] * 15) == shape(*[(5, 5)] * 16) == (16, 80, 80, 8)


def test_steps_need_not_want_all_logits() -> None:
    assert shape((3, 1)) == (1, 3, 1, 4)
    assert shape((9, 1), (1, 0)) == (4, 16, 1, 16)
    assert shape((3, 1), *[(1, 1)] * 10) == shape((4, 1), *[(1, 1)] * 11) == (16, 16, 15, 4)


    assert shape((512, 0)) == (1, 512, 0, 512)


def test_large_steps_are_not_captured() -> None:
    assert shape((2048, 1)) is not None
    assert shape((2049, 1)) is None
