import pytest
import torch
from kernel_testing import ACTIVATIONS, INTERPRETED, Guarded, assert_close, integers, normal
from torch import Tensor
from wkv7_testing import LOWEST_LOG_W, Tokens, ends, random_tokens

from kernels.reference.wkv7 import wkv7 as oracle
from kernels.wkv7 import bytes_moved, flops, wkv7
from kernels.wkv7_arguments import DIRECT, FRESH

HEADS = 2
DELAYED = 0  # a log length: not for this kernel


def states(slots: int, head_size: int, seed: int = 7) -> Tensor:
    return normal((slots, HEADS, head_size, head_size), seed=seed)


def run(tokens: Tokens, lens: list[int], state: Tensor, slots: list[int], modes: list[int], out: Tensor) -> Tensor:
    return wkv7(*tokens, state, integers(slots), ends(lens), integers(modes), out, max(lens))


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("head_size", [16, 32, 64])
@pytest.mark.parametrize(
    ("lens", "slots", "modes"),
    [
        ([1, 1, 1], [3, 0, 2], [DIRECT, DIRECT, FRESH, DIRECT]),
        ([5, 0, 3, 1, 2], [4, 1, -1, 0, 2], [DIRECT, FRESH, DELAYED, DIRECT, FRESH]),
    ],
    ids=["decode", "mix"],
)
def test_equals_oracle(
    lens: list[int], slots: list[int], modes: list[int], head_size: int, dtype: torch.dtype, guarded: Guarded
) -> None:
    tokens = random_tokens(sum(lens), HEADS, head_size, dtype)
    expected_state = states(len(modes), head_size)
    expected_state[torch.tensor(modes) == FRESH] = float("nan")  # memory that nobody may read
    state = guarded(tuple(expected_state.shape), torch.float32).copy_(expected_state)
    out, expected = (guarded(tuple(tokens.r.shape), torch.float32) for _ in range(2))
    assert run(tokens, lens, state, slots, modes, out) is out
    oracle(*tokens, expected_state, integers(slots), ends(lens), integers(modes), expected, max(lens))
    for result, wanted in ((out, expected), (state, expected_state)):
        untouched = wanted.isnan()
        assert torch.equal(result.isnan(), untouched)
        assert_close(result[~untouched], wanted[~untouched], torch.float32)


def test_padding_and_delayed_sequences_are_left_alone(guarded: Guarded) -> None:
    tokens = random_tokens(3, HEADS, 16, torch.float32)
    state = states(2, 16)
    before = state.clone()
    out = run(tokens, [1, 2], state, [-1, 1], [DIRECT, DELAYED], guarded((3, HEADS, 16), torch.float32))
    assert (out[0] == 0).all()
    assert out[1:].isnan().all()
    assert torch.equal(state, before)


@pytest.mark.parametrize("kind", ["slow", "fast", "identical keys"])
def test_holds_for_long_queries_in_double(kind: str) -> None:
    length = 20 if INTERPRETED else 100
    tokens = random_tokens(length, HEADS, 32, torch.float32)
    if kind == "identical keys":  # the state is corrected along one direction, again and again
        a = torch.nn.functional.normalize(normal((1, HEADS, 32)), dim=-1).expand(length, -1, -1).contiguous()
        tokens = tokens._replace(k=a, a=-a, b=a)
    tokens.log_w.fill_({"slow": 0.0, "fast": LOWEST_LOG_W, "identical keys": -1e-4}[kind])
    state = states(1, 32)
    exact, expected = state.double(), tokens.r.double()
    arguments = integers([0]), ends([length]), integers([DIRECT])
    oracle(*tokens.double(), exact, *arguments, expected, length)
    out = run(tokens, [length], state, [0], [DIRECT], torch.empty_like(tokens.r))
    assert_close(out, expected, torch.float32)
    assert_close(state, exact, torch.float32)


@pytest.mark.parametrize("cut", [0, 1, 4, 8])
def test_splitting_a_query_changes_no_bit(cut: int) -> None:
    tokens = random_tokens(9, HEADS, 64, torch.float16)
    whole, split = states(1, 64), states(1, 64)
    expected = run(tokens, [9], whole, [0], [FRESH], torch.empty_like(tokens.log_w))
    first = run(tokens.at(0, cut), [cut], split, [0], [FRESH], torch.empty_like(tokens.log_w[:cut]))
    second = run(tokens.at(cut, 9), [9 - cut], split, [0], [DIRECT], torch.empty_like(tokens.log_w[cut:]))
    assert torch.equal(torch.cat((first, second)), expected)
    assert torch.equal(split, whole)


def test_a_sequence_does_not_depend_on_its_batch() -> None:
    lens = [1, 6, 3]
    tokens = random_tokens(10, HEADS, 64, torch.float32)
    together, alone = states(3, 64), states(3, 64)
    out = run(tokens, lens, together, [2, 0, 1], [DIRECT] * 3, torch.empty_like(tokens.r))
    for length, first, slot in zip(lens, (0, 1, 7), (2, 0, 1), strict=True):
        part = tokens.at(first, first + length)
        single = run(part, [length], alone, [slot], [DIRECT] * 3, torch.empty_like(part.r))
        assert torch.equal(single, out[first : first + length])
    assert torch.equal(together, alone)


def test_snapshots_are_the_states_of_shorter_runs() -> None:
    lens, slots = [3, 4], [5, 1]
    tokens = random_tokens(7, HEADS, 32, torch.float32)
    state = states(6, 32)
    shorter = state.clone()
    modes = integers([DIRECT] * 6)
    snapshots = integers([-1, 0, -1, 4, -1, 2, 3])  # of the last token too
    out = torch.empty_like(tokens.r)
    wkv7(*tokens, state, integers(slots), ends(lens), modes, out, 4, snapshots)
    for first, slot, copies in ((0, 5, {2: 0}), (3, 1, {1: 4, 3: 2, 4: 3})):
        for steps, copy in copies.items():
            part, short = tokens.at(first, first + steps), shorter.clone()
            run(part, [steps], short, [slot], [DIRECT] * 6, torch.empty_like(part.r))
            assert torch.equal(state[copy], short[slot])
    assert torch.equal(state[3], state[1])


def test_oracle_takes_snapshots() -> None:
    tokens = random_tokens(3, HEADS, 16, torch.float32)
    state, expected = states(2, 16), states(2, 16)
    arguments = integers([0]), ends([3]), integers([DIRECT, DIRECT])
    for function, memory in ((wkv7, state), (oracle, expected)):
        function(*tokens, memory, *arguments, torch.empty_like(tokens.r), 3, integers([-1, 1, -1]))
    assert_close(state, expected, torch.float32)


def test_cost() -> None:
    assert bytes_moved([1, 3], 2, 16, torch.float16) == 2 * (2 * 2 * 1024 + 4 * 16 * (5 * 2 + 4 + 4))
    assert flops([1, 3], 2, 16) == 4 * 2 * (9 * 256 + 10 * 16)


WRONG = {
    "k": {"k": normal((2, HEADS, 16)).half()},
    "log_w": {"log_w": normal((2, HEADS, 16)).half()},
    "state": {"state": normal((2, HEADS, 16, 8))},
    "slots": {"slots": integers([0], torch.int64)},
    "cu_seqlens": {"cu_seqlens": integers([0, 1, 2])},
    "log_lens": {"log_lens": integers([DIRECT])},
    "out": {"out": normal((2, HEADS, 16)).half()},
    "snapshots": {"snapshots": integers([0])},
    "r": {"r": normal((2, HEADS, 24))},
}


@pytest.mark.parametrize("name", WRONG)
def test_names_the_wrong_argument(name: str) -> None:
    arguments = random_tokens(2, HEADS, 16, torch.float32)._asdict() | {
        "state": states(2, 16), "slots": integers([0]), "cu_seqlens": ends([2]),
        "log_lens": integers([DIRECT, DIRECT]), "out": normal((2, HEADS, 16)), "max_query_len": 2,
    }  # fmt: skip
    with pytest.raises(ValueError, match=f"^{name}: "):
        wkv7(**(arguments | WRONG[name]))
