"""A document: what one or several files of AgenticDSL say."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from runtime.dag.contract.capability import ResourceEntry
from runtime.dag.document.node import Budget, Graph, MergeStrategy, Node
from runtime.dag.errors import Problem
from runtime.dag.json_value import Json


@dataclass(frozen=True)
class Meta:
    """`/__meta__`, and what stands in its place where it is missing."""

    version: str | None = None
    mode: Literal["dev", "prod"] = "prod"
    entry_point: str | None = None
    budget: Budget = field(default_factory=Budget)
    merge_strategy: MergeStrategy | None = None
    line: int = 0

    @property
    def is_strict(self) -> bool:
        """Whether the document says that it is one for production. One without `/__meta__` is of the time before there
        was any, and may do what is only frowned upon."""
        return self.mode == "prod" and self.line > 0


@dataclass(frozen=True)
class Document:
    """graphs: in the order of the file. problems: what the parser found, warnings among them."""

    meta: Meta
    resources: tuple[ResourceEntry, ...]
    graphs: tuple[Graph, ...]
    file: str = ""
    llm_intents: tuple[Json, ...] = ()  # of <!-- LLM_INTENT: {json} --> comments
    problems: tuple[Problem, ...] = ()

    @cached_property
    def by_path(self) -> dict[str, Graph]:
        return {graph.path: graph for graph in self.graphs}

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """All nodes by path, in the order of the file."""
        return {node.path: node for graph in self.graphs for node in graph.nodes}
