"""All tools that documents may call, by name."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import JsonObject
from runtime.dag.tools.host_tool import HostTool
from runtime.dag.tools.llm_tool import Generate, LanguageModel, LlmTool
from runtime.dag.tools.parameters import parameters_of
from runtime.dag.tools.tool import Tool

DEFAULT_TIMEOUT = 5.0  # seconds


class ToolRegistry:
    """A name that is registered again stands for the new tool."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self.add(tool)

    def add(self, tool: Tool) -> None:
        self._tools[tool.name] = tool

    def register(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        capabilities: Iterable[str] = (),
        deterministic: bool = False,
    ) -> None:
        """A Python function, which may be asynchronous. Its parameters' types say what its arguments must be and are
        made into; one parameter without a type gets all arguments as one object. What it returns must be JSON, or
        dataclasses and the like of it.

        timeout: seconds, after which its node fails; None: never. deterministic: the same arguments give the same,
        always, so that it need not be called again. Raises ValueError, in one line, for parameters that have no names.
        """
        described = (inspect.getdoc(function) or "").partition("\n\n")[0]
        self.add(
            HostTool(
                name,
                " ".join(described.split()),
                function,
                parameters_of(function),
                timeout,
                frozenset(capabilities),
                deterministic,
            )
        )

    def register_llm_tool(
        self, name: str, tool: LanguageModel | Generate, default_params: JsonObject | None = None
    ) -> None:
        """A language model of the host's, for `dsl_call` and `llm_call`. default_params: where a call says nothing."""
        self.add(LlmTool(name, tool, default_params or {}))

    def get(self, name: str) -> Tool:
        """Raises NodeError (RESOURCE_UNAVAILABLE), which names those that there are."""
        tool = self._tools.get(name)
        if tool is None:
            near = difflib.get_close_matches(name, self._tools, 1)
            fix = f"did you mean {near[0]!r}?" if near else f"registered are {', '.join(self.names) or 'none'}"
            raise NodeError(Code.RESOURCE_UNAVAILABLE, f"there is no tool {name!r}: {fix}", {"tool": name})
        return tool

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    @property
    def names(self) -> list[str]:
        return sorted(self._tools)

    def capabilities(self) -> dict[str, frozenset[str]]:
        """What each tool offers."""
        return {name: self._tools[name].capabilities for name in self.names}

    def matching(self, required: Iterable[str]) -> list[Tool]:
        """The tools that offer all of these, by name."""
        wanted = frozenset(required)
        return [self._tools[name] for name in self.names if wanted <= self._tools[name].capabilities]
