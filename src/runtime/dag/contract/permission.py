"""What a node, a graph or a caller may do."""

from typing import NamedTuple


class Permission(NamedTuple):
    """kind: tool, runtime, network, file, generate_subgraph, reasoning, memory, kg, vector, profile, ...; name: which
    of them ("" is all of the kind). max_depth: of generate_subgraph. extras: keys beside it (scope, ...), as written;
    they are shown, and not enforced.

    >>> Permission("tool", "web_search"), Permission("reasoning", "llm_generate")
    """

    kind: str
    name: str = ""
    max_depth: int | None = None
    extras: tuple[tuple[str, str], ...] = ()
