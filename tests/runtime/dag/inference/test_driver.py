"""Inferences of a document on the toy engine: what they give, what they share, and that nothing is left of them."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_driver import BLOCK_BYTES, ToyEncoder, invocation, together, toy_driver
from toy_model import toy_continuation, toy_engine

from runtime.dag.document.node import Budget
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.budget import BudgetScope
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.inference.inference import Inference, InferenceResult

families = pytest.mark.parametrize("recurrent", [False, True])


def expected(prompt: str, count: int, past: str = "") -> str:
    return ToyEncoder().decode(toy_continuation(list((past + prompt).encode()), count))


def refused(driver: InferenceDriver, inference: Inference, scope: BudgetScope | None = None) -> NodeError:
    with pytest.raises(NodeError) as caught:
        asyncio.run(driver.infer(inference, invocation(driver, scope=scope)))
    assert "\n" not in caught.value.message
    return caught.value


def balanced(driver: InferenceDriver) -> bool:
    engine = driver._engine
    engine.store.allocator.check()
    return engine.ledger().held == 0 and len(engine.store.handles) == 0 and not engine._handles and not driver._jobs


@families
def test_what_branches_ask_for_is_in_one_batch(recurrent: bool) -> None:
    driver = toy_driver(toy_engine(recurrent=recurrent, prefix=False, token_budget=256))
    texts = [f"branch {number}" for number in range(8)]
    results = asyncio.run(together(driver, [Inference(text, max_tokens=6) for text in texts]))
    assert [result.text for result in results] == [expected(text, 6) for text in texts]
    natives = [result.native for result in results]
    assert all(native.batch_size == 8 and native.steps == natives[0].steps for native in natives)
    assert [native.request for native in natives] == list(range(8))  # in the order of the branches
    assert all(native.reused_tokens + native.prefilled_tokens == native.prompt_tokens == 8 for native in natives)
    assert balanced(driver)


@families
@pytest.mark.parametrize("prefix", [False, True])
def test_a_fork_computes_what_its_branches_share_once(recurrent: bool, prefix: bool) -> None:
    engine = toy_engine(recurrent=recurrent, prefix=prefix, snapshot_gap=4, token_budget=64, blocks=100)
    driver = toy_driver(engine)
    context = "a long context that all branches have in common, "
    texts = [f"{context}{number}" for number in range(8)]
    results = asyncio.run(together(driver, [Inference(text, max_tokens=5) for text in texts], fork="f"))
    assert [result.text for result in results] == [expected(text, 5) for text in texts]
    assert all(result.native.reused_tokens == len(context) for result in results)
    assert sum(engine.executor.batch_tokens) == len(context) + 8 * 5  # one token of each prompt, and four of its answer
    assert engine.ledger().held > 0  # until the fork has ended
    driver.end_fork("f")
    assert balanced(driver)


@families
def test_a_fork_keeps_its_prefix_between_inferences_and_extends_it(recurrent: bool) -> None:
    engine = toy_engine(recurrent=recurrent, prefix=False, snapshot_gap=4, blocks=100, token_budget=64)
    driver = toy_driver(engine)
    first, more = "the context; ", "what all ask next; "
    for common, new in ((first, len(first)), (first, 0), (first + more, len(more)), (first, 0)):
        before = sum(engine.executor.batch_tokens)
        texts = [f"{common}{number}" for number in range(3)]
        results = asyncio.run(together(driver, [Inference(text, max_tokens=2) for text in texts], fork="f"))
        assert [result.text for result in results] == [expected(text, 2) for text in texts]
        assert sum(engine.executor.batch_tokens) - before == new + 3 * 2
    driver.end_run()
    assert balanced(driver)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.booleans(), st.booleans(), st.integers(1, 4))
def test_any_forks_and_handles_give_what_each_inference_gives_alone(
    data: st.DataObject, recurrent: bool, prefix: bool, max_sequences: int
) -> None:
    """In a cache too small for all, with what is kept given up, cancelled at any time; afterwards nothing is held."""
    engine = toy_engine(
        blocks=data.draw(st.integers(1, 6) if recurrent else st.integers(14, 24)),
        recurrent=recurrent,
        prefix=prefix,
        max_sequences=max_sequences,
        token_budget=max_sequences + data.draw(st.integers(0, 30)),
    )
    driver = toy_driver(engine)
    scope = BudgetScope(Budget(max_tokens=10**6, max_kv_bytes=10**9))
    named: dict[str, list[int]] = {}  # tokens of handles

    async def branch(number: int, fork: str | None, turns: int) -> None:
        with driver.activity.working():
            for _ in range(turns):
                handle = data.draw(st.none() | st.sampled_from(sorted(named))) if named else None
                if handle and len(named[handle]) > 20:
                    handle = None
                prompt, count = data.draw(st.text("ab", min_size=1, max_size=6)), data.draw(st.integers(1, 4))
                tokens = [*(named[handle] if handle else ()), *prompt.encode()]
                inference = Inference(prompt, max_tokens=count, kv_handle=handle, keep=data.draw(st.booleans()))
                result = await driver.infer(inference, invocation(driver, branch=(number,), fork=fork, scope=scope))
                new = toy_continuation(tokens, count)
                assert result.text == ToyEncoder().decode(new)
                if result.kv_handle is not None:
                    assert list(driver.handles.get(result.kv_handle).tokens) == tokens + new
                    named[result.kv_handle] = tokens + new
                    if data.draw(st.booleans()):
                        del named[result.kv_handle]
                        driver.handles.release(result.kv_handle)

    async def run() -> None:
        tasks = [
            asyncio.create_task(
                branch(number, data.draw(st.sampled_from([None, "f", "g"])), data.draw(st.integers(1, 3)))
            )
            for number in range(data.draw(st.integers(1, 5)))
        ]
        victim = data.draw(st.none() | st.sampled_from(tasks))
        for _ in range(data.draw(st.integers(0, 60))):
            await asyncio.sleep(0)
        if victim is not None:
            victim.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result
        if data.draw(st.booleans()):
            driver.end_fork("f")

    asyncio.run(run())
    assert scope.used.kv_bytes <= len(named) * 10 * BLOCK_BYTES
    driver.end_run()
    assert balanced(driver) and scope.used.kv_bytes == 0


@families
def test_a_handle_is_continued_any_number_of_times(recurrent: bool) -> None:
    driver = toy_driver(toy_engine(recurrent=recurrent, prefix=False))

    async def run() -> None:
        first = await driver.infer(Inference("abc", max_tokens=5, keep=True), invocation(driver))
        assert first.kv_handle is not None
        inferences = [Inference(text, max_tokens=4, kv_handle=first.kv_handle, keep=True) for text in ("", "x", "yz")]
        for inference, result in zip(inferences, await together(driver, inferences), strict=True):
            tokens = toy_continuation(list(b"abc"), 5)
            assert result.text == ToyEncoder().decode(
                toy_continuation([*b"abc", *tokens, *inference.prompt.encode()], 4)
            )
            assert result.native.prefilled_tokens == 1 + len(inference.prompt)  # its last token was yet to be seen
            assert result.kv_handle != first.kv_handle
        driver.handles.release(first.kv_handle)
        with pytest.raises(NodeError) as caught:
            await driver.infer(Inference("z", kv_handle=first.kv_handle), invocation(driver))
        assert caught.value.code is Code.KV_EXPIRED

    asyncio.run(run())
    assert len(driver.handles) == 3
    driver.end_run()
    assert balanced(driver)


@families
def test_a_stop_text_is_no_part_of_what_a_handle_stands_for(recurrent: bool) -> None:
    driver = toy_driver(toy_engine(recurrent=recurrent))
    tokens = toy_continuation(list(b"abc"), 12)
    readable = next(i for i in range(3, 12) if all(token < 128 for token in tokens[i : i + 2]))
    stop = bytes(tokens[readable : readable + 2]).decode()

    async def run() -> None:
        one = await driver.infer(Inference("abc", stop_condition=stop, keep=True), invocation(driver))
        assert one.finish_reason == "stop" and stop not in one.text
        two = await driver.infer(Inference("!", max_tokens=4, kv_handle=one.kv_handle), invocation(driver))
        kept = tokens[: tokens.index(tokens[readable])] if tokens.count(tokens[readable]) == 1 else tokens[:readable]
        assert two.text == ToyEncoder().decode(toy_continuation([*b"abc", *kept, *b"!"], 4))
        driver.end_run()

    asyncio.run(run())
    assert balanced(driver)


def test_a_control_token_ends_an_answer_by_its_name() -> None:
    driver = toy_driver()
    prompt = next(
        text for text in (f"prompt {i}" for i in range(2000)) if 255 in toy_continuation(list(text.encode()), 12)[1:]
    )
    tokens = toy_continuation(list(prompt.encode()), 12)

    async def run() -> None:
        wanted = Inference(prompt, stop_condition="<|end|>", max_tokens=20, keep=True)
        one = await driver.infer(wanted, invocation(driver))
        assert one.finish_reason == "stop" and one.native.completion_tokens == tokens.index(255) + 1
        assert driver.handles.get(one.kv_handle or "").tokens == (*prompt.encode(), *tokens[: tokens.index(255)])

    asyncio.run(run())


def test_what_cannot_fit_the_budget_is_refused_before_anything_is_computed() -> None:
    engine = toy_engine()
    driver = toy_driver(engine)
    for budget, fits in (
        (Budget(max_tokens=13), False),
        (Budget(max_tokens=14), True),
        (Budget(max_kv_bytes=3999), False),
    ):
        scope = BudgetScope(budget)
        steps = len(engine.executor.batch_tokens)
        if fits:
            asyncio.run(driver.infer(Inference("abcd", max_tokens=10), invocation(driver, scope=scope)))
            assert scope.used.tokens == 14 and scope.used.kv_bytes == 0
        else:
            error = refused(driver, Inference("abcd", max_tokens=10), scope)
            assert error.code is Code.BUDGET_EXCEEDED and len(engine.executor.batch_tokens) == steps
            assert scope.used.tokens == scope.used.kv_bytes == 0
    assert balanced(driver)


def test_tokens_that_were_not_needed_are_given_back() -> None:
    driver = toy_driver()
    scope = BudgetScope(Budget(max_tokens=1000, max_kv_bytes=10**6))
    stop = chr(next(token for token in toy_continuation(list(b"abcd"), 100)[2:] if token < 128))
    wanted = Inference("abcd", max_tokens=100, stop_condition=stop, keep=True)
    result = asyncio.run(driver.infer(wanted, invocation(driver, scope=scope)))
    assert scope.used.tokens == 4 + result.native.completion_tokens < 104
    handle = driver.handles.get(result.kv_handle or "").handle
    assert scope.used.kv_bytes == len(handle.blocks) * BLOCK_BYTES > 0
    driver.handles.release(result.kv_handle or "")
    assert scope.used.kv_bytes == 0 and balanced(driver)


@pytest.mark.parametrize(
    ("inference", "code", "message"),
    [
        (Inference("a", model="phi-3-mini"), Code.RESOURCE_UNAVAILABLE, "there is no model 'phi-3-mini' here, but toy"),
        (Inference(""), Code.INVALID_INPUT, "the prompt is empty"),
        (Inference("a" * 300), Code.INVALID_INPUT, "the prompt has 300 tokens, and model and cache take 256"),
        (Inference("\ud800"), Code.INVALID_INPUT, "the prompt is no text"),
        (Inference("a", top_p=2.0), Code.INVALID_INPUT, "top_p=2.0 is out of range"),
        (Inference("a", max_tokens=0), Code.INVALID_INPUT, "max_new_tokens must be 1 or more"),
        (Inference("a", kv_handle="x"), Code.INVALID_INPUT, "'x' is no KV handle"),
        (Inference("a", kv_handle="kv:12345678:x.0"), Code.INVALID_INPUT, "is another model's"),
        (Inference("a", draft_model="small"), Code.UNSUPPORTED_CAPABILITY, "this engine makes no guesses"),
        (Inference("a", decoder_strategy="speculative"), Code.UNSUPPORTED_CAPABILITY, "this engine makes no guesses"),
    ],
)
def test_what_cannot_be_served_is_refused(inference: Inference, code: Code, message: str) -> None:
    driver = toy_driver()
    error = refused(driver, inference)
    assert error.code is code and message in error.message
    assert balanced(driver)


def test_an_answer_ends_where_the_context_does() -> None:
    driver = toy_driver(toy_engine(context_length=20))
    result = asyncio.run(driver.infer(Inference("a" * 12, max_tokens=2048), invocation(driver)))
    assert result.finish_reason == "length" and result.native.completion_tokens == 8


def test_a_deadline_ends_answers_as_they_are() -> None:
    engine = toy_engine(blocks=3000, context_length=10_000)
    driver = toy_driver(engine)
    scope = BudgetScope(Budget(max_tokens=10**5, max_kv_bytes=10**9))

    async def run(seconds: float) -> InferenceResult:
        deadline = time.monotonic() + seconds
        return await driver.infer(
            Inference("abc", max_tokens=5000, keep=True), invocation(driver, deadline=deadline, scope=scope)
        )

    late, cut = asyncio.run(run(-1)), asyncio.run(run(0.2))
    assert late.finish_reason == cut.finish_reason == "deadline" and not cut.is_deterministic
    assert late.text == "" and late.kv_handle is None and 0 < cut.native.completion_tokens < 5000
    assert cut.text == expected("abc", cut.native.completion_tokens)
    assert scope.used.tokens == 3 + cut.native.completion_tokens
    driver.end_run()
    assert balanced(driver) and scope.used.kv_bytes == 0


@families
def test_a_cancelled_branch_takes_its_request_with_it(recurrent: bool) -> None:
    engine = toy_engine(recurrent=recurrent, snapshot_gap=4, token_budget=8, blocks=100, context_length=500)
    driver = toy_driver(engine)
    scope = BudgetScope(Budget(max_tokens=10**5, max_kv_bytes=10**9))

    async def run(cancel_all: bool, steps: int) -> None:
        inferences = [
            Inference("a long beginning that is shared " + str(i), max_tokens=20, keep=True) for i in range(3)
        ]
        tasks = [
            asyncio.create_task(
                driver.infer(inference, invocation(driver, branch=(i,), fork="f", scope=scope)), name=f"branch {i}"
            )
            for i, inference in enumerate(inferences)
        ]
        begun = len(engine.executor.batch_tokens)
        while len(engine.executor.batch_tokens) - begun < steps:
            await asyncio.sleep(0)
        for task in tasks if cancel_all else tasks[:1]:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for inference, end in zip(inferences, ends, strict=True):
            if isinstance(end, InferenceResult):
                assert end.text == expected(inference.prompt, 20)
        assert sum(isinstance(end, asyncio.CancelledError) for end in ends) == (3 if cancel_all else 1)
        if cancel_all:
            driver.end_fork("f")
            assert balanced(driver)  # at once

    for steps in (1, 2, 4, 6, 9):  # while the prefix is computed, and afterwards
        for cancel_all in (True, False):
            asyncio.run(run(cancel_all, steps))
            driver.end_run()
            assert balanced(driver) and scope.used.kv_bytes == 0 and not driver._prefixes._computing


def test_an_error_of_the_engine_reaches_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = toy_driver()

    def broken(batch: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(driver._engine.executor, "step", broken)

    async def run() -> list[BaseException]:
        tasks = (driver.infer(Inference(text), invocation(driver)) for text in "ab")
        return await asyncio.gather(*tasks, return_exceptions=True)  # type: ignore[return-value]

    assert [type(error) for error in asyncio.run(run())] == [ZeroDivisionError, ZeroDivisionError]
    assert balanced(driver)


def test_a_full_queue_makes_branches_wait() -> None:
    driver = toy_driver(toy_engine(max_waiting=1, max_sequences=1, snapshot_gap=4))
    texts = [f"a beginning {number}" for number in range(6)]
    for fork in (None, "f"):
        results = asyncio.run(together(driver, [Inference(text, max_tokens=3) for text in texts], fork=fork))
        assert [result.text for result in results] == [expected(text, 3) for text in texts]
    driver.end_run()
    assert balanced(driver)


def test_memory_is_sampled_after_each_step_of_the_run() -> None:
    driver = toy_driver()
    for _ in range(2):
        driver.begin_run()
        results = asyncio.run(together(driver, [Inference(text, max_tokens=4) for text in ("abc", "de")]))
        assert [sample.step for sample in driver.memory] == list(range(len(driver.memory)))
        assert all(sample.held + sample.cached + sample.free == 64 for sample in driver.memory)
        assert {sample.requests for sample in driver.memory} == {2}
        assert all(result.native.steps == (0, len(driver.memory) - 1) for result in results)
        times = [sample.time for sample in driver.memory]
        assert times == sorted(times) and times[0] >= 0 and results[0].native.finished <= times[-1]


@pytest.mark.parametrize("strategy", ["greedy", "sampling", None])
def test_draws_are_the_seeds_whatever_runs_beside(strategy: str | None) -> None:
    def ask(texts: list[str]) -> list[str]:
        wanted = [
            Inference(text, seed=7, temperature=1.0, top_k=50, max_tokens=8, decoder_strategy=strategy)  # type: ignore[arg-type]
            for text in texts
        ]
        return [result.text for result in asyncio.run(together(toy_driver(), wanted))]

    alone = [ask([text])[0] for text in ("one", "two", "three")]
    assert ask(["one", "two", "three"]) == alone
    assert (alone[0] == expected("one", 8)) == (strategy == "greedy")
