"""What all parts of a run share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from runtime.dag.document.document import Document
from runtime.dag.document.node import MergeStrategy, Node, Resource
from runtime.dag.execution.liveness import Liveness
from runtime.dag.execution.tracer import Tracer
from runtime.dag.inference.activity import Activity
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.inference.subgraph_kv_cache import SubgraphKVCache
from runtime.dag.json_value import JsonObject
from runtime.dag.template.renderer import Renderer
from runtime.dag.tools.tool_registry import ToolRegistry

if TYPE_CHECKING:
    from runtime.dag.execution.region import Region

RESOURCE_TYPES = ("file", "postgres", "mysql", "sqlite", "api_endpoint", "vector_store", "custom")


@dataclass
class RunState:
    """document: as the run began. driver: None where there is no model. cache: of results of calls, which outlives the
    run."""

    document: Document
    tools: ToolRegistry
    renderer: Renderer
    activity: Activity
    driver: InferenceDriver | None
    cache: SubgraphKVCache
    tracer: Tracer
    liveness: Liveness
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

    def told(self, region: "Region", node: Node) -> JsonObject:
        """What templates see besides the context."""
        return self._lasting | {
            "now": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "budget": region.frame.scope.left(),
            "ctx_snapshots": region.snapshots.as_json(),
            "available_subgraphs": region.program.catalogue,
            "expected_output": node.expected_output,
            "execution_context": {
                "executed_nodes": list(region.ended),
                "task_goal": region.context.get("task_goal"),
            },
        }

    @cached_property
    def _lasting(self) -> JsonObject:
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
