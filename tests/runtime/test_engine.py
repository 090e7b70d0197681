import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import reference_ops, toy_continuation, toy_engine, toy_logits

from runtime.config import FILTERS
from runtime.decoder.sampling import Sampling
from runtime.engine import Engine
from runtime.errors import RequestError
from runtime.events import Finished, Preempted, Prefilled, TokenAccepted
from runtime.request import FinishReason, Request, SamplingParams
from runtime.scheduler import Limit
from runtime.sequence import Sequence

tokens = st.integers(0, 255)
requests = st.lists(
    st.builds(
        Request,
        st.lists(tokens, min_size=1, max_size=30).map(tuple)
        | st.lists(st.integers(0, 1), min_size=1, max_size=30).map(tuple),
        st.integers(1, 20),
        priority=st.integers(-1, 1),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=120, deadline=None)
@given(
    requests,
    st.booleans(),
    st.booleans(),
    st.integers(1, 16),
    st.integers(1, 8),
    st.integers(0, 40),
    st.sampled_from(["continuous", "static", "one_by_one"]),
    st.sampled_from(["arrival", "prefix"]),
)
def test_any_batching_gives_each_request_its_own_continuation(
    served: list[Request], recurrent: bool, prefix: bool, blocks: int, max_sequences: int, spare: int, batching, order
) -> None:  # type: ignore[no-untyped-def]
    """Batching, chunks of prefill, priorities, sharing and preemption are never visible in the tokens; all blocks come
    back."""
    engine = toy_engine(
        blocks=blocks if recurrent else blocks + 12,  # of 4 tokens: the largest request needs 13
        recurrent=recurrent,
        prefix=prefix,
        max_sequences=max_sequences,
        token_budget=max_sequences + spare,
        batching=batching,
        order=order,
    )
    completions = engine.generate(served)
    for request, completion in zip(served, completions, strict=True):
        assert completion.tokens == toy_continuation(list(request.prompt), request.max_new_tokens)
        assert completion.reason is FinishReason.LENGTH
    check_nothing_is_held(engine)
    assert max(engine.executor.batch_tokens) <= max_sequences + spare


def check_nothing_is_held(engine: Engine) -> None:
    """Every block is free, or only cached; and all are free once the index is empty."""
    engine.store.allocator.check()
    ledger = engine.ledger()
    assert ledger.held == 0 and ledger.free + ledger.cached == ledger.total
    if engine.store.index is not None:
        engine.store.index.check()
        engine.store.index.clear()
        assert engine.ledger().free == ledger.total


def test_requests_that_outgrow_the_cache_are_preempted_and_finish() -> None:
    engine = toy_engine(blocks=6, block_size=4, token_budget=8, max_sequences=4)
    events = list(engine.serve(Request((7, i), 18) for i in range(4)))
    assert any(isinstance(event, Preempted) for event in events)
    assert sorted(event.request for event in events if isinstance(event, Finished)) == [0, 1, 2, 3]


def test_a_long_prompt_does_not_stall_those_that_decode() -> None:
    engine = toy_engine(token_budget=8)
    engine.submit(Request((1, 2), 40))
    engine.step()
    engine.submit(Request(tuple(range(60)), 4))
    events = [event for _ in range(8) for event in engine.step()]
    chunks = [event for event in events if isinstance(event, Prefilled)]
    assert [chunk.tokens for chunk in chunks] == [7] * 8  # one token of each step's eight is the decoding request's
    assert sum(isinstance(event, TokenAccepted) and event.request == 0 for event in events) == 8


@settings(max_examples=40, deadline=None)
@given(
    st.lists(tokens, min_size=1, max_size=10),
    st.lists(st.integers(0, 4), min_size=1),
    st.integers(1, 30),
    st.booleans(),
)
def test_drafts_change_the_number_of_steps_but_not_the_tokens(
    prompt: list[int], goodness: list[int], new_tokens: int, recurrent: bool
) -> None:
    class Drafting(Sampling):
        """Proposes the right next tokens, then wrong ones."""

        def propose(self, sequences: list[Sequence], limit: Limit) -> list[list[int]]:
            proposals = []
            for sequence in sequences:
                good = goodness[len(sequence.tokens) % len(goodness)]
                right = toy_continuation(sequence.tokens, good + 1)
                proposals.append([*right[:good], (right[good] + 1) % 256][: limit(sequence)])
            return proposals

    engine = toy_engine(
        blocks=12,
        token_budget=9,
        max_sequences=4,
        decoder=Drafting(reference_ops(), 256, FILTERS),
        recurrent=recurrent,
        state_log=3,
    )
    served = [Request(tuple(prompt), new_tokens), Request((9, *prompt), new_tokens)]
    for request, completion in zip(served, engine.generate(served), strict=True):
        assert completion.tokens == toy_continuation(list(request.prompt), new_tokens)
    check_nothing_is_held(engine)


def test_a_sampled_answer_depends_on_its_own_seed_only() -> None:
    params = SamplingParams(temperature=1.5, top_k=50, top_p=0.9)

    def sampled(served: list[Request], token_budget: int) -> list[list[int]]:
        engine = toy_engine(token_budget=token_budget)
        return [completion.tokens for completion in engine.generate(served)]

    first, second = (Request((1, 2, 3), 20, seed=seed, sampling=params) for seed in (5, 6))
    alone = sampled([first], 64)[0]
    together = sampled([second, first, Request((4,), 7, seed=5), Request((1, 2, 3), 20)], 9)
    assert together[3] == toy_continuation([1, 2, 3], 20)
    assert together[1] == alone
    assert together[0] != alone


def test_a_stop_token_ends_the_answer_and_frees_the_blocks() -> None:
    expected = toy_continuation([1, 2, 3], 10)
    engine = toy_engine()
    (completion,) = engine.generate([Request((1, 2, 3), 10, stop_tokens=frozenset(expected[4:5]))])
    stop_at = expected.index(expected[4])
    assert completion.tokens == expected[: stop_at + 1]
    assert completion.reason is FinishReason.STOP
    check_nothing_is_held(engine)


def test_cancelled_requests_keep_what_they_have() -> None:
    engine = toy_engine(max_sequences=1)
    engine.submit(Request((1, 2), 50))
    engine.submit(Request((3, 4), 50))
    for _ in range(3):
        engine.step()
    finished = [event for event in engine.cancel_all() if isinstance(event, Finished)]
    assert [(event.reason, event.new_tokens) for event in finished] == [("cancelled", 3), ("cancelled", 0)]
    assert engine.is_idle
    check_nothing_is_held(engine)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request((), 1), "empty"),
        (Request((1,) * 90, 11), "the model's is 100"),
        (Request((1,) * 60, 10), "the cache holds 64"),
    ],
)
def test_a_request_that_can_never_be_served_is_refused_at_once(request_: Request, words: str) -> None:
    engine = toy_engine(blocks=16, block_size=4, context_length=100)
    with pytest.raises(RequestError, match=words):
        engine.submit(request_)
    assert engine.is_idle


def test_toy_logits_are_a_function_of_the_history() -> None:
    assert toy_logits([1, 2]).equal(toy_logits([1, 2])) and not toy_logits([1, 2]).equal(toy_logits([2, 1]))
