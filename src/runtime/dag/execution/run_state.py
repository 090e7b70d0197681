"""What all parts of a run share."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import count

from runtime.dag.document.document import Document
from runtime.dag.document.node import MergeStrategy, Resource
from runtime.dag.execution.liveness import Liveness
from runtime.dag.execution.region import Region
from runtime.dag.execution.tracer import Tracer
from runtime.dag.inference.activity import Activity
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.inference.subgraph_kv_cache import SubgraphKVCache
from runtime.dag.json_value import JsonObject
from runtime.dag.template.renderer import Renderer
from runtime.dag.tools.tool_registry import ToolRegistry

RESOURCE_TYPES = ("file", "postgres", "mysql", "sqlite", "api_endpoint", "vector_store", "custom")


@dataclass
class RunState:
    """document: as the run began. driver: None where there is no model. cache: of results of calls, which outlives the
    run. interpret: runs what is to be done in a region; see interpreter.py, which calls and forks need in turn.
    """

    document: Document
    tools: ToolRegistry
    renderer: Renderer
    activity: Activity
    driver: InferenceDriver | None
    cache: SubgraphKVCache
    tracer: Tracer
    liveness: Liveness
    interpret: Callable[["RunState", Region], Awaitable[None]]
    _forks: "count[int]" = field(default_factory=count)

    @property
    def fingerprint(self) -> str:
        """Of the model's weights."""
        return "" if self.driver is None else self.driver.model.fingerprint

    @property
    def merge_strategy(self) -> MergeStrategy:
        return self.document.meta.merge_strategy or "error_on_conflict"

    @property
    def allows_equal(self) -> bool:
        """Whether two branches may write the same: not in a document for production."""
        return not self.document.meta.is_strict

    def new_fork(self, path: str) -> str:
        """A name for one run of a fork."""
        return f"{path}#{next(self._forks)}"

    def now(self) -> str:
        """ISO 8601, UTC, to the second."""
        return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    @cached_property
    def lasting(self) -> JsonObject:
        """What templates see that stays the same all along."""
        entries = self.document.resources
        rates = {entry.name: entry.fields["rate_limit"] for entry in entries if "rate_limit" in entry.fields}
        tools = [self.tools.get(name) for name in self.tools.names]
        return {
            "mode": self.document.meta.mode,
            "resources": dict(self._resources()),
            "available_resources": [{"type": each.type, "name": each.name, **each.fields} for each in entries],
            "available_tools": [
                {"name": tool.name, "description": tool.description, "capabilities": sorted(tool.capabilities)}
                | ({"rate_limit": rates[tool.name]} if tool.name in rates else {})
                for tool in tools
            ],
        }

    def _resources(self) -> Iterator[tuple[str, JsonObject]]:
        """By path, and by the last part of it."""
        for node in self.document.nodes.values():
            if isinstance(node.body, Resource):
                kind = RESOURCE_TYPES.index(node.body.resource_type)
                told = {"uri": node.body.uri, "type": kind, "scope": node.body.scope}
                yield node.path, told
                yield node.path.rpartition("/")[2], told
