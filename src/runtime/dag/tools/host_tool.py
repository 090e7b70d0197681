"""A Python function of the host's, as a tool."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError, to_jsonable_python

from runtime.dag.contract.permission import Permission
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import Json, JsonObject
from runtime.dag.tools import work
from runtime.dag.tools.parameters import Parameters
from runtime.dag.tools.tool import Invocation, ToolResult


class _Limit(NamedTuple):
    """seconds: until the call is given up; None: never. is_run: then the time of the whole run ends."""

    seconds: float | None
    is_run: bool


@dataclass(frozen=True)
class HostTool:
    """A function in a thread of its own, or an asynchronous one in the event loop. What it raises, or does not give in
    time, fails its node; a thread that hangs is left behind.

    timeout: seconds; None: as long as the run may take. fallback: what stands for returned objects that are no JSON.
    """

    name: str
    description: str
    function: Callable[..., Any]
    parameters: Parameters
    timeout: float | None
    capabilities: frozenset[str] = frozenset()
    is_deterministic: bool = False
    fallback: Callable[[Any], Json] | None = None
    is_llm: bool = False

    @property
    def schema(self) -> JsonObject:
        return self.parameters.schema

    def permissions(self, arguments: JsonObject) -> tuple[Permission, ...]:
        return (Permission("tool", self.name),)

    async def call(self, arguments: JsonObject, invocation: Invocation) -> ToolResult:
        """Raises NodeError: INVALID_INPUT, TOOL_TIMEOUT, TOOL_FAILED (whatever it raised), TOOL_CANCELLED (it did that
        itself), BUDGET_EXCEEDED (the run's time)."""
        try:
            checked = self.parameters.checked(arguments)
        except ValueError as error:
            raise self._error(Code.INVALID_INPUT, str(error)) from None
        limit = self._limit(invocation)
        if limit.seconds is not None and limit.seconds <= 0:
            raise self._late(limit)
        running = work.start(self.name, self.function, lambda: self.parameters.call(self.function, checked))
        try:
            await work.finish(running, limit.seconds, invocation.activity)
            if not running.done():
                raise self._late(limit)
        finally:
            running.cancel()
        return ToolResult(self._payload(running), is_deterministic=self.is_deterministic)

    def _payload(self, done: "asyncio.Future[Any]") -> Json:
        if done.cancelled():
            raise self._error(Code.TOOL_CANCELLED, "it was cancelled from within")
        error = done.exception()
        if isinstance(error, NodeError):
            raise error
        if error is not None:
            raise self._error(Code.TOOL_FAILED, f"{type(error).__name__}: {error}") from error
        try:
            payload = to_jsonable_python(done.result(), fallback=self.fallback)
            json.dumps(payload)
        except (PydanticSerializationError, TypeError, ValueError, RecursionError) as cause:
            raise self._error(Code.TOOL_FAILED, f"what it returned is no JSON: {cause}") from cause
        return payload

    def _limit(self, invocation: Invocation) -> _Limit:
        own = self.timeout if invocation.timeout is None else invocation.timeout
        left = None if invocation.deadline is None else invocation.deadline - time.monotonic()
        if left is not None and (own is None or left < own):
            return _Limit(left, True)
        return _Limit(own, False)

    def _late(self, limit: _Limit) -> NodeError:
        if limit.is_run:
            return self._error(Code.BUDGET_EXCEEDED, "time limit reached (max_duration_sec)")
        return self._error(Code.TOOL_TIMEOUT, f"nothing came in {limit.seconds:g} seconds: raise its timeout")

    def _error(self, code: Code, text: str) -> NodeError:
        return NodeError(code, f"tool {self.name!r}: {' '.join(text.split())[:500]}", {"tool": self.name})
