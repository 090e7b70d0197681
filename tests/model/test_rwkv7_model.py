"""RWKV-7 in any chunks, mixtures and batches, with drafts taken back, gives the logits of a plain forward pass."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_rwkv7 import plain_rwkv7
from tiny_rwkv7 import VOCABULARY, tiny_rwkv7, write_pth

from kernels.ops import load_ops
from model.executor import ModelExecutor
from model.pth_file import PthFile
from model.rwkv7_config import rwkv7_config
from model.rwkv7_model import Rwkv7
from model.rwkv7_names import OFFICIAL
from model.rwkv7_weights import read_rwkv7_weights
from model.sequence_step import SequenceStep
from model.state_cache import StateCache

SLOTS, LOG = 6, 4
CPU = torch.device("cpu")
Executor = ModelExecutor[StateCache]
MakeExecutor = Callable[..., Executor]


class Feed(NamedTuple):
    """What one sequence gets in a step: so many of its tokens, then so many drafts, which are wrong."""

    tokens: int
    drafts: int


class Schedule(NamedTuple):
    sequences: list[list[int]]
    steps: list[list[Feed]]


@pytest.fixture(autouse=True)
def poisoned_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activations begin as NaN: who reads what nobody wrote is found out."""
    empty = torch.empty

    def poisoned(*arguments: Any, **options: Any) -> torch.Tensor:
        tensor = empty(*arguments, **options)
        return tensor.fill_(math.nan) if tensor.is_floating_point() else tensor

    monkeypatch.setattr("model.buffer_pool.torch.empty", poisoned)


@pytest.fixture(scope="module")
def make_executor(tmp_path_factory: pytest.TempPathFactory) -> MakeExecutor:
    path: Path = write_pth(tmp_path_factory.mktemp("rwkv7") / "tiny.pth", tiny_rwkv7())
    file = PthFile(path)
    config = rwkv7_config(file, OFFICIAL)
    exact = read_rwkv7_weights(file, OFFICIAL, config, "f32", CPU)

    def make(backend: Any = "reference", log: int = LOG, weights: Any = "f32", dtype: Any = torch.float32) -> Executor:
        read = read_rwkv7_weights(file, OFFICIAL, config, weights, CPU)
        read = read._replace(embedding=exact.embedding)
        cache = StateCache(config, SLOTS, log, CPU)
        return ModelExecutor(Rwkv7(config, read, dtype, CPU), cache, load_ops(backend))

    return make


def run(executor: Executor, schedule: Schedule) -> list[torch.Tensor]:
    """The logits after every token of each sequence."""
    slots = [4, 0, 5, 2, 1][: len(schedule.sequences)]
    done = [0] * len(slots)
    logits: list[list[torch.Tensor]] = [[] for _ in slots]
    for feeds in schedule.steps:
        picked = [i for i, feed in enumerate(feeds) if feed.tokens]
        steps = []
        for i in picked:
            fed = schedule.sequences[i][done[i] : done[i] + feeds[i].tokens] + [7] * feeds[i].drafts
            steps.append(SequenceStep(fed, done[i], [slots[i]], len(fed)))
        rows = executor.step(steps).clone()
        for i, part in zip(picked, rows.split([step.n_logits for step in steps]), strict=True):
            logits[i].append(part[: feeds[i].tokens])
            done[i] += feeds[i].tokens
    return [torch.cat(parts) for parts in logits]


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    tokens = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12)
    sequences = draw(st.lists(tokens, min_size=1, max_size=5))
    left, steps = [len(tokens) for tokens in sequences], []
    while any(left):
        largest = draw(st.sampled_from([1, 1, 1, 3, 14]))
        counts = [draw(st.integers(0, min(n, largest))) for n in left]
        if not any(counts):
            counts = [min(n, 1) for n in left]
        started = [n < len(tokens) for n, tokens in zip(left, sequences, strict=True)]
        room = [LOG - count if ok and count else 0 for ok, count in zip(started, counts, strict=True)]
        steps.append([Feed(n, draw(st.integers(0, max(0, most)))) for n, most in zip(counts, room, strict=True)])
        left = [n - count for n, count in zip(left, counts, strict=True)]
    return Schedule(sequences, steps)


def without_drafts(schedule: Schedule) -> Schedule:
    return Schedule(schedule.sequences, [[Feed(feed.tokens, 0) for feed in step] for step in schedule.steps])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=schedules(), log=st.sampled_from([0, LOG]))
def test_no_schedule_changes_logits(make_executor: MakeExecutor, schedule: Schedule, log: int) -> None:
    results = run(make_executor(log=log), schedule if log else without_drafts(schedule))
    for tokens, logits in zip(schedule.sequences, results, strict=True):
        expected = plain_rwkv7(tiny_rwkv7(), tokens)[0].float()
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


TOKENS = [[5, 9, 200, 31, 7, 77, 8, 1, 1, 1, 30, 42], [100] * 9, [250, 1, 2, 3], list(range(40))]
STEPS = [[6, 1, 0, 0], [1, 1, 1, 35], [1, 1, 1, 1], [1, 3, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 0, 1]]
MIXED = Schedule(TOKENS, [[Feed(n, 0) for n in step] for step in STEPS])


@pytest.mark.parametrize("log", [0, LOG])
def test_compiled_kernels_agree(make_executor: MakeExecutor, log: int) -> None:
    for tokens, logits in zip(TOKENS, run(make_executor("compiled", log), MIXED), strict=True):
        expected = plain_rwkv7(tiny_rwkv7(), tokens)[0].float()
        torch.testing.assert_close(logits, expected, rtol=0, atol=5e-5 * float(expected.abs().max()))


def rounded(tensors: dict[str, torch.Tensor], weights: str) -> dict[str, torch.Tensor]:
    """The tensors with matrices as the kernels see them, the embedding excepted."""

    def as_stored(tensor: torch.Tensor) -> torch.Tensor:
        if weights != "q8_0":
            return tensor.to({"bf16": torch.bfloat16, "f16": torch.float16}[weights]).float()
        if tensor.shape[1] % 32:
            return tensor
        blocks = gguf.quants.quantize(tensor.contiguous().numpy(), gguf.GGMLQuantizationType.Q8_0)
        return torch.from_numpy(gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0))

    def of(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() != 2 or name == "emb.weight" or name.endswith("r_k"):
            return tensor
        is_turned = name[-2:] in ("w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2")
        return as_stored(tensor.t()).t() if is_turned else as_stored(tensor)

    return {name: of(name, tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 5e-5), (torch.float16, 0.005), (torch.bfloat16, 0.04)]
)
@pytest.mark.parametrize("weights", ["bf16", "f16", "q8_0"])
def test_any_weights_are_read_exactly_and_activations_only_rounded(
    make_executor: MakeExecutor, weights: str, dtype: torch.dtype, tolerance: float
) -> None:
    tensors = rounded(tiny_rwkv7(), weights)
    for tokens, logits in zip(TOKENS, run(make_executor("compiled", LOG, weights, dtype), MIXED), strict=True):
        expected = plain_rwkv7(tensors, tokens)[0].float()
        error = (logits - expected).square().mean().sqrt() / expected.square().mean().sqrt()
        # One token again and again makes every rounding a hundred times larger: too much for short types.
        assert error < tolerance or (dtype != torch.float32 and len(set(tokens)) == 1)


@pytest.mark.parametrize("backend", ["reference", "compiled"])
def test_rows_that_nobody_wants_change_nothing(make_executor: MakeExecutor, backend: str) -> None:
    """Most of the last layer runs on the wanted rows only, some of a sequence's or none."""
    executor, slots = make_executor(backend), [1, 4, 2, 0]
    done = [0] * len(TOKENS)
    for number, sizes in enumerate(STEPS):
        steps, expected = [], []
        for i, size in enumerate(sizes):
            if size:
                wanted = (number + i) % min(size + 1, 3)
                chunk = TOKENS[i][done[i] : done[i] + size]
                steps.append(SequenceStep(chunk, done[i], [slots[i]], wanted))
                done[i] += size
                expected.append(plain_rwkv7(tiny_rwkv7(), TOKENS[i][: done[i]])[0][done[i] - wanted :])
        right = torch.cat(expected).float()
        logits = executor.step(steps)
        torch.testing.assert_close(logits, right, rtol=0, atol=2e-3)


@pytest.mark.parametrize("log", [0, LOG])
@pytest.mark.parametrize("cut", range(1, 9))
def test_a_saved_state_continues_bit_for_bit(make_executor: MakeExecutor, cut: int, log: int) -> None:
    executor, restored = make_executor("compiled", log), make_executor("compiled", log)
    tokens = TOKENS[0]

    def step(on: Executor, position: int, slot: int) -> torch.Tensor:
        batch = [SequenceStep(tokens[position : position + 1], position, [slot], 1)]
        return on.step(batch).clone()

    for position in range(cut):
        step(executor, position, 3)
    restored.cache.restore(executor.cache.save([3], cut), [1], cut)
    for position in range(cut, len(tokens)):
        assert torch.equal(step(executor, position, 3), step(restored, position, 1))


def test_states_of_others_stay_as_they_are(make_executor: MakeExecutor) -> None:
    executor = make_executor("compiled")
    first = [SequenceStep([1, 2, 3], 0, [slot], 1) for slot in (0, 2, 5)]
    executor.step(first)
    before = {slot: executor.cache.save([slot], 3) for slot in (0, 2)}
    for cached in (3, 4):
        executor.step([SequenceStep([9], cached, [5], 1)])
    for slot, saved in before.items():
        for name, tensor in executor.cache.save([slot], 3).items():
            assert torch.equal(tensor, saved[name])


def test_a_state_that_is_not_there_is_refused(make_executor: MakeExecutor) -> None:
    executor = make_executor()
    executor.step([SequenceStep([1, 2, 3, 4, 5], 0, [0], 1)])
    with pytest.raises(ValueError, match="slot 0 is that of 5 tokens, of which the last 0 can be taken back"):
        executor.step([SequenceStep([1], 4, [0], 1)])
    with pytest.raises(ValueError, match="cannot continue after 9"):
        executor.step([SequenceStep([1], 9, [0], 1)])
