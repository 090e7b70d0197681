"""How nodes, and runs, end."""

from dataclasses import dataclass

from runtime.dag.document.path import Reference
from runtime.dag.errors import NodeError
from runtime.dag.json_value import JsonObject


@dataclass(frozen=True)
class Continue:
    """The node has done its work: what it leads to runs."""

    targets: tuple[Reference, ...]


@dataclass(frozen=True)
class Finish:
    """The region ends; if it is a hard end, the run does. output_keys: what its caller gets, None: as declared."""

    is_hard: bool
    output_keys: tuple[str, ...] | None = None


Control = Continue | Finish


@dataclass
class RunEnds(Exception):
    """The whole run ends here. context: what it leaves. error: a budget that is used up; None: a hard end, success."""

    context: JsonObject
    path: str
    error: NodeError | None = None
