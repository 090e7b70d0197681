"""A run of a node: what it works on and what it may use."""

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.dag.contract.grant import Grant
from runtime.dag.contract.output_mapping import apply_outputs
from runtime.dag.document.node import Graph, LlmCall, NativeCall, Node, ToolCall
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.budget import BudgetScope
from runtime.dag.execution.program import Place
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState
from runtime.dag.execution.tracer import Notes
from runtime.dag.execution.view import view
from runtime.dag.json_value import Json, JsonObject


@dataclass(frozen=True)
class Step:
    """place: of the node, in a region. scope, grant: the node's own, within the region's. notes: for its record."""

    run: RunState
    region: Region
    place: Place
    scope: BudgetScope
    grant: Grant
    notes: Notes

    @property
    def node(self) -> Node:
        return self.place.node

    @property
    def graph(self) -> Graph:
        return self.place.graph

    @property
    def view(self) -> JsonObject:
        return view(self.run, self.region, self.node)

    def value(self, written: Json) -> Json:
        """With what its templates give."""
        return self.run.renderer.value(written, self.view)

    def text(self, template: str) -> str:
        return self.run.renderer.render(template, self.view)

    def write(self, payload: Json, *, text_first: bool = False) -> None:
        """Puts the result of a tool where the node says, or, if it says nothing, where its graph's signature does."""
        body = self.node.body
        assert isinstance(body, ToolCall | LlmCall | NativeCall)
        keys, mapping = body.output_keys, body.output_mapping
        if not keys and not mapping and isinstance(payload, dict):
            mapping = {name: name for name in self._declared(payload)}
        self.put(payload, keys, mapping, text_first=text_first)

    def put(
        self, payload: Json, keys: tuple[str, ...], mapping: Mapping[str, str], *, text_first: bool = False
    ) -> None:
        """Raises NodeError (INVALID_INPUT) where that is no place, or the context would be too large."""
        try:
            context = apply_outputs(self.region.context, payload, keys, mapping, text_first=text_first)
        except ValueError as error:
            raise NodeError(Code.INVALID_INPUT, f"the result cannot be written: {error}") from error
        self.region.change(self.node.path, context)

    def _declared(self, payload: JsonObject) -> list[str]:
        signature = self.graph.signature
        if signature is None:
            answer = ("text", "kv_handle") if isinstance(self.node.body, NativeCall) else ()
            return [name for name in answer if name in payload]
        return [field.name for field in signature.outputs if field.name in payload]
