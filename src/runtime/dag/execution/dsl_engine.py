"""Documents of AgenticDSL for Python programs: the host's side."""

import asyncio
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from runtime.dag.document.body_readers import DEFAULT_LLM_TOOL
from runtime.dag.document.document import Document
from runtime.dag.document.library import Library, shipped_library
from runtime.dag.document.node import Budget, GenerateSubgraph, Graph, LlmCall, NativeCall, Node, ToolCall
from runtime.dag.document.parser import parse_document, read_document
from runtime.dag.document.validator import validate
from runtime.dag.errors import Code, DocumentError, Problem
from runtime.dag.execution.interpreter import interpret
from runtime.dag.execution.liveness import Liveness
from runtime.dag.execution.program import Program
from runtime.dag.execution.result import RunResult
from runtime.dag.execution.run import Ending, run
from runtime.dag.execution.run_state import RunState
from runtime.dag.execution.tracer import Tracer
from runtime.dag.inference.activity import Activity
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.inference.subgraph_kv_cache import SubgraphKVCache
from runtime.dag.json_value import JsonObject
from runtime.dag.template.renderer import Renderer
from runtime.dag.tools.default_tools import add_default_tools
from runtime.dag.tools.inference_tools import CORE, ENGINE_TOOLS, inference_tools
from runtime.dag.tools.llm_tool import Generate, LanguageModel
from runtime.dag.tools.tool_registry import DEFAULT_TIMEOUT, ToolRegistry
from runtime.dag.trace.record import MemorySample, TraceRecord

MOST_NODES = 4000  # of a run whose document sets no limit: it must end, too, and soon
CACHE_BYTES = 64 << 20


class DSLEngine:
    """Runs a document, any number of times, one run at a time. What calls of its graphs have given is remembered from
    run to run (L0)."""

    def __init__(
        self,
        document: Document,
        driver: InferenceDriver | None = None,
        *,
        library: Library | None = None,
        cache_bytes: int = CACHE_BYTES,
        write: Callable[[TraceRecord], None] | None = None,
    ) -> None:
        """driver: the model for inferences; without one there are only the host's tools. cache_bytes: of L0, 0 turns it
        off. write: gets each record of a trace at once."""
        self.document = document
        self.tools = ToolRegistry()
        add_default_tools(self.tools)
        self._library = library or shipped_library()
        self._renderer = Renderer()
        self._write = write
        self._cache_bytes = cache_bytes
        self.cache = SubgraphKVCache(cache_bytes)
        self._driver: InferenceDriver | None = None
        self._last: RunResult | None = None
        if driver is not None:
            self.use_model(driver)

    @classmethod
    def from_markdown(cls, text: str, driver: InferenceDriver | None = None, **options: Any) -> Self:
        """The document that a text is. Raises DocumentError when it is run, not here: see `problems`."""
        return cls(parse_document(text), driver, **options)

    @classmethod
    def from_file(cls, path: str | Path, driver: InferenceDriver | None = None, **options: Any) -> Self:
        """Raises UserError if the file cannot be read."""
        return cls(read_document(Path(path)), driver, **options)

    def use_model(self, driver: InferenceDriver) -> None:
        """Inferences are this model's from now on."""
        self._driver = driver
        for tool in inference_tools(driver):
            self.tools.add(tool)
        self.cache.clear()
        self.cache = SubgraphKVCache(self._cache_bytes, driver.handles, driver.model.block_bytes)

    def needs_model(self) -> bool:
        """Whether the document declares the engine, or a node that it may run asks for what only that has."""
        if any(CORE in (entry.type, entry.name) or entry.type == "reasoning" for entry in self.document.resources):
            return True
        program = Program(self.document, self._library, self._renderer)
        return any(_asks(place.node, self.tools) for place in program.places_onwards(self.document.nodes))

    def register_tool(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        capabilities: Iterable[str] = (),
        deterministic: bool = False,
    ) -> None:
        """See `ToolRegistry.register`."""
        options: dict[str, Any] = {"capabilities": capabilities, "deterministic": deterministic}
        self.tools.register(name, function, timeout=timeout, **options)
        self.cache.clear()

    def register_llm_tool(
        self, name: str, tool: LanguageModel | Generate, default_params: JsonObject | None = None
    ) -> None:
        """See `ToolRegistry.register_llm_tool`."""
        self.tools.register_llm_tool(name, tool, default_params)
        self.cache.clear()

    def get_tool_registry(self) -> ToolRegistry:
        return self.tools

    def problems(self) -> list[Problem]:
        """All that is wrong with the document, warnings among it."""
        return validate(self.document, self._library, self.tools.capabilities())

    def run(self, ctx: JsonObject | None = None, *, budget: Budget | None = None) -> RunResult:
        """Runs the document in an event loop of its own. ctx: the context to begin with. budget: in place of the
        document's. Raises DocumentError, before anything runs, for a document with errors."""
        return asyncio.run(self.run_async(ctx, budget=budget))

    async def run_async(self, ctx: JsonObject | None = None, *, budget: Budget | None = None) -> RunResult:
        """`run`, for programs that have an event loop. Cancelling it ends the run; its trace until then is in
        `get_last_traces`."""
        errors = [problem for problem in self.problems() if problem.is_error]
        if errors:
            raise DocumentError(errors)
        state = self._state()
        program = Program(self.document, self._library, self._renderer)
        if self._driver is not None:
            self._driver.begin_run()
        limits = budget or self.document.meta.budget
        if limits.max_nodes is None:
            limits = replace(limits, max_nodes=MOST_NODES)
        try:
            ending = await run(state, program, dict(ctx or {}), limits)
        except BaseException:
            self._last = self._result(state, None)
            raise
        self._last = self._result(state, ending)
        self.document = ending.program.document
        return self._last

    def append_graphs(self, graphs: Iterable[Graph]) -> None:
        """Adds graphs to the document, for runs to come; one of a path that is there already replaces it."""
        for graph in graphs:
            kept = tuple(each for each in self.document.graphs if each.path != graph.path)
            self.document = replace(self.document, graphs=(*kept, graph))
            self.cache.invalidate(graph.path)

    def continue_with_generated_dsl(self, text: str) -> RunResult:
        """Adds the graphs of a text, as a model has written it, and goes on with the first of them on the context that
        the last run has left. Raises DocumentError for what is no document."""
        generated = parse_document(text)
        errors = [problem for problem in generated.problems if problem.is_error]
        if not generated.graphs:
            errors.append(Problem(Code.SYNTAX, "there is no block of AgenticDSL in the text"))
        if errors:
            raise DocumentError(errors)
        self.append_graphs(generated.graphs)
        before = self.document
        meta = replace(before.meta, entry_point=generated.graphs[0].first.path)
        self.document = replace(before, meta=meta)
        try:
            return self.run(self._last.final_context if self._last is not None else {})
        finally:
            self.document = replace(self.document, meta=before.meta)

    def get_last_traces(self) -> list[TraceRecord]:
        """Of the last run, however it ended."""
        return list(self._last.traces) if self._last is not None else []

    def get_last_memory(self) -> list[MemorySample]:
        """Of the engine's cache in the last run."""
        return list(self._last.memory) if self._last is not None else []

    def _state(self) -> RunState:
        meta = self.document.meta
        intents = list(self.document.llm_intents) or None
        tracer = Tracer(uuid.uuid4().hex, "prod" if meta.is_strict else "dev", intents, self._write)
        activity = Activity() if self._driver is None else self._driver.activity
        return RunState(
            self.document,
            self.tools,
            self._renderer,
            activity,
            self._driver,
            self.cache,
            tracer,
            Liveness(self._driver, self.tools),
            interpret,
        )

    def _result(self, state: RunState, ending: Ending | None) -> RunResult:
        error = ending.error if ending is not None else None
        message = "cancelled" if ending is None else "success" if error is None else str(error)
        return RunResult(
            ending is not None and error is None,
            message,
            ending.context if ending is not None else {},
            None,
            None if error is None else error.code,
            {} if error is None else error.details,
            tuple(state.tracer.records),
            tuple(self._driver.memory) if self._driver is not None else (),
        )


def _asks(node: Node, tools: ToolRegistry) -> bool:
    """Whether the node asks a model, and the host has none for it."""
    body = node.body
    if isinstance(body, LlmCall):
        return body.tool not in tools
    if isinstance(body, ToolCall):
        return body.tool in ENGINE_TOOLS and body.tool not in tools
    wanted = CORE if isinstance(body, NativeCall) else DEFAULT_LLM_TOOL
    return isinstance(body, NativeCall | GenerateSubgraph) and wanted not in tools
