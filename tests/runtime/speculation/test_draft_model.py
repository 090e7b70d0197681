"""A toy model that drafts for another."""

from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import VOCAB_SIZE, ToyExecutor, ToyPages, ToyStates, reference_ops, toy_continuation, toy_engine
from toy_sequence import toy_requests, toy_sequence

from model.sequence_step import SequenceStep
from runtime.config import FILTERS
from runtime.decoder.sampler import Sampler
from runtime.decoder.sampling import Sampling
from runtime.request import Request, SamplingParams
from runtime.speculation.draft_model import DraftModel
from runtime.speculation.fixed_length import FixedLength
from runtime.speculation.length import Verified
from runtime.speculation.speculative_runner import SpeculativeRunner

PLAIN = SamplingParams()


class SlyExecutor(ToyExecutor):
    """Every so many rows it prefers another token."""

    def __init__(self, cache: ToyPages | ToyStates, every: int) -> None:
        super().__init__(cache)
        self._every = every
        self._rows = 0

    def step(self, steps: list[SequenceStep]):  # type: ignore[no-untyped-def]
        logits = super().step(steps)
        for row in logits:
            self._rows += 1
            if self._every and self._rows % self._every == 0:
                row[self._rows % VOCAB_SIZE] = 1e3
        return logits


def draft_model(
    recurrent: bool = False, blocks: int = 64, most: int = 4, budget: int = 64, every: int = 0, max_context: int = 1000
) -> DraftModel:
    cache = ToyStates(blocks, most) if recurrent else ToyPages(blocks, 4)
    return DraftModel(SlyExecutor(cache, every), Sampler(reference_ops(), FILTERS), most, budget, max_context)


def check_blocks(model: DraftModel) -> None:
    tables = [block for record in model._records.values() for block in record.page_table]
    assert sorted(tables + model._free_blocks) == list(range(model._executor.cache.num_blocks))


params = st.sampled_from([PLAIN, SamplingParams(temperature=0.7), SamplingParams(temperature=2, top_k=5)])
requests = toy_requests(params, most=5)


@settings(max_examples=60, deadline=None)
@given(
    requests, st.booleans(), st.booleans(), st.integers(1, 6), st.integers(0, 3), st.integers(1, 12), st.integers(8, 40)
)
def test_drafts_change_no_token(
    served: list[Request], recurrent: bool, draft_recurrent: bool, most: int, every: int, blocks: int, budget: int
) -> None:
    """Whatever the draft model prefers, and however little memory it has; its blocks are never lost."""
    drafter = draft_model(draft_recurrent, blocks, most, budget, every)
    runner = SpeculativeRunner(Sampling(reference_ops(), VOCAB_SIZE, FILTERS), drafter, FixedLength(most))
    memory = {"blocks": 14, "recurrent": recurrent, "state_log": 6, "max_sequences": 3}
    drafted = toy_engine(decoder=runner, **memory).generate(served)  # type: ignore[arg-type]
    assert drafted == toy_engine(**memory).generate(served)  # type: ignore[arg-type]
    check_blocks(drafter)
    assert len(drafter._free_blocks) == blocks


class Remembering(FixedLength):
    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.seen: list[Verified] = []

    def verified(self, steps: list[Verified], seconds: float | None) -> None:
        self.seen += steps


@settings(max_examples=30, deadline=None)
@given(requests, st.booleans(), st.integers(1, 6))
def test_a_model_that_agrees_is_always_right(served: list[Request], recurrent: bool, most: int) -> None:
    """Also where tokens are drawn, as both draw with the same numbers."""
    length = Remembering(most)
    runner = SpeculativeRunner(
        Sampling(reference_ops(), VOCAB_SIZE, FILTERS), draft_model(recurrent, most=most), length
    )
    toy_engine(decoder=runner, blocks=100).generate(served)
    assert all(step.right == step.drafts for step in length.seen)
    longest = max((step.drafts for step in length.seen), default=0)
    assert longest == most or all(request.max_new_tokens <= most + 1 for request in served)


def test_tokens_are_fed_once() -> None:
    """Drafts that came true are in the memory already."""
    model = draft_model(most=3)
    sequence = toy_sequence([5, 6, 7])
    for _ in range(5):
        (drafts,) = model.draft([sequence], [3])
        assert drafts == toy_continuation(sequence.tokens, 3)
        sequence.tokens += toy_continuation(sequence.tokens, 4)
    fed = model._executor.batch_tokens  # type: ignore[attr-defined]
    assert fed == [3, 1, 1] + 4 * [2, 1, 1]


def test_may_be_asked_again_for_the_same() -> None:
    model, sequence = draft_model(recurrent=True, most=2), toy_sequence(list(range(20)))
    assert model.draft([sequence], [2]) == model.draft([sequence], [2]) == [toy_continuation(sequence.tokens, 2)]
    check_blocks(model)


def test_a_long_prompt_is_read_in_several_calls() -> None:
    model = draft_model(most=2, budget=8)
    long, short = toy_sequence(list(range(20))), toy_sequence([1, 2, 3], 1)
    assert model.behind(long) == 20
    assert model.draft([short, long], [2, 2]) == [toy_continuation([1, 2, 3], 2), []]
    assert (model.behind(short), model.behind(long)) == (0, 15)
    assert model.draft([short, long], [0, 2]) == [[], []]
    assert model.draft([short, long], [0, 2]) == [[], toy_continuation(long.tokens, 2)]


def test_memory_goes_from_who_was_not_asked_for_longest() -> None:
    model = draft_model(blocks=4, most=2)
    sequences = [toy_sequence([i] * 6, i) for i in range(3)]  # two blocks each
    for i in (0, 1, 0, 2):
        assert model.draft([sequences[i]], [2]) == [toy_continuation(sequences[i].tokens, 2)]
    assert [model.behind(sequence) for sequence in sequences] == [0, 6, 0]
    check_blocks(model)


def test_who_finds_no_memory_gets_no_drafts() -> None:
    model = draft_model(blocks=4, most=2)
    sequences = [toy_sequence([i] * 6, i) for i in range(3)]
    drafts = model.draft(sequences, [2, 2, 2])
    assert drafts == [toy_continuation([0] * 6, 2), toy_continuation([1] * 6, 2), []]
    assert model.draft([toy_sequence([3] * 40, 3)], [2]) == [[]]
    check_blocks(model)


def test_no_drafts_beyond_the_draft_models_context() -> None:
    model = draft_model(most=2, max_context=6)
    assert model.draft([toy_sequence([1] * 5), toy_sequence([1] * 4, 1)], [2, 2]) == [[], toy_continuation([1] * 4, 2)]
