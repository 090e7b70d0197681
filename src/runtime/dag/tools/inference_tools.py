"""The engine, as tools: the five names that documents have for it."""

from collections.abc import Callable
from dataclasses import dataclass

from runtime.dag.contract.permission import Permission
from runtime.dag.errors import Code, NodeError
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.inference.inference import Inference, InferenceResult
from runtime.dag.json_value import JsonObject
from runtime.dag.tools.inference_arguments import InferenceArguments
from runtime.dag.tools.tool import Invocation, ToolResult

CORE = "native_inference_core"
ENGINE_TOOLS = ("native_infer", CORE, "grammar_enforced_infer", "speculative_runner", "llama-default")
_TEXT = frozenset(("text_generation", "kv_continuation", "stream_output"))
_CORE = frozenset(("tokenize", "kv_alloc", "model_step", "compile_grammar", "stream_until"))


@dataclass(frozen=True)
class InferenceTool:
    """defaults: what is taken where a call says nothing. forced: what is taken whatever a call says. required:
    arguments that a call has to have. payload: what a node gets of a result."""

    driver: InferenceDriver
    name: str
    description: str
    capabilities: frozenset[str]
    payload: Callable[[InferenceResult], JsonObject]
    defaults: JsonObject
    forced: JsonObject
    required: tuple[str, ...] = ()
    is_llm: bool = True

    @property
    def schema(self) -> JsonObject:
        schema = InferenceArguments.model_json_schema(by_alias=False)
        return schema | {"required": ["prompt", *self.required]}

    def permissions(self, arguments: JsonObject) -> tuple[Permission, ...]:
        return self._read(arguments).permissions

    async def call(self, arguments: JsonObject, invocation: Invocation) -> ToolResult:
        """Raises NodeError: INVALID_INPUT, and as `InferenceDriver.infer` does."""
        result = await self.driver.infer(self._inference(self._read(arguments)), invocation)
        return ToolResult(
            self.payload(result), result.native, result.is_deterministic, result.used_features, result.notes
        )

    def _read(self, arguments: JsonObject) -> InferenceArguments:
        try:
            asked = InferenceArguments.read(arguments)
        except ValueError as error:
            raise NodeError(Code.INVALID_INPUT, f"{self.name}: {error}", {"tool": self.name}) from None
        asked = asked.model_copy(update=self.forced)
        for field in self.required:
            if getattr(asked, field) is None:
                raise NodeError(Code.INVALID_INPUT, f"{self.name}: {field}: it is required", {"tool": self.name})
        return asked

    def _inference(self, asked: InferenceArguments) -> Inference:
        given = {name: value for name, value in asked if value is not None}
        # Who asks for sampling and says no more does not mean greedy.
        warm = {"temperature": 1.0} if asked.decoder_strategy == "sampling" else {}
        return Inference(**(self.defaults | warm | given))


def inference_tools(driver: InferenceDriver) -> list[InferenceTool]:
    """native_infer, grammar_enforced_infer, speculative_runner, native_inference_core and llama-default, all on one
    engine. Guessing is offered where the engine does it."""
    guesses = frozenset(("speculative_decode",)) if driver.model.drafts else frozenset()
    structured = frozenset(("structured_generate",))
    return [
        InferenceTool(
            driver,
            "native_infer",
            "Continues a text",
            _TEXT | structured | guesses,
            _core_payload,
            {"keep": True},
            {},
        ),
        InferenceTool(
            driver,
            CORE,
            "All that the engine does: texts, structured output, continuing from a handle, stopping, guessing",
            _CORE | _TEXT | structured | guesses,
            _core_payload,
            {"keep": True},
            {},
        ),
        InferenceTool(
            driver,
            "grammar_enforced_infer",
            "Writes JSON that obeys a schema",
            structured,
            lambda result: {"parsed_output": result.parsed_output, "text": result.text},
            {},
            {"temperature": 0.0},
            ("output_schema",),
        ),
        InferenceTool(
            driver,
            "speculative_runner",
            "Continues a text, several tokens in a step where guesses are right",
            guesses,
            lambda result: {
                "verified_output": result.text,
                "acceptance_rate": result.acceptance_rate,
                "text": result.text,
            },
            {"max_speculative_tokens": 5},
            {"decoder_strategy": "speculative"},
        ),
        InferenceTool(
            driver,
            "llama-default",
            "Continues a text, as the defaults of `dsl_call` have it",
            _TEXT - {"kv_continuation"},
            lambda result: {"text": result.text},
            {"temperature": 0.7, "top_p": 0.95, "max_tokens": 512},
            {},
        ),
    ]


def _core_payload(result: InferenceResult) -> JsonObject:
    payload: JsonObject = {"text": result.text}
    if result.kv_handle is not None:
        payload["kv_handle"] = result.kv_handle
    if "output_schema" in result.used_features:
        payload["parsed_output"] = result.parsed_output
    if result.acceptance_rate is not None:
        payload["acceptance_rate"] = result.acceptance_rate
    return payload
