"""Calls that are remembered: exactly those, for as long as they hold, and with their memory."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_driver import BLOCK_BYTES, ToyEncoder, invocation, toy_driver
from toy_model import toy_continuation, toy_engine

from runtime.dag.document.node import Budget
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.budget import BudgetScope
from runtime.dag.inference.inference import Inference
from runtime.dag.inference.subgraph_kv_cache import CallKey, SubgraphKVCache
from runtime.dag.json_value import Json, JsonObject

KEY = CallKey.of("/lib/a", "1", "hash", "model", {"x": 1}, {"seed": 0}, "grant")
FREE = BudgetScope(Budget())


def always(path: str, content: str) -> bool:
    return True


def test_a_call_is_known_by_all_that_it_depends_on() -> None:
    cache = SubgraphKVCache(10**6)
    cache.record(KEY, {"text": "one", "more": [1.0, None]}, [], {})
    assert cache.recall(KEY, always, FREE) == {"text": "one", "more": [1.0, None]}
    others = [replace(KEY, **{name: "other"}) for name in ("path", "version", "content", "model", "grant")]
    others += [
        CallKey.of("/lib/a", "1", "hash", "model", inputs, {"seed": seed}, "grant")
        for inputs, seed in (({"x": 1.0}, 0), ({"x": True}, 0), ({"x": "1"}, 0), ({"x": 1}, 1), ({}, 0))
    ]
    assert all(cache.recall(key, always, FREE) is None for key in others)
    assert (cache.hits, cache.misses) == (1, len(others))


def test_what_is_recalled_is_nobody_elses() -> None:
    cache, outputs = SubgraphKVCache(10**6), {"list": [1]}
    cache.record(KEY, outputs, [], {})
    outputs["list"].append(2)
    for _ in range(2):
        recalled = cache.recall(KEY, always, FREE)
        assert recalled == {"list": [1]}
        recalled["list"].append(3)


def test_a_call_is_forgotten_when_a_graph_that_it_led_to_changes() -> None:
    cache = SubgraphKVCache(10**6)
    cache.record(KEY, {"a": 1}, [], {"/lib/b": "old"})
    assert cache.recall(KEY, lambda path, content: (path, content) == ("/lib/b", "old"), FREE) == {"a": 1}
    assert cache.recall(KEY, lambda path, content: False, FREE) is None and len(cache) == 0
    for path in ("/lib/a", "/lib/b"):
        cache.record(KEY, {"a": 1}, [], {"/lib/b": "old"})
        cache.invalidate("/lib/c")
        assert len(cache) == 1
        cache.invalidate(path)
        assert len(cache) == 0 and cache.bytes == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 60)), max_size=40))
def test_the_least_recently_used_go_first_and_the_size_is_kept(uses: list[tuple[int, int]]) -> None:
    cache, twin = SubgraphKVCache(100), dict[int, int]()
    for number, size in uses:
        key, outputs = replace(KEY, inputs=str(number)), {"": "x" * size}
        if cache.recall(key, always, FREE) is not None:
            twin[number] = twin.pop(number)
        else:
            assert number not in twin
            cache.record(key, outputs, [], {})
            twin[number] = size + 8
            while sum(twin.values()) > 100:
                del twin[next(iter(twin))]
        assert cache.bytes == sum(twin.values()) <= 100 and len(cache) == len(twin)


def test_what_is_too_large_takes_nothing_elses_place() -> None:
    cache = SubgraphKVCache(100)
    cache.record(KEY, {"a": 1}, [], {})
    cache.record(replace(KEY, path="/lib/b"), {"a": "x" * 100}, [], {})
    assert len(cache) == 1 and cache.recall(KEY, always, FREE) == {"a": 1}


@pytest.mark.parametrize("recurrent", [False, True])
def test_handles_in_a_result_outlive_the_run_under_new_names(recurrent: bool) -> None:
    engine = toy_engine(recurrent=recurrent, prefix=False)
    driver = toy_driver(engine)
    cache = SubgraphKVCache(10**6, driver.handles, BLOCK_BYTES)

    def ask(prompt: str, handle: str | None = None, keep: bool = False) -> tuple[str, str, int]:
        inference = Inference(prompt, max_tokens=5, kv_handle=handle, keep=keep)
        result = asyncio.run(driver.infer(inference, invocation(driver)))
        return result.text, result.kv_handle or "", result.native.prefilled_tokens

    text, name, _ = ask("abc", keep=True)
    outputs: JsonObject = {"text": text, "inner": [{"kv_handle": name}], "not": name + "."}
    cache.record(KEY, outputs, [name, name, "kv:gone"], {})
    driver.end_run()
    assert engine.ledger().held > 0 and name not in driver.handles and len(driver.handles) == 0
    scope = BudgetScope(Budget(max_kv_bytes=10**6))
    found: list[Json] = [cache.recall(KEY, always, scope) for _ in range(2)]
    names = [outputs["inner"][0]["kv_handle"] for outputs in found]
    assert names[0] != names[1] and found[0]["text"] == text and found[0]["not"] == name + "."
    assert scope.used.kv_bytes == 2 * len(driver.handles.get(names[0]).handle.blocks) * BLOCK_BYTES
    tokens = [*b"abc", *toy_continuation(list(b"abc"), 5)]
    for each in names:
        text, _, prefilled = ask("x", each)
        assert text == ToyEncoder().decode(toy_continuation([*tokens, *b"x"], 5)) and prefilled == 2
    driver.end_run()
    assert scope.used.kv_bytes == 0 and engine.ledger().held > 0
    tight = BudgetScope(Budget(max_kv_bytes=1))
    with pytest.raises(NodeError) as caught:
        cache.recall(KEY, always, tight)
    assert caught.value.code is Code.BUDGET_EXCEEDED and tight.used.kv_bytes == 0 and len(driver.handles) == 0
    cache.clear()
    assert engine.ledger().held == 0 and cache.bytes == 0


def test_memory_of_what_was_not_deterministic_is_pinned_and_nothing_recalled() -> None:
    engine = toy_engine()
    driver = toy_driver(engine)
    cache = SubgraphKVCache(10**6, driver.handles, BLOCK_BYTES)
    result = asyncio.run(driver.infer(Inference("abcdefgh", max_tokens=5, keep=True), invocation(driver)))
    cache.record(KEY, None, [result.kv_handle or ""], {})
    driver.end_run()
    assert cache.recall(KEY, always, FREE) is None and engine.ledger().held > 0 and cache.bytes > BLOCK_BYTES
    cache.record(KEY, None, [], {})  # again, without
    assert engine.ledger().held == 0
