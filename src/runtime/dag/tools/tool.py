"""What a node calls."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from runtime.dag.contract.grant import Grant
from runtime.dag.contract.permission import Permission
from runtime.dag.execution.budget import BudgetScope
from runtime.dag.inference.activity import Activity
from runtime.dag.json_value import Json, JsonObject
from runtime.dag.trace.record import NativeInference


@dataclass(frozen=True)
class Invocation:
    """Who calls, and what it may spend.

    branch: indices of fork branches on the way to the node, outermost first. fork: which run of a fork the node is in
    (the innermost one), None in none. deadline: time.monotonic() when the run has to end. timeout: seconds that the
    node gives a tool, in place of the tool's own.
    """

    node_path: str
    branch: tuple[int, ...]
    fork: str | None
    scope: BudgetScope
    deadline: float | None
    grant: Grant
    activity: Activity
    timeout: float | None = None


class ToolResult(NamedTuple):
    """is_deterministic: the same arguments give the same payload, always. used_features: of an inference, for traces.
    notes: what was done otherwise than asked, a line each."""

    payload: Json
    native: NativeInference | None = None
    is_deterministic: bool = False
    used_features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Tool(Protocol):
    """schema: JSON Schema of the arguments, an object. capabilities: what it offers to documents that declare it.
    is_llm: a call of it counts as an LLM call. Tools that take a `prompt` and give {"text": ...} serve `dsl_call`."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def schema(self) -> JsonObject: ...

    @property
    def capabilities(self) -> frozenset[str]: ...

    @property
    def is_llm(self) -> bool: ...

    def permissions(self, arguments: JsonObject) -> tuple[Permission, ...]:
        """What the caller must be allowed to, for a call with these arguments."""
        ...

    async def call(self, arguments: JsonObject, invocation: Invocation) -> ToolResult:
        """Raises NodeError, whatever went wrong. The caller has asked for the permissions. Cancelling it ends the
        call."""
        ...
