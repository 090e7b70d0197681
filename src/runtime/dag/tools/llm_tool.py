"""A language model of the host's, as a tool."""

from collections.abc import Callable
from typing import Any, Protocol

from runtime.dag.contract.permission import Permission
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import JsonObject
from runtime.dag.tools.host_tool import HostTool
from runtime.dag.tools.parameters import Parameters
from runtime.dag.tools.tool import Invocation, ToolResult

_SCHEMA: JsonObject = {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]}


class LanguageModel(Protocol):
    """generate, which may be asynchronous, gives {success, text, error, tokens_generated}, as a mapping or as
    attributes, or the text alone. is_available: whether there is any use in asking."""

    def generate(self, prompt: str, params: JsonObject) -> Any: ...

    def is_available(self) -> bool: ...


Generate = Callable[[str, JsonObject], Any]


class LlmTool:
    """Takes a prompt and parameters, which go before `default_params`, and gives {"text": ...}. It may take as long as
    the run may."""

    is_llm = True
    schema = _SCHEMA
    capabilities = frozenset(("text_generation",))

    def __init__(self, name: str, model: LanguageModel | Generate, default_params: JsonObject) -> None:
        """model: or just its `generate`."""
        self.name = name
        self.description = f"the language model {name}, of the host's"
        self._default_params = default_params
        self._is_available = getattr(model, "is_available", lambda: True)
        generate: Generate = model.generate if hasattr(model, "generate") else model
        self._tool = HostTool(
            name, self.description, generate, _PromptAndParams(_SCHEMA, None), timeout=None, fallback=vars
        )

    def permissions(self, arguments: JsonObject) -> tuple[Permission, ...]:
        return (Permission("tool", self.name),)

    async def call(self, arguments: JsonObject, invocation: Invocation) -> ToolResult:
        """Raises NodeError: INVALID_INPUT without a prompt, RESOURCE_UNAVAILABLE, GENERATION where the model says that
        it failed, and as a host's tool does."""
        if not isinstance(arguments.get("prompt"), str):
            raise NodeError(Code.INVALID_INPUT, f"tool {self.name!r}: prompt: give a text to continue")
        if not self._is_available():
            raise NodeError(Code.RESOURCE_UNAVAILABLE, f"tool {self.name!r}: its model is not available")
        payload = (await self._tool.call(self._default_params | arguments, invocation)).payload
        if isinstance(payload, str):
            return ToolResult({"text": payload})
        answer = payload if isinstance(payload, dict) else {}
        if not answer.get("success", True) or not isinstance(answer.get("text"), str):
            text = " ".join(str(answer.get("error") or "it gave no text").split())
            raise NodeError(Code.GENERATION, f"tool {self.name!r}: {text}")
        return ToolResult({"text": answer["text"]})


class _PromptAndParams(Parameters):
    """Two arguments, by position, from one object."""

    def call(self, function: Callable[..., Any], arguments: JsonObject) -> Any:
        params = {name: value for name, value in arguments.items() if name != "prompt"}
        return function(arguments["prompt"], params)
