"""What a run gives to its host."""

from dataclasses import dataclass

from runtime.dag.errors import Code
from runtime.dag.json_value import JsonObject
from runtime.dag.trace.record import MemorySample, TraceRecord


@dataclass(frozen=True)
class RunResult:
    """message: one line. final_context: without what the interpreter tells of errors, unless there was one. error: its
    code, None if the run succeeded. paused_at: path of the node that waits for its host, always None unless the engine
    pauses. traces: in the order in which nodes ended. memory: of the engine's cache, after each of its steps."""

    success: bool
    message: str
    final_context: JsonObject
    paused_at: str | None
    error: Code | None
    error_details: JsonObject
    traces: tuple[TraceRecord, ...]
    memory: tuple[MemorySample, ...] = ()
