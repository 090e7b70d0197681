"""What a document declares under `/__meta__/resources`."""

from typing import NamedTuple

from runtime.dag.json_value import JsonObject


class ResourceEntry(NamedTuple):
    """type: tool, runtime, network, memory, knowledge_graph, generate_subgraph, reasoning, native_inference_core.
    fields: all others, as written (scope, rate_limit, max_depth, ...)."""

    type: str
    name: str
    capabilities: tuple[str, ...]
    fields: JsonObject
    line: int = 0
