"""Whatever is guessed, the tokens are those of plain decoding; and what is measured is what happened."""

import random
from itertools import count

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import VOCAB_SIZE, reference_ops, toy_continuation, toy_engine
from toy_sequence import toy_sequence

from runtime.config import FILTERS
from runtime.decoder.sampling import Sampling
from runtime.decoder.strategy import Accepted
from runtime.request import Request, SamplingParams
from runtime.scheduler import Scheduled
from runtime.sequence import Sequence
from runtime.speculation.draft_length import DraftLength
from runtime.speculation.fixed_length import FixedLength
from runtime.speculation.length import Candidate, Length, Verified
from runtime.speculation.ngram_drafter import NgramDrafter
from runtime.speculation.speculative_runner import SpeculativeRunner


class Guesser:
    """Knows the greedy continuation, and is wrong now and then."""

    def __init__(self, most: int, free: bool, wrong: float) -> None:
        self.most = most
        self.free = free
        self._wrong = wrong
        self._random = random.Random(0)

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        return [
            [token ^ (self._random.random() < self._wrong) for token in toy_continuation(sequence.tokens, limit)]
            for sequence, limit in zip(sequences, limits, strict=True)
        ]

    def behind(self, sequence: Sequence) -> int:
        return 0

    def forget(self, sequence: Sequence) -> None: ...


class Ticks:
    """A clock that gives each look at it another duration."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self._random.choice([0.0, 1e-4, 1e-3, 0.01])
        return self._now


def sampling() -> Sampling:
    return Sampling(reference_ops(), VOCAB_SIZE, FILTERS)


requests = st.lists(
    st.builds(
        Request,
        st.lists(st.integers(0, 255), min_size=1, max_size=20).map(tuple),
        st.integers(1, 20),
        seed=st.integers(0, 3),
        sampling=st.sampled_from(
            [SamplingParams(), SamplingParams(temperature=0.3), SamplingParams(temperature=2, top_k=3)]
        ),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(
    requests,
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.none() | st.integers(0, 6),
    st.booleans(),
    st.integers(12, 30),
    st.integers(0, 20),
)
def test_drafts_change_no_token(
    served: list[Request],
    most: int,
    free: bool,
    wrong: float,
    fixed: int | None,
    recurrent: bool,
    blocks: int,
    spare: int,
) -> None:
    length: Length = DraftLength(free) if fixed is None else FixedLength(fixed)
    runner = SpeculativeRunner(sampling(), Guesser(most, free, wrong), length, Ticks())
    memory = {"blocks": blocks, "recurrent": recurrent, "state_log": 4, "max_sequences": 4, "token_budget": 4 + spare}
    drafted = toy_engine(decoder=runner, **memory).generate(served)  # type: ignore[arg-type]
    assert drafted == toy_engine(**memory).generate(served)  # type: ignore[arg-type]


def test_repeated_text_takes_fewer_steps() -> None:
    """An answer that the prompt holds already is found there and taken over."""
    answer = toy_continuation([1, 2, 3], 40)
    prompt = [1, 2, 3, *answer, 9, 1, 2, 3]
    sequence = toy_sequence(prompt)
    drafter = NgramDrafter(3, 2, 8)
    runner = SpeculativeRunner(sampling(), drafter, FixedLength(8))
    assert runner.propose([sequence], [5]) == [answer[:5]]


class Fixed:
    """A base that keeps a given number of drafts."""

    def __init__(self, kept: list[int]) -> None:
        self.kept = kept
        self.forgotten: list[int] = []

    def propose(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        raise AssertionError

    def begin(self, entries: list[Scheduled]) -> None: ...

    def accept(self, logits: torch.Tensor, entries: list[Scheduled]) -> list[Accepted]:
        return [
            Accepted([*entry.tokens[len(entry.tokens) - entry.drafts :][:kept], 0], kept, [None] * (kept + 1))
            for entry, kept in zip(entries, self.kept, strict=True)
        ]

    def forget(self, sequence: Sequence) -> None:
        self.forgotten.append(sequence.id)


class Listening(FixedLength):
    def __init__(self) -> None:
        super().__init__(3)
        self.heard: list[object] = []

    def choose(self, candidates: list[Candidate]) -> list[int]:
        self.heard.append(candidates)
        return super().choose(candidates)

    def drafted(self, made: list[int], read: list[int], seconds: float) -> None:
        self.heard.append((made, read, seconds))

    def verified(self, steps: list[Verified], seconds: float | None) -> None:
        self.heard.append((steps, seconds))


def test_steps_are_measured() -> None:
    length, ticks = Listening(), count()
    runner = SpeculativeRunner(Fixed([3, 0]), Guesser(5, False, 0.0), length, lambda: float(next(ticks)))
    sequences = [toy_sequence([1, 2]), toy_sequence([3], 1)]
    sequences[0].computed = 1
    drafts = runner.propose(sequences, [9, 2])
    assert [len(tokens) for tokens in drafts] == [3, 2]
    candidates, drafted = length.heard
    assert candidates == [Candidate(0, 1, 5, 0, 1000), Candidate(1, 1, 2, 0, 1000)]
    assert drafted == ([3, 2], [0, 0], 1.0)
    entries = [Scheduled(sequences[0], [2, *drafts[0]], 3), Scheduled(sequences[1], [3, *drafts[1]], 2)]
    runner.begin(entries)
    runner.accept(torch.empty(0), entries)
    assert length.heard[2] == ([Verified(0, 1, 3, 3), Verified(1, 1, 2, 0)], 1.0)
    assert (runner.figures.drafted, runner.figures.right) == ([2, 2, 1], [1, 1, 1])
    assert runner.figures.acceptance_rate == 3 / 5
    assert runner.figures.lengths == {3: 1, 2: 1}
    assert runner.figures.verify_seconds == 1.0


def test_steps_with_prompts_are_not_measured_but_their_drafts_count() -> None:
    length = Listening()
    runner = SpeculativeRunner(Fixed([1, 0]), Guesser(5, True, 0.0), length)
    decoding, prompt = toy_sequence([1]), toy_sequence([3, 4, 5], 1)
    entries = [Scheduled(decoding, [1, 7], 1), Scheduled(prompt, [3, 4, 5], 0, is_prefill=True)]
    runner.begin(entries)
    runner.accept(torch.empty(0), entries)
    assert length.heard == [([Verified(0, 1, 1, 1)], None)]
    assert runner.figures.verify_seconds == 0.0


def test_looking_in_vain_is_not_done_in_each_step() -> None:
    """A look takes 1 s and a step 10 s: it may take half a percent of the time."""
    now = [0.0]

    class Slow(Guesser):
        looks = 0

        def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
            now[0] += 1.0
            self.looks += 1
            return [[] for _ in sequences]

    drafter = Slow(4, True, 0.0)
    runner = SpeculativeRunner(Fixed([0]), drafter, FixedLength(4), lambda: now[0])
    sequence = toy_sequence([1])
    for _ in range(210):
        assert runner.propose([sequence], [4]) == [[]]
        runner.begin([Scheduled(sequence, [1])])
        now[0] += 10.0
        runner.accept(torch.empty(0), [Scheduled(sequence, [1])])
    assert drafter.looks == 11  # the first before it was known how long a step takes


def test_grammars_cut_drafts() -> None:
    class Digits:
        def valid_prefix(self, tokens: list[int]) -> int:
            return next((i for i, token in enumerate(tokens) if not 48 <= token < 58), len(tokens))

    class Says(Guesser):
        def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
            return [list(b"12a4"[:limit]) for limit in limits]

    bound, loose = toy_sequence([1]), toy_sequence([2], 1)
    bound.grammar = Digits()  # type: ignore[assignment]
    for free in (True, False):
        runner = SpeculativeRunner(Fixed([]), Says(4, free, 0.0), FixedLength(4))
        assert runner.propose([bound, loose], [4, 3]) == [list(b"12"), list(b"12a")]


def test_forgets_everywhere() -> None:
    base, drafter = Fixed([]), NgramDrafter(2, 1, 4)
    runner = SpeculativeRunner(base, drafter, FixedLength(4))
    sequence = toy_sequence([1, 1])
    assert runner.propose([sequence], [4]) == [[1, 1, 1, 1]]
    runner.forget(sequence)
    assert base.forgotten == [0]
    sequence.tokens = [2, 3]  # as of another sequence with this number
    assert runner.propose([sequence], [4]) == [[]]
