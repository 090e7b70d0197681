"""What can go wrong with a document, before and while it runs."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from runtime.dag.trace.record import NativeInference
from runtime.errors import UserError


def one_line(text: str, most: int) -> str:
    """The text on one line, of at most so many characters, all of which can be shown: what is told of a document may
    quote what it has."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= most else line[: most - 3] + "..."


class Code(StrEnum):
    """Error codes of AgenticDSL 3.10, appendix B, and of its older parts."""

    MISSING_ENTRY_POINT = "ERR_MISSING_ENTRY_POINT"
    NAMESPACE_VIOLATION = "ERR_NAMESPACE_VIOLATION"
    NAMESPACE_DISABLED = "ERR_NAMESPACE_DISABLED"
    CTX_MERGE_CONFLICT = "ERR_CTX_MERGE_CONFLICT"
    RESOURCE_UNAVAILABLE = "ERR_RESOURCE_UNAVAILABLE"
    UNSUPPORTED_CAPABILITY = "ERR_UNSUPPORTED_CAPABILITY"
    SIGNATURE_VIOLATION = "ERR_SIGNATURE_VIOLATION"
    SIGNATURE_REQUIRED = "ERR_SIGNATURE_REQUIRED"
    BUDGET_EXCEEDED = "ERR_BUDGET_EXCEEDED"
    ASSERT_FAILED = "ERR_ASSERT_FAILED"
    TOOL_TIMEOUT = "ERR_TOOL_TIMEOUT"
    TOOL_CANCELLED = "ERR_TOOL_CANCELLED"
    TOOL_FAILED = "ERR_EXEC.TOOL_FAILED"
    KV_EXPIRED = "ERR_KV_EXPIRED"
    INVALID_INPUT = "ERR_INVALID_INPUT"
    SYNTAX = "ERR_INPUT.SYNTAX"
    TEMPLATE = "ERR_EXEC.TEMPLATE"
    UNKNOWN_TARGET = "ERR_INPUT.UNKNOWN_TARGET"
    GENERATION = "ERR_EXEC.GENERATION"
    PERMISSION_DENIED = "ERR_SYSTEM.PERMISSION_DENIED"


class Problem(NamedTuple):
    """One fault of a document and where it is. block, node: paths, "" where there is none; line: from 1, 0 if unknown.
    is_error: else it is a warning, and the document runs."""

    code: Code
    text: str  # one line: what is wrong and how to mend it
    file: str = ""
    block: str = ""
    node: str = ""
    line: int = 0
    is_error: bool = True

    def __str__(self) -> str:
        where = f"{self.file or '<document>'}:{self.line}" if self.line else self.file or "<document>"
        path = self.node or self.block
        return f"{where}: {path + ': ' if path else ''}{self.text} [{self.code}]"


class DocumentError(UserError):
    """A document that cannot run. str: one line for each fault."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass
class NodeError(Exception):
    """A node has failed: its `on_error` runs, or else its subgraph ends. details: JSON, for `$.error.context`. native:
    what the engine did for it all the same."""

    code: Code
    message: str  # one line
    details: dict[str, Any] = field(default_factory=dict)
    native: NativeInference | None = None

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"
