"""The choice of lengths on a simulated clock: never slower than plain decoding, and hardly ever than a fixed length."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_decoding import CHANCES, COSTS, Simulation, Workload, adaptive, fixed

from runtime.speculation.draft_length import DraftLength
from runtime.speculation.fixed_length import FixedLength
from runtime.speculation.length import Candidate, Verified

FREE = [
    ("flat", "0.0", 1), ("flat", "0.6", 8), ("flat", "1.0", 4), ("slight", "0.8", 1), ("slight", "mixed", 8),
    ("quarter", "0.6", 1), ("quarter", "switch", 4), ("quarter", "runs", 1), ("half", "0.9", 1), ("half", "0.3", 4),
    ("linear", "0.9", 1), ("linear", "switch", 16), ("linear", "mixed", 4), ("steps of 4", "drift", 1),
    ("steps of 8", "0.8", 4), ("steps of 8", "runs", 1), ("powers of two", "quick drift", 4), ("fast path", "0.8", 1),
    ("fast path", "0.0", 8), ("superlinear", "1.0", 1), ("superlinear", "drift", 4),
]  # fmt: skip
COSTED = [
    ("flat", "drift", 8), ("slight", "0.9", 8), ("slight", "1.0", 1), ("slight", "drift", 4), ("quarter", "0.6", 1),
    ("half", "0.8", 1), ("linear", "0.9", 4), ("steps of 8", "0.0", 8), ("powers of two", "0.8", 1),
    ("fast path", "switch", 4),
]  # fmt: skip


def check(work: Workload, seed: int) -> None:
    chosen = adaptive(work, seed).seconds
    assert chosen <= 1.02 * fixed(work, 0, seed).seconds
    best = min(fixed(work, count, seed).seconds for count in (1, 2, 4, 8))
    assert chosen <= best / 0.95


@pytest.mark.parametrize(("cost", "chance", "sequences"), FREE)
def test_drafts_that_cost_nothing(cost: str, chance: str, sequences: int) -> None:
    check(Workload(COSTS[cost], CHANCES[chance], sequences, max(6000, 2000 * sequences)), 0)


@pytest.mark.parametrize(("cost", "chance", "sequences"), COSTED)
def test_drafts_of_a_model(cost: str, chance: str, sequences: int) -> None:
    plain = COSTS[cost](sequences, sequences)
    tokens = max(6000, 2000 * sequences)
    work = Workload(COSTS[cost], CHANCES[chance], sequences, tokens, round=0.1 * plain, read=0.02 * plain / sequences)
    check(work, 0)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(COSTS)),
    st.sampled_from(sorted(CHANCES)),
    st.integers(1, 6),
    st.booleans(),
    st.integers(0, 99),
)
def test_never_slower_than_plain_decoding(cost: str, chance: str, sequences: int, free: bool, seed: int) -> None:
    """Also where steps get slower, or sequences come and go, or drafts are rarely found."""
    plain = COSTS[cost](sequences, sequences)
    work = Workload(
        COSTS[cost], CHANCES[chance], sequences, 3000 * sequences,
        round=None if free else 0.1 * plain, read=0.02 * plain / sequences, found=0.7 if free else 1.0,
        request=400, slower=1.5, part=sequences // 2,
    )  # fmt: skip
    assert adaptive(work, seed).seconds <= 1.02 * fixed(work, 0, seed).seconds


def test_a_hopeless_drafter_is_hardly_ever_tried() -> None:
    run = adaptive(Workload(COSTS["half"], CHANCES["0.0"], 1, 5000))
    tried = [sum(counts) for counts in run.lengths]
    assert sum(tried[2000:]) > 0
    assert sum(tried) * 0.5 < 12 + 0.01 * 5000 * 1.1  # seconds, of which a plain step takes 1


def test_finds_out_when_a_drafter_becomes_good() -> None:
    work = Workload(COSTS["quarter"], lambda sequence, position, before: 0.9 if position > 2000 else 0.0, 1, 6000)
    run = Simulation(work, DraftLength(free=True))
    while run._made < 3000:
        run._step()
    assert sum(map(sum, run.lengths[-100:])) > 150


def test_likely_drafts_go_first() -> None:
    """Where only a few are worth their time, the sequences whose drafts are right get them."""
    run = adaptive(Workload(COSTS["quarter"], CHANCES["mixed"], 4, 8000))
    by_sequence = [sum(counts[i] for counts in run.lengths[-1000:]) for i in range(4)]
    assert by_sequence[3] > 3 * by_sequence[2] and by_sequence[3] > 50 * by_sequence[0]


def candidates(limits: list[int]) -> list[Candidate]:
    return [Candidate(i, 1, limit, 0, 100) for i, limit in enumerate(limits)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.booleans(), st.integers(0, 99))
def test_limits_are_kept(limits: list[int], free: bool, seed: int) -> None:
    length, luck = DraftLength(free), random.Random(seed)
    for _ in range(30):
        counts = length.choose(candidates(limits))
        assert all(0 <= count <= limit for count, limit in zip(counts, limits, strict=True))
        if not free and any(counts):
            counts = counts if luck.random() < 0.8 else [0] * len(counts)  # there was no memory for them
            length.drafted(counts, [luck.choice([-9, 0, 1, 99])] * len(counts), luck.choice([0.0, 1e-3, 1.0]))
        steps = [Verified(i, luck.randrange(1, 3), count, luck.randint(0, count)) for i, count in enumerate(counts)]
        length.verified(steps, luck.choice([None, 0.0, 1e-3, 10.0]))
        if luck.random() < 0.1:
            length.forget(0)


def test_fixed_length() -> None:
    assert FixedLength(3).choose(candidates([0, 2, 8])) == [0, 2, 3]
