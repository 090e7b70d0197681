"""Records of what nodes have done, as they end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from runtime.dag.context.difference import delta
from runtime.dag.document.library import graph_version
from runtime.dag.document.node import Node
from runtime.dag.document.path import Reference, namespace
from runtime.dag.errors import NodeError
from runtime.dag.execution.outcome import RunEnds
from runtime.dag.execution.region import Region
from runtime.dag.json_value import Json, JsonObject
from runtime.dag.trace.record import NativeInference, TraceRecord

Status = Literal["success", "failed", "skipped", "cancelled"]


@dataclass
class Notes:
    """What a node adds to its record while it runs."""

    next_paths: tuple[str, ...] = ()
    snapshot_key: str | None = None
    llm_call: JsonObject | None = None
    dsl_call: JsonObject | None = None
    generate_subgraph: JsonObject | None = None
    tool_call: JsonObject | None = None
    native: NativeInference | None = None
    metadata: JsonObject = field(default_factory=dict)

    def goes_on(self, targets: tuple[Reference, ...]) -> None:
        self.next_paths = tuple(map(str, targets))


class Tracer:
    """All records of a run, in the order in which nodes ended. write: gets each at once."""

    def __init__(
        self, trace_id: str, mode: Literal["dev", "prod"], intents: Json, write: Callable[[TraceRecord], None] | None
    ) -> None:
        self.records: list[TraceRecord] = []
        self._trace_id = trace_id
        self._mode = mode
        self._intents = intents
        self._write = write
        self._began = time.monotonic()
        self._began_at = datetime.now(UTC)

    @contextmanager
    def node(self, node: Node, region: Region) -> Iterator[Notes]:
        """Records the node when it ends, however that is."""
        notes, before, began = Notes(), region.context, self._now()
        status: Status = "cancelled"
        failure: NodeError | None = None
        try:
            yield notes
            status = "success"
        except NodeError as error:
            status, failure = "failed", error
            raise
        except RunEnds as end:  # in a branch of this fork
            status = "success" if end.error is None else "cancelled"
            raise
        finally:
            self._add(node, region, status, began, before, notes, failure)

    def skipped(self, node: Node, region: Region, why: str) -> None:
        """A node that was to run and never will."""
        self._add(node, region, "skipped", self._now(), region.context, Notes(metadata={"why": why}), None)

    def recalled(self, node: Node, region: Region) -> None:
        """A call whose result was known: the graph's first node stands for it."""
        self._add(node, region, "success", self._now(), region.context, Notes(metadata={"recalled": True}), None)

    def time_of(self, seconds: float) -> str:
        """ISO 8601 in UTC, of seconds since the run began."""
        moment = self._began_at + timedelta(seconds=seconds)
        return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _add(
        self,
        node: Node,
        region: Region,
        status: Status,
        began: float,
        before: JsonObject,
        notes: Notes,
        failure: NodeError | None,
    ) -> None:
        ended, graph = self._now(), region.frame.graph
        expected = node.expected_output
        record = TraceRecord(
            trace_id=self._trace_id,
            number=len(self.records),
            node_path=node.path,
            type=node.type,
            branch=region.branch,
            depth=region.frame.depth,
            start_time=self.time_of(began),
            end_time=self.time_of(ended),
            started=began,
            ended=ended,
            status=status,
            mode=self._mode,
            error_code=None if failure is None else str(failure.code),
            error=None if failure is None else failure.message,
            next_paths=notes.next_paths,
            context_delta=delta(before, region.context),
            ctx_snapshot_key=notes.snapshot_key,
            budget_snapshot=region.frame.scope.left(),
            metadata=node.metadata | notes.metadata,
            llm_intent=self._intents,
            expected_output=expected,
            output_match=None if expected is None or status != "success" else _matches(expected, region.context),
            lib_version=graph_version(graph) if graph is not None and namespace(graph.path) == "lib" else None,
            fallback_from=region.stands_in.get(node.path) or region.frame.stands_in_for,
            llm_call=notes.llm_call,
            dsl_call=notes.dsl_call,
            generate_subgraph=notes.generate_subgraph,
            tool_call=notes.tool_call,
            native_inference=notes.native,
        )
        self.records.append(record)
        if self._write is not None:
            self._write(record)


def _matches(expected: Json, context: JsonObject) -> bool:
    """Whether the context has all fields that are expected, with these values."""
    if not isinstance(expected, dict):
        return expected in context.values()
    return all(key in context and context[key] == value for key, value in expected.items())
