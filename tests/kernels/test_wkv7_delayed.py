from functools import partial

import pytest
import torch
from kernel_testing import ACTIVATIONS, INTERPRETED, Guarded, assert_close, integers, normal
from torch import Tensor
from wkv7_testing import LOWEST_LOG_W, Tokens, ends, random_tokens

from kernels.reference.wkv7 import wkv7 as recurrence
from kernels.reference.wkv7_delayed import wkv7_delayed as oracle
from kernels.reference.wkv7_delayed import wkv7_fold as fold_oracle
from kernels.wkv7 import wkv7
from kernels.wkv7_arguments import DIRECT, FRESH
from kernels.wkv7_delayed import (
    bytes_moved,
    flops,
    fold_bytes_moved,
    fold_flops,
    wkv7_delayed,
    wkv7_fold,
)

HEADS, M = 2, 6


class Memory:
    """States, and logs whose entries past log_lens are poison."""

    def __init__(self, slots: int, head_size: int, log_lens: list[int], guarded: Guarded) -> None:
        shape = slots, HEADS, head_size, head_size
        self.state = guarded(shape, torch.float32).copy_(normal(shape, seed=7))
        self.log = guarded((slots, M, 5, HEADS, head_size), torch.float32)
        self.log_lens = integers(log_lens)
        for slot, length in enumerate(log_lens):
            if length > 0:
                self.log[slot, :length] = torch.stack(
                    random_tokens(length, HEADS, head_size, torch.float32, slot)[1:], 1
                )

    def run(self, function, tokens: Tokens, lens: list[int], slots: list[int], out: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return function(*tokens, self.state, self.log, integers(slots), ends(lens), self.log_lens, out)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    untouched = expected.isnan()
    assert torch.equal(actual.isnan(), untouched)
    assert_close(actual[~untouched], expected[~untouched], torch.float32)


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("head_size", [16, 32, 64])
@pytest.mark.parametrize(
    ("lens", "slots", "log_lens"),
    [
        ([1, 1, 1, 1], [3, 0, 2, 1], [0, 5, 2, 1]),
        ([4, 0, 2, 1, 1, 6], [4, 1, -1, 0, 2, 3], [DIRECT, 3, FRESH, 0, 2]),
    ],
    ids=["decode", "verification"],
)
def test_equals_oracle(
    lens: list[int], slots: list[int], log_lens: list[int], head_size: int, dtype: torch.dtype, guarded: Guarded
) -> None:
    tokens = random_tokens(sum(lens), HEADS, head_size, dtype, seed=9)
    actual, expected = (Memory(len(log_lens), head_size, log_lens, guarded) for _ in range(2))
    out, wanted = (guarded(tuple(tokens.r.shape), torch.float32) for _ in range(2))
    base = actual.state.clone()
    assert actual.run(wkv7_delayed, tokens, lens, slots, out) is out
    expected.run(oracle, tokens, lens, slots, wanted)
    assert_same(out, wanted)
    assert torch.equal(actual.log.nan_to_num(), expected.log.nan_to_num())  # what was appended, and nothing else
    assert torch.equal(actual.state, base)


@pytest.mark.parametrize("kind", ["random", "slow", "fast", "identical keys"])
def test_equals_the_recurrence_in_double(kind: str, guarded: Guarded) -> None:
    tokens = random_tokens(M, HEADS, 32, torch.float32)
    if kind == "identical keys":
        a = torch.nn.functional.normalize(normal((1, HEADS, 32)), dim=-1).expand(M, -1, -1).contiguous()
        tokens = tokens._replace(k=a, a=-a, b=a)
    if kind != "random":
        tokens.log_w.fill_({"slow": 0.0, "fast": LOWEST_LOG_W, "identical keys": -1e-4}[kind])
    memory = Memory(1, 32, [0], guarded)
    exact, expected = memory.state.double(), tokens.r.double()
    recurrence(*tokens.double(), exact, integers([0]), ends([M]), integers([DIRECT]), expected, M)
    out = memory.run(wkv7_delayed, tokens, [M], [0], torch.empty_like(tokens.r))
    assert_close(out, expected, torch.float32)
    wkv7_fold(memory.state, memory.log, integers([0]), integers([M]))
    assert_close(memory.state, exact, torch.float32)


@pytest.mark.parametrize("dtype", ACTIVATIONS)
def test_folding_is_the_recurrence_bit_for_bit(dtype: torch.dtype, guarded: Guarded) -> None:
    tokens = random_tokens(M, HEADS, 64, dtype)
    memory = Memory(2, 64, [0, 0], guarded)
    direct = memory.state.clone()
    memory.run(wkv7_delayed, tokens, [M], [1], torch.empty_like(tokens.log_w))
    for modes, part in (([0, DIRECT], tokens.at(0, 4)), ([0, DIRECT], tokens.at(4, M))):
        length = len(part.r)
        wkv7(*part, direct, integers([1]), ends([length]), integers(modes), torch.empty_like(part.log_w), length)
        if length == 4:
            wkv7_fold(memory.state, memory.log, integers([1, -1]), integers([5, 4]))
            assert torch.equal(memory.state, direct)
            memory.log[1, :2] = memory.log[1, 4:].clone()
            wkv7_fold(memory.state, memory.log, integers([0, 1]), integers([0, 2]))
    assert torch.equal(memory.state, direct)


@pytest.mark.skipif(INTERPRETED, reason="only compiled kernels are invariant")
@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("cuts", [[6], [1, 1, 1, 1, 1, 1], [3, 1, 2]])
def test_the_invariant_form_is_the_recurrence_bit_for_bit(
    cuts: list[int], dtype: torch.dtype, guarded: Guarded
) -> None:
    tokens = random_tokens(M, HEADS, 64, dtype)
    memory, first = Memory(1, 64, [0], guarded), 0
    direct, expected = memory.state.clone(), torch.empty_like(tokens.log_w)
    wkv7(*tokens, direct, integers([0]), ends([M]), integers([DIRECT]), expected, M)
    for size in cuts:
        part, memory.log_lens = tokens.at(first, first + size), integers([first])
        out = memory.run(partial(wkv7_delayed, invariant=True), part, [size], [0], torch.empty_like(part.log_w))
        assert torch.equal(out, expected[first : first + size])
        first += size
    wkv7_fold(memory.state, memory.log, integers([0]), integers([M]))
    assert torch.equal(memory.state, direct)


def test_fold_equals_oracle(guarded: Guarded) -> None:
    actual, expected = (Memory(4, 32, [3, 1, 6, 2], guarded) for _ in range(2))
    slots, fold_lens = integers([2, -1, 0, 3]), integers([1, 1, 6, 0])
    assert wkv7_fold(actual.state, actual.log, slots, fold_lens) is actual.state
    fold_oracle(expected.state, expected.log, slots, fold_lens)
    assert_close(actual.state, expected.state, torch.float32)
    untouched = [1, 3]
    assert torch.equal(actual.state[untouched], expected.state[untouched])


def test_rolling_back_is_never_having_drafted(guarded: Guarded) -> None:
    drafted, plain = (Memory(1, 32, [1], guarded) for _ in range(2))
    tokens = random_tokens(6, HEADS, 32, torch.float32, seed=9)
    out = drafted.run(wkv7_delayed, tokens.at(0, 4), [4], [0], torch.empty_like(tokens.r[:4]))
    drafted.log_lens = integers([2])  # one of the four is kept
    kept = plain.run(wkv7_delayed, tokens.at(0, 1), [1], [0], torch.empty_like(tokens.r[:1]))
    assert torch.equal(out[:1], kept)
    plain.log_lens = integers([2])
    after = [m.run(wkv7_delayed, tokens.at(4, 6), [2], [0], torch.empty_like(tokens.r[:2])) for m in (drafted, plain)]
    assert torch.equal(after[0], after[1])


def test_tokens_of_one_call_are_those_of_many(guarded: Guarded) -> None:
    together, single = (Memory(2, 64, [0, 2], guarded) for _ in range(2))
    tokens = random_tokens(4, HEADS, 64, torch.float16)
    out = together.run(wkv7_delayed, tokens, [4], [1], torch.empty_like(tokens.log_w))
    for t in range(4):
        single.log_lens = integers([0, 2 + t])
        row = single.run(wkv7_delayed, tokens.at(t, t + 1), [1], [1], torch.empty_like(tokens.log_w[:1]))
        assert torch.equal(row[0], out[t])
    assert torch.equal(single.log[1], together.log[1])


def test_one_step_of_all_modes(guarded: Guarded) -> None:
    """Fresh, direct, delayed and padding sequences in one step, as a model runs it."""
    lens, slots, modes = [3, 1, 2, 1, 1], [2, 0, 3, -1, 1], [2, DIRECT, FRESH, 0]
    tokens = random_tokens(sum(lens), HEADS, 32, torch.float32)
    memory, alone = (Memory(4, 32, modes, guarded) for _ in range(2))
    out = guarded((sum(lens), HEADS, 32), torch.float32)
    wkv7(*tokens, memory.state, integers(slots), ends(lens), memory.log_lens, out, 3)
    memory.run(wkv7_delayed, tokens, lens, slots, out)
    for length, slot, first in zip(lens, slots, (0, 3, 4, 6, 7), strict=True):
        part, row = tokens.at(first, first + length), guarded((length, HEADS, 32), torch.float32)
        if slot >= 0 and modes[slot] < 0:
            wkv7(*part, alone.state, integers([slot]), ends([length]), alone.log_lens, row, length)
        else:
            alone.run(wkv7_delayed, part, [length], [slot], row)
        assert torch.equal(out[first : first + length], row)
    assert torch.equal(memory.state, alone.state)
    assert torch.equal(memory.log.nan_to_num(), alone.log.nan_to_num())


def test_cost() -> None:
    vector = 2 * 16 * 4
    state, entry = 16 * vector, 5 * vector
    assert bytes_moved([1, 2], [3, 0], 2, 16, torch.float32) == 2 * state + (3 + 3) * entry + 3 * 7 * vector
    assert flops([1, 2], [3, 0], 2, 16) == 2 * (3 * 2 * 256 + (4 + 1 + 2) * 160)
    assert fold_bytes_moved([3, 1], 2, 16) == 2 * 2 * state + 4 * entry
    assert fold_flops([3, 1], 2, 16) == 2 * 4 * (7 * 256 + 16)


WRONG = {
    "v": {"v": normal((2, HEADS, 16)).half()},
    "log": {"log": normal((2, M, 4, HEADS, 16))},
    "log_lens": {"log_lens": integers([0])},
    "out": {"out": normal((1, HEADS, 16))},
}


@pytest.mark.parametrize("name", WRONG)
def test_names_the_wrong_argument(name: str) -> None:
    arguments = random_tokens(2, HEADS, 16, torch.float32)._asdict() | {
        "state": normal((2, HEADS, 16, 16)), "log": normal((2, M, 5, HEADS, 16)), "slots": integers([0]),
        "cu_seqlens": ends([2]), "log_lens": integers([0, 0]), "out": normal((2, HEADS, 16)),
    }  # fmt: skip
    with pytest.raises(ValueError, match=f"^{name}: "):
        wkv7_delayed(**(arguments | WRONG[name]))


def test_fold_names_the_wrong_argument() -> None:
    log = normal((2, M, 5, HEADS, 16))
    with pytest.raises(ValueError, match=r"^state: "):
        wkv7_fold(normal((2, HEADS, 16, 16)).half(), log, integers([0]), integers([1, 1]))
    with pytest.raises(ValueError, match=r"^fold_lens: "):
        wkv7_fold(normal((2, HEADS, 16, 16)), log, integers([0]), integers([1]))
