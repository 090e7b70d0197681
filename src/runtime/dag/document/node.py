"""The nodes of a document as they are written: values that may hold templates are not yet rendered."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from runtime.dag.contract.permission import Permission
from runtime.dag.contract.signature import Signature
from runtime.dag.document.path import Reference
from runtime.dag.json_value import Json, JsonObject

Targets = tuple[Reference, ...] | str  # a string is a template that gives a path or a list of paths
MergeStrategy = Literal["error_on_conflict", "last_write_wins", "deep_merge", "array_concat", "array_merge_unique"]


class Wait(NamedTuple):
    """What has to have ended before a node is queued. targets: paths or a template of a list of them."""

    targets: Targets
    is_any: bool = False  # any_of; else all_of


class Requirement(NamedTuple):
    """requires: - lib: "/lib/x@^1.0" or - tool: "name"."""

    kind: Literal["lib", "tool"]
    name: str  # of a lib: its path, version range included


@dataclass(frozen=True)
class Budget:
    """Limits of a scope; None: none. max_tokens (prompts and answers) and max_kv_bytes are this project's own."""

    max_nodes: int | None = None
    max_llm_calls: int | None = None
    max_subgraph_depth: int | None = None
    max_duration_sec: float | None = None
    max_snapshots: int | None = None
    snapshot_max_size_kb: int | None = None
    max_tokens: int | None = None
    max_kv_bytes: int | None = None


@dataclass(frozen=True)
class Start:
    pass


@dataclass(frozen=True)
class End:
    is_hard: bool = True
    output_keys: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Assign:
    """values: field path -> value, in order. The legacy form {expr, path} is the one entry {path: expr}, where the path
    "" is the whole context."""

    values: JsonObject


@dataclass(frozen=True)
class ToolCall:
    tool: str
    arguments: JsonObject | None  # None: bound to the signature's inputs
    output_keys: tuple[str, ...] = ()
    output_mapping: dict[str, str] = field(default_factory=dict)
    rollback_on_failure: bool = False
    timeout: float | None = None  # seconds


@dataclass(frozen=True)
class LlmCall:
    """dsl_call, and llm_call without `llm` (tool "llama-default"): a prompt for a tool, its text under a key."""

    prompt_template: str
    tool: str
    params: JsonObject
    output_keys: tuple[str, ...]
    output_mapping: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NativeCall:
    """llm_call with an `llm` object."""

    llm: JsonObject
    output_keys: tuple[str, ...] = ()
    output_mapping: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GenerateSubgraph:
    prompt_template: str
    output_keys: tuple[str, ...]
    params: JsonObject
    validation: Literal["strict", "warn", "ignore"] | None  # None: strict in prod, warn in dev
    on_signature_violation: Reference | None = None
    namespace_prefix: str = "/dynamic/"
    max_blocks: int | None = None


@dataclass(frozen=True)
class Fork:
    branches: Targets


@dataclass(frozen=True)
class Join:
    merge_strategy: MergeStrategy | None = None  # None: inherited


@dataclass(frozen=True)
class Assert:
    condition: str
    on_failure: Reference | None = None


@dataclass(frozen=True)
class Resource:
    resource_type: str
    uri: str
    scope: str = "global"


@dataclass(frozen=True)
class Unsupported:
    """A type that is known and does nothing here (codelets), or is unknown: an error when it is reached."""

    why: str


Body = (
    Start
    | End
    | Assign
    | ToolCall
    | LlmCall
    | NativeCall
    | GenerateSubgraph
    | Fork
    | Join
    | Assert
    | Resource
    | Unsupported
)


@dataclass(frozen=True)
class Node:
    """path: absolute. type: as it is written. line: of the file, where the node begins."""

    path: str
    type: str
    body: Body
    next: Targets = ()
    wait_for: Wait | None = None
    on_error: Reference | None = None
    on_success: str | None = None  # a path, or archive_to("/lib/..@v1")
    permissions: tuple[Permission, ...] = ()
    context_merge_policy: dict[str, MergeStrategy] = field(default_factory=dict)
    expected_output: Json = None
    snapshot: bool = False  # metadata.snapshot_before_execution
    budget: Budget | None = None  # execution_budget: tighter than what encloses it
    metadata: JsonObject = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True)
class Graph:
    """A subgraph, or a single node (then `nodes` has one, with the graph's own path)."""

    path: str  # with its version, if it has one
    nodes: tuple[Node, ...]
    entry: str | None = None  # absolute path of the node to begin with, if the block says one
    signature: Signature | None = None
    permissions: tuple[Permission, ...] = ()
    requires: tuple[Requirement, ...] = ()
    context_merge_policy: dict[str, MergeStrategy] = field(default_factory=dict)
    budget: Budget | None = None
    metadata: JsonObject = field(default_factory=dict)
    on_error: Reference | None = None
    file: str = ""
    line: int = 0

    @cached_property
    def first(self) -> Node:
        """Where a call begins: `entry`, else the node `start`, else the first."""
        wanted = (self.entry, f"{self.path}/start")
        by_path = {node.path: node for node in self.nodes}
        return next((by_path[path] for path in wanted if path in by_path), self.nodes[0])
