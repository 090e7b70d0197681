"""Any number of requests continue what a handle stands for: only time may tell the difference."""

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import VOCAB_SIZE, toy_continuation, toy_engine

from model.errors import ModelFileError
from runtime.engine import Engine
from runtime.errors import RequestError
from runtime.events import Finished, Prefilled, Started, TokenAccepted
from runtime.memory.handle import Handle
from runtime.memory.handle_file import load_handle, save_handle
from runtime.request import FinishReason, Request

families = pytest.mark.parametrize("recurrent", [False, True])
few_tokens = st.lists(st.integers(0, 2), min_size=1, max_size=12)


class Serving:
    """An engine, what its requests have got, and how many tokens of their prompts were fed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tokens: dict[int, list[int]] = defaultdict(list)
        self.fed: dict[int, int] = defaultdict(int)
        self.reused: dict[int, int] = {}

    def run(self, steps: int | None = None) -> None:
        while not self.engine.is_idle and steps != 0:
            for event in self.engine.step():
                if isinstance(event, TokenAccepted):
                    self.tokens[event.request].append(event.token)
                elif isinstance(event, Prefilled):
                    self.fed[event.request] += event.tokens
                elif isinstance(event, Started):
                    self.reused[event.request] = event.reused
            steps = steps and steps - 1

    def keep(self, *prompt: int, new_tokens: int = 5, resume: Handle | None = None) -> tuple[Handle, int]:
        """Serves one request; its handle, and how many tokens were fed for its prompt in steps that feed any."""
        number = self.engine.submit(Request(prompt, new_tokens, keep=True, resume=resume))
        self.run()
        assert self.tokens[number] == toy_continuation(list(prompt), new_tokens)
        return self.engine.handle(number), self.fed[number]


@settings(max_examples=120, deadline=None)
@given(st.data(), st.booleans(), st.booleans(), st.integers(1, 4), st.integers(0, 40))
def test_what_is_kept_never_shows_in_the_tokens(
    data: st.DataObject, recurrent: bool, prefix: bool, max_sequences: int, spare_budget: int
) -> None:
    """Requests keep and resume, also what has been given up or is another sequence's, in a cache too small for all;
    handles of running requests are taken, released, used again."""
    blocks = data.draw(st.integers(1, 6) if recurrent else st.integers(12, 30))
    engine = toy_engine(
        blocks=blocks,
        recurrent=recurrent,
        prefix=prefix,
        max_sequences=max_sequences,
        token_budget=max_sequences + spare_budget,
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
        running = [sequence.id for sequence in engine.scheduler.running]
        handles += [engine.handle(number) for number in running if data.draw(st.booleans())]
        serving.run(data.draw(st.integers(0, 3)))
        engine.cancel_all()
        for number, request in served.items():
            expected = toy_continuation(list(request.prompt), request.max_new_tokens)
            assert serving.tokens[number] == expected[: len(serving.tokens[number])]
        handles += [engine.handle(number) for number, request in served.items() if request.keep]
        if handles and data.draw(st.booleans()):
            engine.release(data.draw(st.sampled_from(handles)))
        held = [handle for handle in handles if handle in engine.store.handles]
        engine.store.allocator.check()
        assert engine.ledger().held == len({block for handle in held for block in handle.blocks})
        for handle in held:
            if handle.computed:
                assert engine.executor.cache.history(handle.blocks, handle.computed) == list(
                    handle.tokens[: handle.computed]
                )


@families
@pytest.mark.parametrize("prefix", [False, True])
def test_eight_continuations_of_a_handle_cost_one_prefill(recurrent: bool, prefix: bool) -> None:
    serving = Serving(toy_engine(blocks=200 if not recurrent else 20, recurrent=recurrent, prefix=prefix))
    handle, fed = serving.keep(*range(50))
    assert fed >= 49 and handle.computed == 54
    begun = len(serving.reused)
    for i in range(8):
        serving.engine.submit(Request((*handle.tokens, i), 6, resume=handle))
    serving.run()
    for i in range(8):
        assert serving.tokens[begun + i] == toy_continuation([*handle.tokens, i], 6)
        assert serving.reused[begun + i] >= 54 and serving.fed[begun + i] <= 2
    again, _ = serving.keep(*handle.tokens, 9, resume=handle)  # nothing that the continuations did shows
    assert again.tokens[:55] == handle.tokens


@families
def test_a_resumed_request_is_fed_what_is_new(recurrent: bool) -> None:
    serving = Serving(toy_engine(recurrent=recurrent, prefix=False))
    handle, fed = serving.keep(1, 2, 3)
    assert handle.tokens == (1, 2, 3, *toy_continuation([1, 2, 3], 5)) and fed == 3
    longer, fed = serving.keep(*handle.tokens, 8, resume=handle)
    assert fed == 2 and len(longer.tokens) == 14
    for each in (handle, longer, longer):
        serving.engine.release(each)
    assert serving.engine.ledger().free == 64


@pytest.mark.parametrize(("recurrent", "expected"), [(False, 3), (True, 9)])
def test_keys_and_values_serve_any_common_prefix_and_a_state_only_all_of_its_tokens(
    recurrent: bool, expected: int
) -> None:
    serving = Serving(toy_engine(recurrent=recurrent, prefix=False))
    handle, _ = serving.keep(1, 2, 3, 4, 5, 6)
    other, fed = serving.keep(1, 2, 3, 4, 5, 6, 9, 9, 9, resume=handle)
    assert fed == expected
    _, fed = serving.keep(*other.tokens[: other.computed], resume=other)  # the last token is yet to be seen
    assert fed == (0 if not recurrent else other.computed)


@families
def test_handles_go_before_a_running_sequence_loses_its_own_memory(recurrent: bool) -> None:
    serving = Serving(toy_engine(blocks=2 if recurrent else 8, recurrent=recurrent, prefix=False))
    first, _ = serving.keep(1, 2, 3, 4, new_tokens=5)
    second, _ = serving.keep(5, 6, 7, 8, new_tokens=5)
    third, _ = serving.keep(9, *range(14), new_tokens=8)
    held = serving.engine.store.handles
    assert first not in held and second in held and third in held
    _, fed = serving.keep(*first.tokens, 3, resume=first)
    assert fed == len(first.tokens) + 1


@families
def test_a_cancelled_request_leaves_what_was_computed(recurrent: bool) -> None:
    serving = Serving(toy_engine(recurrent=recurrent, token_budget=8, prefix=False))
    running = serving.engine.submit(Request(tuple(range(20)), 5, keep=True))
    serving.run(2)
    serving.engine.cancel_all()
    handle = serving.engine.handle(running)
    assert handle.computed == 16 and handle.tokens == tuple(range(20))
    waiting = serving.engine.submit(Request(tuple(range(20)), 5, keep=True, resume=handle))
    serving.engine.cancel_all()  # before it ran
    assert serving.engine.handle(waiting).computed == 0
    _, fed = serving.keep(*range(20), resume=handle)
    assert fed == 4


@families
def test_handles_expire_when_nobody_uses_them(recurrent: bool) -> None:
    now = [0.0]
    serving = Serving(toy_engine(recurrent=recurrent, prefix=False, handle_seconds=10, clock=lambda: now[0]))
    used, unused = (serving.keep(*prompt)[0] for prompt in ((1, 2, 3), (4, 5, 6)))
    for now[0] in (8.0, 16.0):
        serving.engine.submit(Request((*used.tokens, 1), 2, resume=used))
        serving.run()
    assert used in serving.engine.store.handles and unused not in serving.engine.store.handles
    _, fed = serving.keep(*unused.tokens, 7, resume=unused)
    assert fed == len(unused.tokens) + 1


@families
def test_a_saved_handle_is_continued_by_another_engine(recurrent: bool, tmp_path: Path) -> None:
    serving, other = (Serving(toy_engine(recurrent=recurrent)) for _ in range(2))
    handle, _ = serving.keep(1, 2, 3)
    path = tmp_path / "handle.safetensors"
    save_handle(serving.engine.store, handle, path)
    other.keep(9)  # its blocks are others
    restored = load_handle(other.engine.store, path, VOCAB_SIZE)
    assert restored.tokens == handle.tokens[: handle.computed]
    _, fed = other.keep(*handle.tokens, 8, resume=restored)
    assert fed <= 2
    serving.engine.release(handle)
    with pytest.raises(RequestError, match="has expired"):
        save_handle(serving.engine.store, handle, path)
    stranger = toy_engine(recurrent=not recurrent)
    with pytest.raises(ModelFileError, match="laid out as"):
        load_handle(stranger.store, path, VOCAB_SIZE)


def test_memory_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    serving = Serving(toy_engine(blocks=8, block_size=4))
    handle, _ = serving.keep(*range(15), new_tokens=3)
    save_handle(serving.engine.store, handle, tmp_path / "saved")
    with pytest.raises(RequestError, match="no room in the cache for 17 saved tokens"):
        load_handle(toy_engine(blocks=4, block_size=4).store, tmp_path / "saved", VOCAB_SIZE)


def test_a_handle_is_refused_by_another_model() -> None:
    serving = Serving(toy_engine())
    handle, _ = serving.keep(1, 2, 3)
    other = toy_engine()
    other.store.model = "another"
    with pytest.raises(RequestError, match="the handle is of the model 'toy', here it is 'another'"):
        other.submit(Request((*handle.tokens, 1), 3, resume=handle))
    with pytest.raises(RequestError, match="the handle is of the layout 'toy pages', here it is 'toy states'"):
        toy_engine(recurrent=True).submit(Request((*handle.tokens, 1), 3, resume=handle))


def test_a_handle_that_was_not_asked_for_or_is_handed_out_is_refused() -> None:
    engine = toy_engine()
    engine.generate([Request((1, 2), 3), Request((1, 2), 3, keep=True)])
    engine.handle(1)
    for number in (0, 1, 7):
        with pytest.raises(RequestError, match=f"request {number} has left no handle"):
            engine.handle(number)


def test_handles_of_one_running_request_stand_for_different_times() -> None:
    engine = toy_engine()
    number = engine.submit(Request((1, 2, 3), 20))
    handles = []
    for _ in range(6):
        engine.step()
        handles.append(engine.handle(number))
    assert [handle.computed for handle in handles] == [3, 4, 5, 6, 7, 8]
    for handle in reversed(handles):
        (completion,) = engine.generate([Request((*handle.tokens, 9), 4, resume=handle)])
        assert completion.tokens == toy_continuation([*handle.tokens, 9], 4)
        assert completion.reason is FinishReason.LENGTH
    finished = [event for event in engine.cancel_all() if isinstance(event, Finished)]
    assert not finished and engine.is_idle
