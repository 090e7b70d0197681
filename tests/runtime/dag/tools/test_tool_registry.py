"""Functions of a host's as tools: what they are called with, and every way in which they may fail."""

import asyncio
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from toy_driver import invocation

from runtime.dag.errors import Code, NodeError
from runtime.dag.inference.activity import Activity
from runtime.dag.json_value import Json, JsonObject
from runtime.dag.tools.default_tools import add_default_tools
from runtime.dag.tools.tool_registry import ToolRegistry


@dataclass
class Point:
    x: int
    y: int = 0


def registry_of(**functions: Any) -> ToolRegistry:
    registry = ToolRegistry()
    for name, function in functions.items():
        registry.register(name, function)
    return registry


def called(registry: ToolRegistry, name: str, arguments: JsonObject | None = None, **options: Any) -> Json:
    async def call() -> Json:
        activity = Activity()
        with activity.working():
            return (await registry.get(name).call(arguments or {}, invocation(activity, **options))).payload

    return asyncio.run(call())


def failure(registry: ToolRegistry, name: str, arguments: JsonObject | None = None, **options: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        called(registry, name, arguments, **options)
    assert "\n" not in caught.value.message and repr(name) in caught.value.message
    return caught.value


def typed(
    count: int, kind: Literal["a", "b"] = "a", point: Point | None = None, schema: tuple[float, ...] = ()
) -> JsonObject:
    """Says what it got.

    And more.
    """
    return {"count": count, "kind": kind, "point": point, "schema": schema}


async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"count": 3}, {"count": 3, "kind": "a", "point": None, "schema": []}),
        ({"count": "15", "kind": "b"}, {"count": 15, "kind": "b", "point": None, "schema": []}),
        (
            {"count": 1, "point": {"x": "7"}, "schema": ["1", 2]},
            {"count": 1, "kind": "a", "point": {"x": 7, "y": 0}, "schema": [1, 2]},
        ),
    ],
)
def test_arguments_become_what_the_function_takes(arguments: JsonObject, expected: JsonObject) -> None:
    assert called(registry_of(typed=typed), "typed", arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "count: Field required"),
        ({"count": "x"}, "count: Input should be a valid integer"),
        ({"count": 1, "kind": "c"}, "kind: Input should be 'a' or 'b'"),
        ({"count": 1, "other": 2}, "other: Extra inputs are not permitted"),
        ({"point": {}, "other": 2}, "(and 2 more)"),
    ],
)
def test_arguments_that_do_not_fit_fail_the_node(arguments: JsonObject, message: str) -> None:
    error = failure(registry_of(typed=typed), "typed", arguments)
    assert error.code is Code.INVALID_INPUT and message in error.message


def test_the_schema_says_what_a_function_takes() -> None:
    tool = registry_of(typed=typed).get("typed")
    assert tool.description == "Says what it got."
    assert tool.schema["required"] == ["count"] and not tool.schema["additionalProperties"]
    assert set(tool.schema["properties"]) == {"count", "kind", "point", "schema"}


def test_an_untyped_function_of_one_value_gets_everything() -> None:
    registry = registry_of(all=lambda arguments: sorted(arguments), keywords=lambda **arguments: arguments)
    assert called(registry, "all", {"b": 1, "a": 2}) == ["a", "b"]
    assert called(registry, "keywords", {"b": 1}) == {"b": 1}
    assert called(registry_of(nothing=lambda: None), "nothing") is None


def test_functions_without_names_for_their_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="parameter 'values' takes no name"):
        registry_of(bad=lambda first, *values: 0)
    with pytest.raises(ValueError, match="nothing that JSON can become"):

        def function(lock: threading.Lock) -> None: ...

        registry_of(bad=function)


def test_what_a_tool_raises_fails_its_node() -> None:
    def raises(kind: str) -> None:
        match kind:
            case "error":
                raise KeyError("first\nsecond")
            case "exit":
                sys.exit(3)
            case "stop":
                raise StopIteration
            case "node":
                raise NodeError(Code.KV_EXPIRED, "'raises' is told so")

    async def raises_too() -> None:
        raise OSError("gone")

    async def cancels() -> None:
        raise asyncio.CancelledError

    registry = registry_of(raises=raises, raises_too=raises_too, cancels=cancels, odd=lambda: object(), deep=nested)
    error = failure(registry, "raises", {"kind": "error"})
    assert error.code is Code.TOOL_FAILED and "KeyError: 'first\\nsecond'" in error.message
    assert "SystemExit: 3" in failure(registry, "raises", {"kind": "exit"}).message
    assert failure(registry, "raises", {"kind": "stop"}).code is Code.TOOL_FAILED
    assert failure(registry, "raises", {"kind": "node"}).code is Code.KV_EXPIRED
    assert failure(registry, "raises_too").code is Code.TOOL_FAILED
    assert failure(registry, "cancels").code is Code.TOOL_CANCELLED
    assert "what it returned is no JSON" in failure(registry, "odd").message
    assert "what it returned is no JSON" in failure(registry, "deep").message


def nested() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("kind", ["thread", "asynchronous"])
def test_a_tool_that_hangs_fails_its_node_in_time(kind: str) -> None:
    forever = threading.Event()
    registry = ToolRegistry()

    def blocks(seconds: float) -> None:
        forever.wait(seconds)

    registry.register("hangs", blocks if kind == "thread" else slow, timeout=0.1)
    arguments = {"seconds": 1000}
    began = time.monotonic()
    assert failure(registry, "hangs", arguments).code is Code.TOOL_TIMEOUT
    assert failure(registry, "hangs", arguments, timeout=0.01).code is Code.TOOL_TIMEOUT
    assert failure(registry, "hangs", arguments, deadline=time.monotonic() + 0.01).code is Code.BUDGET_EXCEEDED
    assert failure(registry, "hangs", arguments, deadline=time.monotonic() - 1).code is Code.BUDGET_EXCEEDED
    assert time.monotonic() - began < 2
    forever.set()


def test_a_hung_thread_does_not_keep_the_process() -> None:
    program = """
import asyncio, time
from runtime.dag.contract.grant import Grant
from runtime.dag.document.node import Budget
from runtime.dag.errors import NodeError
from runtime.dag.execution.budget import BudgetScope
from runtime.dag.inference.activity import Activity
from runtime.dag.tools.tool import Invocation
from runtime.dag.tools.tool_registry import ToolRegistry
registry = ToolRegistry()
registry.register("hangs", lambda: time.sleep(1000), timeout=0.05)
call = Invocation("/n", (), None, BudgetScope(Budget()), None, Grant.everything(), Activity())
try:
    asyncio.run(registry.get("hangs").call({}, call))
except NodeError as error:
    print(error.code)
import sys
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["ERR_TOOL_TIMEOUT", "False"], done.stderr


def test_cancelling_a_call_cancels_an_asynchronous_tool() -> None:
    ended = []

    async def waits() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(True)

    async def run() -> None:
        call = asyncio.create_task(registry_of(waits=waits).get("waits").call({}, invocation(Activity())))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(0)

    asyncio.run(run())
    assert ended == [True]


def test_a_tool_that_takes_long_lets_others_go_on() -> None:
    async def run() -> list[str]:
        activity, order = Activity(), []

        async def quick() -> None:
            await activity.until_quiet()
            order.append("quiet")

        with activity.working():
            other = asyncio.create_task(quick())
            await registry_of(slow=slow).get("slow").call({"seconds": 0.001}, invocation(activity))
            order.append("short")
            await registry_of(slow=slow).get("slow").call({"seconds": 0.3}, invocation(activity))
            order.append("long")
        await other
        return order

    assert asyncio.run(run()) == ["short", "quiet", "long"]


def test_unknown_tools_are_named_with_what_there_is() -> None:
    registry = registry_of(web_search=slow, calculate=slow)
    assert "did you mean 'web_search'?" in failure(registry, "websearch").message
    error = failure(registry, "zzz")
    assert error.code is Code.RESOURCE_UNAVAILABLE and "calculate, web_search" in error.message


def test_tools_are_found_by_what_they_offer() -> None:
    registry = ToolRegistry()
    for name, capabilities in (("a", ["x"]), ("b", ["x", "y"]), ("c", [])):
        registry.register(name, slow, capabilities=capabilities)
    assert [tool.name for tool in registry.matching(["x"])] == ["a", "b"]
    assert [tool.name for tool in registry.matching([])] == ["a", "b", "c"]
    assert registry.capabilities() == {"a": {"x"}, "b": {"x", "y"}, "c": set()}
    assert "a" in registry and "z" not in registry


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("calculate", {"a": "15", "b": 4, "op": "+"}, {"result": 19.0}),
        ("calculate", {"a": 1, "b": 4, "op": "-"}, {"result": -3.0}),
        ("calculate", {"a": 1.5, "b": 4, "op": "*"}, {"result": 6.0}),
        ("calculate", {"a": 1, "b": 4, "op": "/"}, {"result": 0.25}),
        ("calculate", {"a": 1, "b": 0, "op": "/"}, {"error": "Division by zero"}),
        ("calculate", {"a": 1, "b": 0, "op": "%"}, {"error": "Unknown operator: %"}),
        ("web_search", {"query": "x"}, {"results": "[MOCK] Search results for: x"}),
        ("get_weather", {"location": "Rome"}, {"location": "Rome", "condition": "Sunny", "temperature_c": 22}),
    ],
)
def test_default_tools(name: str, arguments: JsonObject, expected: JsonObject) -> None:
    registry = ToolRegistry()
    add_default_tools(registry)
    assert called(registry, name, arguments) == expected


class Model:
    def __init__(self, answer: Any, available: bool = True) -> None:
        self.answer = answer
        self.available = available
        self.got: list[tuple[str, JsonObject]] = []

    def is_available(self) -> bool:
        return self.available

    def generate(self, prompt: str, params: JsonObject) -> Any:
        self.got.append((prompt, params))
        return self.answer


@pytest.mark.parametrize(
    "answer",
    ["hello", {"success": True, "text": "hello", "tokens_generated": 2}, SimpleNamespace(success=True, text="hello")],
)
def test_a_hosts_model_is_a_tool(answer: Any) -> None:
    model, registry = Model(answer), ToolRegistry()
    registry.register_llm_tool("mine", model, {"temperature": 0.7, "max_tokens": 512})
    assert called(registry, "mine", {"prompt": "say", "temperature": 0.2}) == {"text": "hello"}
    assert model.got == [("say", {"temperature": 0.2, "max_tokens": 512})]
    assert registry.get("mine").is_llm


def test_a_hosts_model_may_fail() -> None:
    registry = ToolRegistry()
    registry.register_llm_tool("failed", Model({"success": False, "error": "out of\nmemory"}))
    registry.register_llm_tool("empty", Model({"success": True}))
    registry.register_llm_tool("away", Model("x", available=False))
    registry.register_llm_tool("function", lambda prompt, params: 1 / 0)
    assert "'failed': out of memory" in failure(registry, "failed", {"prompt": ""}).message
    assert failure(registry, "empty", {"prompt": ""}).code is Code.GENERATION
    assert failure(registry, "away", {"prompt": ""}).code is Code.RESOURCE_UNAVAILABLE
    assert failure(registry, "function", {"prompt": ""}).code is Code.TOOL_FAILED
    assert failure(registry, "failed", {}).code is Code.INVALID_INPUT
