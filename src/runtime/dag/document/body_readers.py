"""What a node does, from its fields: a reader for each type. Both spellings of everything that documents use."""

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Literal, cast, get_args

from runtime.dag.document.fields import Fields
from runtime.dag.document.node import (
    Assert,
    Assign,
    Body,
    End,
    Fork,
    GenerateSubgraph,
    Join,
    LlmCall,
    MergeStrategy,
    NativeCall,
    Resource,
    Start,
    ToolCall,
    Unsupported,
)
from runtime.dag.errors import Code
from runtime.dag.json_value import JsonObject

DEFAULT_LLM_TOOL = "llama-default"
RESOURCE_TYPES = ("file", "postgres", "mysql", "sqlite", "api_endpoint", "vector_store", "custom")
NOT_RUN = {
    "codelet_call": "codelets are not run here",
    "codelet": "codelets are not run here",
    "condition": "`condition` was planned and is no part of AgenticDSL 3.10: use `assert` with `on_failure`",
    "state_read": "`state_read` is not run here: the context is read by templates",
    "state_write": "`state_write` is not run here: use `assign`",
    "reasoning_step": "`reasoning_step` is not run here: use `llm_call` or `dsl_call`",
    "resource_declare": "resources are declared in the block /__meta__/resources",
}
LEGACY_ASSIGN = {"expr", "path", "meta"}


def read_body(node_type: str, fields: Fields) -> Body:
    reader = READERS.get(node_type)
    if reader is not None:
        return reader(fields)
    why = NOT_RUN.get(node_type)
    if why is None:
        close = get_close_matches(node_type[:40], READERS, 1)
        why = f"{node_type[:80]!r} is no type of nodes" + (f"; did you mean {close[0]!r}?" if close else "")
    if node_type:
        fields.fault("type", f"cannot run: {why}", Code.UNSUPPORTED_CAPABILITY, is_error=False)
    return Unsupported(why)


def _start(fields: Fields) -> Start:
    return Start()


def _end(fields: Fields) -> End:
    modes = ("hard", "soft")
    mode = fields.choice("termination_mode", modes) or fields.inner("metadata").choice("termination_mode", modes)
    return End(mode != "soft", fields.texts("output_keys") if "output_keys" in fields else None)


def _assign(fields: Fields) -> Assign:
    """{key: value, ..}, a list of such, or the older {expr, path}, whose `path` may stand beside `assign`."""
    value, beside = fields.raw("assign"), fields.raw("path")
    if value is None and beside is not None and fields.raw("expr") is not None:
        value = {"expr": fields.raw("expr")}
    if value is None:
        fields.fault("", "the field `assign` is missing")
        return Assign({})
    if beside is not None:
        is_legacy = isinstance(value, dict) and "expr" in value and set(value) <= LEGACY_ASSIGN
        return Assign({_context_path(fields.text("path")): value["expr"] if is_legacy else value})
    values: JsonObject = {}
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            fields.fault("assign", "has to be an object: fields and their values")
        elif "path" in item and "expr" in item and set(item) <= LEGACY_ASSIGN:
            values[_context_path(str(item["path"] or ""))] = item["expr"]
        else:
            values |= {_context_path(key): inner for key, inner in item.items()}
    return Assign(values)


def _context_path(path: str) -> str:
    """As the context knows it: without the root's `$`."""
    return "" if path == "$" else path.removeprefix("$.")


def _tool_call(fields: Fields) -> ToolCall:
    return ToolCall(
        fields.needed_text("tool"),
        fields.object("arguments") if "arguments" in fields else None,
        fields.texts("output_keys"),
        fields.text_map("output_mapping"),
        fields.flag("rollback_on_failure"),
        fields.number("timeout"),
    )


def _dsl_call(fields: Fields) -> LlmCall:
    return _llm(fields, fields.needed_text("llm_tool_name"))


def _llm_call(fields: Fields) -> LlmCall | NativeCall:
    if "llm" not in fields:
        return _llm(fields, fields.text("llm_tool_name", DEFAULT_LLM_TOOL))
    return NativeCall(fields.object("llm"), fields.texts("output_keys"), fields.text_map("output_mapping"))


def _llm(fields: Fields, tool: str) -> LlmCall:
    keys, mapping = fields.texts("output_keys"), fields.text_map("output_mapping")
    if not keys and not mapping:
        fields.fault("", "the field `output_keys` is missing: where the text goes")
    return LlmCall(fields.needed_text("prompt_template"), tool, fields.object("llm_params"), keys, mapping)


def _generate_subgraph(fields: Fields) -> GenerateSubgraph:
    validation = fields.choice("signature_validation", ("strict", "warn", "ignore"))
    params = {**fields.object("llm"), **fields.object("llm_params")}
    return _limited(
        fields,
        GenerateSubgraph(
            fields.needed_text("prompt_template"),
            fields.texts("output_keys"),
            params,
            cast("Literal['strict', 'warn', 'ignore'] | None", validation),
            fields.reference("on_signature_violation"),
        ),
    )


def _llm_generate_dsl(fields: Fields) -> GenerateSubgraph:
    """The name and the fields of 3.6 to 3.9."""
    prompt = fields.text("prompt") or fields.needed_text("prompt_template")
    constraints = fields.inner("output_constraints")
    generate = GenerateSubgraph(
        prompt,
        fields.texts("output_keys"),
        {**fields.object("llm_params"), **fields.object("llm")},
        "strict" if constraints.flag("validate_json_schema", True) else "warn",
        fields.reference("on_failure"),
        max_blocks=3,
    )
    temperature = generate.params.get("temperature")
    if isinstance(temperature, int | float) and temperature > 1:
        fields.fault("llm", "has a temperature above 1.0, which generated documents may not have", Code.INVALID_INPUT)
    return _limited(fields, generate)


def _limited(fields: Fields, generate: GenerateSubgraph) -> GenerateSubgraph:
    constraints = fields.inner("output_constraints")
    prefix = constraints.text("namespace_prefix") or generate.namespace_prefix
    if not prefix.startswith("/dynamic/"):
        text = f"is {prefix[:80]!r}; what is generated is put under /dynamic/"
        constraints.fault("namespace_prefix", text, Code.NAMESPACE_VIOLATION)
        prefix = generate.namespace_prefix
    most = constraints.whole("max_blocks")
    return replace(generate, namespace_prefix=prefix, max_blocks=generate.max_blocks if most is None else most)


def _fork(fields: Fields) -> Fork:
    where = fields if "branches" in fields else fields.inner("fork")
    branches = where.targets("branches")
    if not branches:
        fields.fault("", "the fork has no `branches`")
    return Fork(branches)


def _join(fields: Fields) -> Join:
    where = fields if "merge_strategy" in fields else fields.inner("join")
    return Join(cast("MergeStrategy | None", where.choice("merge_strategy", get_args(MergeStrategy))))


def _assert(fields: Fields) -> Assert:
    return Assert(fields.needed_text("condition"), fields.reference("on_failure"))


def _resource(fields: Fields) -> Resource:
    fields.need("resource_type")
    resource_type = fields.choice("resource_type", RESOURCE_TYPES) or "custom"
    return Resource(resource_type, fields.needed_text("uri"), fields.text("scope", "global"))


READERS: dict[str, Callable[[Fields], Body]] = {
    "start": _start,
    "end": _end,
    "assign": _assign,
    "tool_call": _tool_call,
    "dsl_call": _dsl_call,
    "llm_call": _llm_call,
    "generate_subgraph": _generate_subgraph,
    "llm_generate_dsl": _llm_generate_dsl,
    "fork": _fork,
    "join": _join,
    "assert": _assert,
    "resource": _resource,
}
GENERATE_FIELDS = ("prompt_template", "prompt", "output_keys", "llm", "llm_params", "output_constraints", "on_failure",
                   "signature_validation", "on_signature_violation")  # fmt: skip
LLM_FIELDS = ("prompt_template", "llm_tool_name", "llm_params", "llm", "output_keys", "output_mapping")
BODY_FIELDS: dict[str, tuple[str, ...]] = {
    "end": ("termination_mode", "output_keys"),
    "assign": ("assign", "expr", "path", "meta"),
    "tool_call": ("tool", "arguments", "output_keys", "output_mapping", "rollback_on_failure", "timeout"),
    "dsl_call": LLM_FIELDS,
    "llm_call": LLM_FIELDS,
    "generate_subgraph": GENERATE_FIELDS,
    "llm_generate_dsl": GENERATE_FIELDS,
    "fork": ("branches", "fork"),
    "join": ("join", "merge_strategy"),
    "assert": ("condition", "on_failure"),
    "resource": ("resource_type", "uri", "scope"),
}
