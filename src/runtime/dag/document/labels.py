"""What nodes are called where there is little room."""

from collections.abc import Iterable

from runtime.dag.contract.signature import Field, Signature
from runtime.dag.document.fields import is_template
from runtime.dag.document.node import (
    Assert,
    Assign,
    End,
    Fork,
    GenerateSubgraph,
    Join,
    LlmCall,
    NativeCall,
    Node,
    Resource,
    ToolCall,
    Unsupported,
)

KINDS = {
    **dict.fromkeys(("llm_call", "dsl_call"), "inference"),
    **dict.fromkeys(("generate_subgraph", "llm_generate_dsl"), "generate"),
    "tool_call": "tool",
    "assign": "assign",
    "assert": "assert",
}


def kind(node: Node) -> str:
    """What the viewer colours nodes by: inference, tool, generate, assign, assert or flow."""
    return KINDS.get(node.type, "flow")


def name(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def detail(node: Node) -> str:
    """What a node does, in a few words; of any length."""
    match node.body:
        case Assign(values):
            return ", ".join(path or "$" for path in values)
        case ToolCall(tool) | LlmCall(tool=tool):
            return tool
        case NativeCall(llm):
            strategy = llm.get("decoder_strategy")
            return strategy if isinstance(strategy, str) and not is_template(strategy) else ""
        case Fork(branches):
            return f"{len(branches)} branches" if isinstance(branches, tuple) else "branches as a template says"
        case Join(strategy):
            return strategy or ""
        case Assert(condition):
            return condition
        case End(is_hard):
            return "" if is_hard else "soft"
        case GenerateSubgraph(namespace_prefix=prefix):
            return prefix
        case Resource(resource_type, uri):
            return f"{resource_type} {uri}"
        case Unsupported():
            return "is not run"
        case _:
            return ""


def signature_line(signature: Signature) -> str:
    """`(prompt: string, seed?: integer) → text: string`"""
    return cut(f"({_fields(signature.inputs)}) → {_fields(signature.outputs) or 'nothing'}", 100)


def _fields(fields: Iterable[Field]) -> str:
    return ", ".join(f"{field.name}{'' if field.required else '?'}: {field.type}" for field in fields)


def cut(text: str, most: int) -> str:
    """On one line, of at most `most` characters that can be shown."""
    line = "".join(character if character.isprintable() else " " for character in text[: 4 * most])
    line = " ".join(line.split())
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"
