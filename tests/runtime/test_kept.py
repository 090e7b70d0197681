"""A request may leave its memory behind and another one continue it: only time may tell the difference."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import toy_continuation, toy_engine

from runtime.engine import Engine
from runtime.errors import RequestError
from runtime.events import Prefilled, TokenAccepted
from runtime.kept import Kept
from runtime.request import Request

families = pytest.mark.parametrize("recurrent", [False, True])
few_tokens = st.lists(st.integers(0, 2), min_size=1, max_size=12)


class Serving:
    """An engine, what its requests have got, and how many tokens of their prompts were fed in steps of several."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tokens: dict[int, list[int]] = defaultdict(list)
        self.fed: dict[int, int] = defaultdict(int)

    def run(self, steps: int | None = None) -> None:
        while not self.engine.is_idle and steps != 0:
            for event in self.engine.step():
                if isinstance(event, TokenAccepted):
                    self.tokens[event.request].append(event.token)
                elif isinstance(event, Prefilled):
                    self.fed[event.request] += event.tokens
            steps = steps and steps - 1

    def keep(self, *prompt: int, new_tokens: int = 5, resume: Kept | None = None) -> tuple[Kept, int]:
        """Serves one request; what it has left, and how many tokens were fed for its prompt."""
        number = self.engine.submit(Request(prompt, new_tokens, keep=True, resume=resume))
        self.run()
        assert self.tokens[number] == toy_continuation(list(prompt), new_tokens)
        return self.engine.kept(number), self.fed[number]


@settings(max_examples=80, deadline=None)
@given(st.data(), st.booleans(), st.integers(1, 4), st.integers(0, 40))
def test_what_is_kept_never_shows_in_the_tokens(
    data: st.DataObject, recurrent: bool, max_sequences: int, spare_budget: int
) -> None:
    """Requests keep and resume, also what is used up, evicted or another sequence's, in a cache too small for all."""
    blocks = data.draw(st.integers(1, 6) if recurrent else st.integers(12, 30))
    engine = toy_engine(
        blocks=blocks, recurrent=recurrent, max_sequences=max_sequences, token_budget=max_sequences + spare_budget
    )
    serving, handles = Serving(engine), []
    for _ in range(data.draw(st.integers(1, 4))):
        served: dict[int, Request] = {}
        for _ in range(data.draw(st.integers(1, 4))):
            resume = data.draw(st.none() | st.sampled_from(handles)) if handles else None
            begin = resume.tokens[: data.draw(st.integers(0, 30))] if resume else ()
            prompt = (*begin, *data.draw(few_tokens))[:36]
            request = Request(prompt, data.draw(st.integers(1, 8)), keep=data.draw(st.booleans()), resume=resume)
            served[engine.submit(request)] = request
        serving.run(data.draw(st.none() | st.integers(0, 6)))
        engine.cancel()
        for number, request in served.items():
            expected = toy_continuation(list(request.prompt), request.max_new_tokens)
            assert serving.tokens[number] == expected[: len(serving.tokens[number])]
        handles += [engine.kept(number) for number, request in served.items() if request.keep]
        held = [kept for kept in handles if kept in engine.scheduler.kept]
        engine.scheduler.allocator.check()
        assert engine.scheduler.allocator.free_blocks + sum(len(kept.page_table) for kept in held) == blocks
        for kept in held:
            assert engine.executor.cache.history(kept.page_table, len(kept.tokens)) == list(kept.tokens)


@families
def test_a_resumed_request_is_fed_what_is_new(recurrent: bool) -> None:
    serving = Serving(toy_engine(recurrent=recurrent))
    kept, fed = serving.keep(1, 2, 3)
    assert kept.tokens == (1, 2, 3, *toy_continuation([1, 2, 3], 4)) and fed == 3
    kept, fed = serving.keep(*kept.tokens, 7, 8, resume=kept)
    assert fed == 2 and len(kept.tokens) == 13
    serving.engine.scheduler.kept.release(kept)
    assert serving.engine.scheduler.allocator.free_blocks == 64


@pytest.mark.parametrize(("recurrent", "expected"), [(False, 3), (True, 9)])
def test_keys_and_values_serve_any_common_prefix_and_a_state_only_all_of_its_tokens(
    recurrent: bool, expected: int
) -> None:
    serving = Serving(toy_engine(recurrent=recurrent))
    kept, _ = serving.keep(1, 2, 3, 4, 5, 6)
    kept, fed = serving.keep(1, 2, 3, 4, 5, 6, 9, 9, 9, resume=kept)
    assert fed == expected
    kept, fed = serving.keep(*kept.tokens, resume=kept)  # the last token is not in the memory, or there is none to ask
    assert fed == (0 if not recurrent else 13)
    assert serving.engine.scheduler.allocator.free_blocks == 64 - len(kept.page_table)


@families
def test_kept_memory_goes_before_a_running_sequence_loses_its_own(recurrent: bool) -> None:
    serving = Serving(toy_engine(blocks=2 if recurrent else 8, recurrent=recurrent))
    first, _ = serving.keep(1, 2, 3, 4, new_tokens=5)
    second, _ = serving.keep(5, 6, 7, 8, new_tokens=5)
    third, _ = serving.keep(9, *range(14), new_tokens=8)
    held = serving.engine.scheduler.kept
    assert first not in held and second in held and third in held
    _, fed = serving.keep(*first.tokens, 3, resume=first)
    assert fed == len(first.tokens) + 1


@families
def test_a_cancelled_request_keeps_what_was_computed(recurrent: bool) -> None:
    serving = Serving(toy_engine(recurrent=recurrent, token_budget=8))
    running = serving.engine.submit(Request(tuple(range(20)), 5, keep=True))
    serving.run(2)
    serving.engine.cancel()
    kept = serving.engine.kept(running)
    assert kept.tokens == tuple(range(16))
    waiting = serving.engine.submit(Request(tuple(range(20)), 5, keep=True, resume=kept))
    serving.engine.cancel()  # before it ran
    kept, fed = serving.keep(*range(20), resume=serving.engine.kept(waiting))
    assert fed == 4


@families
def test_saved_memory_is_continued_by_another_engine(recurrent: bool) -> None:
    serving, other = (Serving(toy_engine(recurrent=recurrent)) for _ in range(2))
    kept, _ = serving.keep(1, 2, 3)
    tensors = serving.engine.executor.cache.save(kept.page_table, len(kept.tokens))
    other.keep(9)  # its blocks are others
    restored = other.engine.scheduler.kept.allocate(kept.tokens)
    other.engine.executor.cache.restore(tensors, restored.page_table, len(kept.tokens))
    _, fed = other.keep(*kept.tokens, 7, 8, resume=restored)
    assert fed == 2


def test_memory_that_does_not_fit_is_refused() -> None:
    engine = toy_engine(blocks=4, block_size=4)
    with pytest.raises(RequestError, match="17 tokens need 5 blocks of the cache, but 4 are free"):
        engine.scheduler.kept.allocate(range(17))
    engine.submit(Request((1, 2, 3, 4, 5), 3))
    engine.step()
    with pytest.raises(RequestError, match="but 2 are free"):
        engine.scheduler.kept.allocate(range(12))
