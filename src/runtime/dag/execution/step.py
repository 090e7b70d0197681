"""One node, from the moment that it may run to its record in the trace."""

from typing import TYPE_CHECKING

from runtime.dag.contract.output_mapping import apply_outputs
from runtime.dag.document.node import (
    Assert,
    Assign,
    End,
    Fork,
    GenerateSubgraph,
    Join,
    LlmCall,
    NativeCall,
    Resource,
    Start,
    ToolCall,
    Unsupported,
)
from runtime.dag.document.node_reader import archive_target
from runtime.dag.document.path import Reference, parse_reference
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.assignment import assigned
from runtime.dag.execution.fork import fork, merge_now
from runtime.dag.execution.generate import generate
from runtime.dag.execution.outcome import Continue, Control, Finish
from runtime.dag.execution.program import Place
from runtime.dag.execution.tool_use import ask_core, ask_model, use_tool
from runtime.dag.execution.tracer import Notes
from runtime.dag.json_value import Json, JsonObject

if TYPE_CHECKING:
    from runtime.dag.execution.region import Region

SNAPSHOT = (Fork, GenerateSubgraph, Assert)  # types before which the context is always kept


class Step:
    """A run of the node at `place` in a region."""

    def __init__(self, region: "Region", place: Place) -> None:
        self.region = region
        self.run_state = region.run_state
        self.place = place
        self.node, self.graph = place
        outer = region.frame.scope
        self.scope = outer.child(self.node.budget) if self.node.budget else outer
        self.grant = region.frame.grant.narrowed(self.node.permissions)
        self.notes = Notes()

    async def run(self) -> Control:
        """Raises NodeError, and from within a fork RunEnds."""
        with self.run_state.tracer.node(self.node, self.region) as self.notes:
            self._admit()
            await self._do()
            if isinstance(self.node.body, End):
                return Finish(self.node.body.is_hard, self.node.body.output_keys)
            targets = (*self._on_success(), *self.region.references(self.node.next, self.place))
            self.notes.next_paths = tuple(map(str, targets))
            return Continue(targets)

    @property
    def view(self) -> JsonObject:
        return self.region.view(self.node)

    def value(self, written: Json) -> Json:
        """With what its templates give."""
        return self.run_state.renderer.value(written, self.view)

    def text(self, template: str) -> str:
        return self.run_state.renderer.render(template, self.view)

    def write(self, payload: Json, *, text_first: bool = False) -> None:
        """Puts the result of a tool where the node says, or, if it says nothing, where its graph's signature does."""
        body = self.node.body
        assert isinstance(body, ToolCall | LlmCall | NativeCall)
        keys, mapping = body.output_keys, body.output_mapping
        if not keys and not mapping and isinstance(payload, dict):
            mapping = {name: name for name in self._declared(payload)}
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

    def _admit(self) -> None:
        """Raises NodeError if the node may not run, or if what it may use has been used up."""
        body = self.node.body
        self.scope.check_time()
        asks = isinstance(body, LlmCall | NativeCall | GenerateSubgraph)
        if isinstance(body, ToolCall):
            asks = self.run_state.tools.get(body.tool).is_llm
        self.scope.charge(nodes=1, llm_calls=int(asks), depth=int(isinstance(body, GenerateSubgraph)))
        for permission in self.node.permissions:
            self.region.frame.grant.require(permission)
        keeps = isinstance(body, SNAPSHOT) or (isinstance(body, ToolCall) and body.rollback_on_failure)
        if (keeps or self.node.snapshot) and self.region.snapshots.take(self.node.path, self.region.context):
            self.notes.snapshot_key = self.node.path

    async def _do(self) -> None:
        match self.node.body:
            case Assign() as body:
                self.region.change(self.node.path, assigned(self, body))
            case ToolCall() as body:
                await use_tool(self, body)
            case LlmCall() as body:
                await ask_model(self, body)
            case NativeCall() as body:
                await ask_core(self, body)
            case GenerateSubgraph() as body:
                await generate(self, body)
            case Fork() as body:
                await fork(self.region, self.place, body)
            case Join():
                merge_now(self.region, self.place)
            case Assert(condition):
                if not self.run_state.renderer.condition(condition, self.view):
                    shown = condition if len(condition) <= 200 else condition[:197] + "..."
                    raise NodeError(Code.ASSERT_FAILED, f"assertion failed: {' '.join(shown.split())}")
            case Unsupported(why):
                raise NodeError(Code.UNSUPPORTED_CAPABILITY, why)
            case Start() | End() | Resource():
                pass

    def _on_success(self) -> tuple[Reference, ...]:
        text = self.node.on_success
        if text is None:
            return ()
        archive = archive_target(text)
        if archive is None:
            return (parse_reference(text, ""),)
        self.notes.metadata["not_archived"] = archive  # a run writes no library: its host does
        return ()
