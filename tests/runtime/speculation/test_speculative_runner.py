"""Whatever is guessed, the tokens are those of plain decoding; and what is measured is what happened."""

import random
from itertools import count, pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import VOCAB_SIZE, reference_ops, toy_continuation, toy_engine
from toy_sequence import toy_requests, toy_sequence

from runtime.config import FILTERS
from runtime.decoder.sampling import Sampling
from runtime.decoder.strategy import Accepted
from runtime.events import Finished
from runtime.request import Request, SamplingParams
from runtime.scheduler import Limit, Scheduled
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


params = [SamplingParams(), SamplingParams(temperature=0.3), SamplingParams(temperature=2, top_k=3)]
requests = toy_requests(st.sampled_from(params), most=6)


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


def limits(*counts: int) -> Limit:
    return lambda sequence: counts[sequence.id]


def test_repeated_text_takes_fewer_steps() -> None:
    """An answer that the prompt holds already is found there and taken over."""
    answer = toy_continuation([1, 2, 3], 40)
    prompt = [1, 2, 3, *answer, 9, 1, 2, 3]
    sequence = toy_sequence(prompt)
    drafter = NgramDrafter(3, 2, 8)
    runner = SpeculativeRunner(sampling(), drafter, FixedLength(8))
    assert runner.propose([sequence], limits(5)) == [answer[:5]]


class Fixed:
    """A base that keeps a given number of drafts."""

    def __init__(self, kept: list[int]) -> None:
        self.kept = kept
        self.forgotten: list[int] = []

    def propose(self, sequences: list[Sequence], limit: Limit) -> list[list[int]]:
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
    drafts = runner.propose(sequences, limits(9, 2))
    assert [len(tokens) for tokens in drafts] == [3, 2]
    candidates, drafted = length.heard
    assert candidates == [Candidate(0, 1, 5, 0, 1000), Candidate(1, 1, 2, 0, 1000)]
    assert drafted == ([3, 2], [0, 0], 1.0)
    entries = [Scheduled(sequences[0], [2, *drafts[0]], 3), Scheduled(sequences[1], [3, *drafts[1]], 2)]
    runner.begin(entries)
    runner.accept(torch.empty(0), entries)
    assert length.heard[2] == ([Verified(0, 1, 3, 3), Verified(1, 1, 2, 0)], 1.0)


def test_steps_with_prompts_are_not_measured_but_their_drafts_count() -> None:
    length = Listening()
    runner = SpeculativeRunner(Fixed([1, 0]), Guesser(5, True, 0.0), length)
    decoding, prompt = toy_sequence([1]), toy_sequence([3, 4, 5], 1)
    entries = [Scheduled(decoding, [1, 7], 1), Scheduled(prompt, [3, 4, 5], 0, is_prefill=True)]
    runner.begin(entries)
    runner.accept(torch.empty(0), entries)
    assert length.heard == [([Verified(0, 1, 1, 1)], None)]


class Willing(FixedLength):
    """Would have all drafts, but need not be asked in each step."""

    may_pause = True

    def __init__(self) -> None:
        super().__init__(4)
        self.asked = 0
        self.verifications: list[int] = []  # drafts
        self.steps_paused = 0

    def choose(self, candidates: list[Candidate]) -> list[int]:
        self.asked += 1
        return super().choose(candidates)

    def verified(self, steps: list[Verified], seconds: float | None) -> None:
        self.verifications += [step.drafts for step in steps]

    def paused(self, steps: int, seconds: float) -> None:
        self.steps_paused += steps


class Decoding:
    """Steps of 10 s, in which a look at what comes next takes 1 s; `found` says what it finds. looks: in which steps
    there was one. wrong: what the drafts are."""

    most, free = 4, True

    def __init__(self, length: Length, found: int) -> None:
        self.found = found
        self.wrong = True
        self.looks: list[int] = []
        self.steps = 0
        self.sequences = [toy_sequence([1])]
        self._now = 0.0
        self._base = Fixed([])
        self.runner = SpeculativeRunner(self._base, self, length, lambda: self._now)

    def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
        self._now += 1.0
        self.looks.append(self.steps)
        return [[7] * min(self.found, limit) for limit in limits]

    def behind(self, sequence: Sequence) -> int:
        return 0

    def forget(self, sequence: Sequence) -> None: ...

    def run(self, steps: int) -> list[int]:
        """Returns the steps, from the first of these, in which somebody looked."""
        before, self.looks = self.steps, []
        for self.steps in range(before, before + steps):
            drafts = self.runner.propose(self.sequences, lambda _: 4)
            entries = [
                Scheduled(sequence, [1, *tokens], len(tokens))
                for sequence, tokens in zip(self.sequences, drafts, strict=True)
            ]
            self._base.kept = [0 if self.wrong else len(tokens) for tokens in drafts]
            self.runner.begin(entries)
            self._now += 10.0
            self.runner.accept(torch.empty(0), entries)
        self.steps += 1
        return [step - before for step in self.looks]


def test_looking_in_vain_takes_little_time_and_ever_less() -> None:
    """Half a percent of the time at first: each 20th step. The first look is before it is known how long a step is."""
    decoding = Decoding(Willing(), 0)
    looks = decoding.run(3000)
    pauses = [after - before - 1 for before, after in pairwise(looks)]
    assert pauses == [0, 20, 20, 20, 40, 80, 160] + [256] * (len(pauses) - 7)
    assert len(pauses) > 10


def test_nothing_is_done_in_a_pause() -> None:
    length = Willing()
    decoding = Decoding(length, 0)
    decoding.run(1000)
    looks = len(decoding.looks)
    assert length.asked == looks
    assert len(length.verifications) == looks + sum(
        (after - before - 1) // 32 for before, after in pairwise([*decoding.looks, 1000])
    )
    assert length.steps_paused == decoding.looks[-1] + 1 - looks  # told when the pause is over


def test_who_is_wrong_is_asked_less_and_who_is_right_again_always() -> None:
    decoding = Decoding(Willing(), 4)
    pauses = [after - before - 1 for before, after in pairwise(decoding.run(3000))]
    assert pauses[:12] == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128]
    assert set(pauses[12:]) == {256}
    decoding.wrong = False
    looks = decoding.run(400)
    assert looks[0] <= 256 and looks == list(range(looks[0], 400))
    decoding.wrong = True
    assert len(decoding.run(5)) == 5


def test_other_sequences_may_have_better_drafts() -> None:
    for change in ("one more", "one less", "another"):
        decoding = Decoding(Willing(), 0)
        decoding.sequences = [toy_sequence([1], number) for number in range(2)]
        decoding.run(1000)
        if change != "one more":
            decoding.runner.forget(decoding.sequences.pop())
        if change != "one less":
            decoding.sequences.append(toy_sequence([1], 5))
        assert decoding.run(30)[0] <= 20


@given(st.integers(0, 4), st.booleans())
def test_a_fixed_length_never_pauses(found: int, wrong: bool) -> None:
    decoding = Decoding(FixedLength(4), found)
    decoding.wrong = wrong
    assert decoding.run(50) == list(range(50))


def test_a_hopeless_drafter_costs_less_than_two_percent() -> None:
    """On a simulated clock: a look takes 40 us, a step 550 us and a quarter more for each draft, all of them wrong."""
    now = [0.0]

    class Hopeless(Guesser):
        def draft(self, sequences: list[Sequence], limits: list[int]) -> list[list[int]]:
            now[0] += 40e-6
            return [[7] * limit for limit in limits]

    base = Fixed([0])
    runner = SpeculativeRunner(base, Hopeless(8, True, 0.0), DraftLength(free=True), lambda: now[0])
    sequence = toy_sequence([1])
    for steps in range(1, 4001):
        [drafts] = runner.propose([sequence], limits(8))
        entries = [Scheduled(sequence, [1, *drafts], len(drafts))]
        runner.begin(entries)
        now[0] += 550e-6 * (1 + len(drafts) / 4)
        runner.accept(torch.empty(0), entries)
        if steps in (500, 1000, 2000, 4000):
            assert now[0] <= 1.02 * steps * 550e-6


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
        assert runner.propose([bound, loose], limits(4, 3)) == [list(b"12"), list(b"12a")]


def test_forgets_everywhere() -> None:
    base, drafter = Fixed([]), NgramDrafter(2, 1, 4)
    runner = SpeculativeRunner(base, drafter, FixedLength(4))
    sequence = toy_sequence([1, 1])
    assert runner.propose([sequence], limits(4)) == [[1, 1, 1, 1]]
    runner.forget(sequence)
    assert base.forgotten == [0]
    sequence.tokens = [2, 3]  # as of another sequence with this number
    assert runner.propose([sequence], limits(4)) == [[]]


def test_a_request_says_how_many_drafts_it_takes() -> None:
    engine = toy_engine(decoder=SpeculativeRunner(sampling(), Guesser(4, True, 0.0), FixedLength(4)))
    ends = {}
    for most in (0, 2, None):
        number = engine.submit(Request((1, 2, 3), 13, most_drafts=most))
        (ends[most],) = (event for event in engine.serve(()) if isinstance(event, Finished))
        assert ends[most].request == number
    assert [(end.drafted, end.drafts_kept) for end in ends.values()] == [(0, 0), (8, 8), (9, 9)]
