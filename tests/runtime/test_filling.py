"""Requests that ask for the memory of their prompt, and for nothing that comes after it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import toy_continuation, toy_engine

from runtime.errors import RequestError
from runtime.events import Event, Finished, Prefilled, Started, TokenAccepted
from runtime.request import FinishReason, Request

families = pytest.mark.parametrize("recurrent", [False, True])


@settings(max_examples=150, deadline=None)
@given(st.data(), st.booleans(), st.booleans(), st.integers(1, 4), st.integers(0, 12))
def test_filling_gives_all_of_the_prompts_memory_and_no_token(
    data: st.DataObject, recurrent: bool, prefix: bool, max_sequences: int, spare: int
) -> None:
    """Beside requests that want answers, in a cache too small for all, and however much of the prompt is known."""
    engine = toy_engine(
        blocks=data.draw(st.integers(1, 5) if recurrent else st.integers(6, 20)),
        recurrent=recurrent,
        prefix=prefix,
        max_sequences=max_sequences,
        token_budget=max_sequences + spare,
    )
    handles = []
    for _ in range(3):
        wanted: dict[int, Request] = {}
        events: list[Event] = []
        for _ in range(data.draw(st.integers(1, 4))):
            prompt = tuple(data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=16)))
            count = data.draw(st.sampled_from([0, 0, 3]))
            resume = data.draw(st.none() | st.sampled_from(handles)) if handles else None
            request = Request(prompt, count, keep=count == 0, resume=resume)
            wanted[engine.submit(request)] = request
        while not engine.is_idle:
            events += engine.step()
            engine.store.allocator.check()
        for number, request in wanted.items():
            tokens = [event.token for event in events if isinstance(event, TokenAccepted) and event.request == number]
            assert tokens == toy_continuation(list(request.prompt), request.max_new_tokens)
            (end,) = (event for event in events if isinstance(event, Finished) and event.request == number)
            assert end.reason is FinishReason.LENGTH and end.new_tokens == len(tokens)
            if request.keep:
                handle = engine.handle(number)
                assert handle.tokens == request.prompt and handle.computed == len(request.prompt)
                if handle in engine.store.handles:
                    history = engine.executor.cache.history(handle.blocks, handle.computed)
                    assert history == list(request.prompt)
                handles.append(handle)
    for handle in handles:
        engine.release(handle)
    assert engine.ledger().held == 0


@families
def test_what_is_filled_again_costs_no_step_of_the_model(recurrent: bool) -> None:
    engine = toy_engine(recurrent=recurrent)
    for _ in range(2):
        number = engine.submit(Request(tuple(range(10)), 0, keep=True))
        events = list(engine.serve(()))
        handle = engine.handle(number)
        fed = sum(event.tokens for event in events if isinstance(event, Prefilled))
        reused = next(event.reused for event in events if isinstance(event, Started))
        assert fed + reused == 10
        engine.release(handle)
    assert reused == 10 and engine.executor.batch_tokens == [10]


@families
def test_a_prompt_that_takes_the_whole_cache_can_be_filled(recurrent: bool) -> None:
    engine = toy_engine(blocks=1 if recurrent else 3, block_size=4, recurrent=recurrent, context_length=12)
    for _ in range(2):
        number = engine.submit(Request(tuple(range(12)), 0, keep=True))
        assert any(isinstance(event, Finished) for event in engine.serve(()))
        engine.release(engine.handle(number))


def test_who_wants_neither_tokens_nor_memory_is_refused() -> None:
    for request in (Request((1,), 0), Request((1,), -1, keep=True)):
        with pytest.raises(RequestError, match="max_new_tokens must be 1 or more"):
            toy_engine().submit(request)
    with pytest.raises(RequestError, match="most_drafts must be 0 or more, not -1"):
        toy_engine().submit(Request((1,), 1, most_drafts=-1))
