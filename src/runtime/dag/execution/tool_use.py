"""Nodes that call a tool, the engine among them."""

import time

from runtime.dag.document.node import LlmCall, NativeCall, ToolCall
from runtime.dag.document.path import namespace
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.step import Step
from runtime.dag.json_value import Json, JsonObject
from runtime.dag.tools.inference_arguments import InferenceArguments
from runtime.dag.tools.inference_tools import CORE
from runtime.dag.tools.tool import Invocation, ToolResult


async def use_tool(step: Step, body: ToolCall) -> None:
    """Without `arguments`, the inputs of the signature are the tool's."""
    if body.arguments is not None:
        arguments = step.value(body.arguments)
    else:
        fields = step.graph.signature.inputs if step.graph.signature is not None else ()
        arguments = {field.name: step.view[field.name] for field in fields if field.name in step.view}
    step.write(await called(step, body.tool, arguments, timeout=body.timeout))


async def ask_model(step: Step, body: LlmCall) -> None:
    """`dsl_call`: a prompt for a tool that writes texts."""
    payload = await called(step, body.tool, {**step.value(body.params), "prompt": step.text(body.prompt_template)})
    step.write(payload, text_first=True)


async def ask_core(step: Step, body: NativeCall) -> None:
    """`llm_call` with an `llm` object, which is asked of whatever is called `native_inference_core`. Raises NodeError
    where it may not stand: in prod, outside of a library."""
    if namespace(step.graph.path) != "lib" and step.run.document.meta.is_strict:
        text = "`llm_call` with `llm` is for graphs under /lib/reasoning: call one of these, or use `dsl_call`"
        raise NodeError(Code.NAMESPACE_VIOLATION, text)
    arguments = step.value(body.llm)
    try:
        needed = InferenceArguments.read(arguments).permissions
    except ValueError as error:
        raise NodeError(Code.INVALID_INPUT, f"{CORE}: {error}", {"tool": CORE}) from None
    for permission in needed:
        step.grant.require(permission)
    step.write(await called(step, CORE, arguments, may=True), text_first=True)


async def called(
    step: Step, name: str, arguments: JsonObject, *, timeout: float | None = None, may: bool = False
) -> Json:
    """What the tool gives; the record says what it took. may: the node has asked for another permission, which includes
    this tool. Raises NodeError, whatever went wrong."""
    run, region, notes = step.run, step.region, step.notes
    tool = run.tools.get(name)
    for permission in () if may else tool.permissions(arguments):
        step.grant.require(permission)
    invocation = Invocation(
        step.node.path,
        region.branch,
        region.fork,
        step.scope,
        step.scope.deadline,
        step.grant,
        run.activity,
        timeout,
    )
    began = time.monotonic()
    try:
        result = await tool.call(arguments, invocation)
    except NodeError as error:
        notes.native = error.native
        raise
    finally:
        notes.tool_call = {"tool": name, "latency_ms": round((time.monotonic() - began) * 1000, 3)}
    region.is_deterministic &= result.is_deterministic
    _note(step, name, result)
    return result.payload


def _note(step: Step, name: str, result: ToolResult) -> None:
    notes, native = step.notes, result.native
    notes.native = native
    if result.notes:
        notes.metadata["notes"] = list(result.notes)
    if native is not None and isinstance(result.payload, dict) and "kv_handle" in result.payload:
        step.region.made.append(result.payload["kv_handle"])
    counts = {
        "prompt_tokens": None if native is None else native.prompt_tokens,
        "completion_tokens": None if native is None else native.completion_tokens,
    }
    if isinstance(step.node.body, LlmCall) and step.node.type == "dsl_call":
        notes.dsl_call = {"llm_tool_name": name, **counts}
    elif step.run.tools.get(name).is_llm:
        model = None if native is None else native.model
        features = {"used_features": list(result.used_features), "backend_used": name}
        notes.llm_call = {"model": model, **counts, **features}
