"""Calls of graphs: arguments in, outputs back. A call that fails leaves nothing behind."""

from runtime.dag.contract.binding import bind_inputs, collect_outputs, fill_outputs
from runtime.dag.document.library import graph_version
from runtime.dag.document.node import Graph
from runtime.dag.document.path import namespace
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.flow import returned
from runtime.dag.execution.frame import DEEPEST, Frame
from runtime.dag.execution.outlook import after_call
from runtime.dag.execution.reads import INPUTS, STAGE, VOLATILE
from runtime.dag.execution.region import Region
from runtime.dag.execution.run_state import RunState
from runtime.dag.execution.work_list import PendingCall
from runtime.dag.inference.subgraph_kv_cache import CallKey
from runtime.dag.json_value import JsonObject


async def call(run: RunState, region: Region, pending: PendingCall) -> None:
    """Runs the graph on the caller's context with its inputs, and writes its outputs to the caller's. Raises NodeError
    as the graph does, or if it does not keep its signature."""
    graph, arguments = pending.callee
    region.going_on = tuple(after_call(region, pending))
    inputs = bind_inputs(graph.signature, region.context, arguments) if graph.signature else dict(arguments)
    child = _entered(region, pending, inputs)
    key, cache = _key(run, child, graph, inputs), run.cache
    scope, branch = region.frame.scope, region.branch
    recalled = cache.recall(key, region.program.is_current, scope, branch) if key is not None else None
    if recalled is not None:
        run.tracer.recalled(graph.first, child)
        outputs = recalled
    else:
        child.work.add(pending.callee.place)
        await run.interpret(run, child)
        outputs = _outputs(child, graph, inputs)
        region.take_over(child)
        if key is not None and (child.is_deterministic or child.made):
            given = outputs if child.is_deterministic else None
            cache.record(key, given, child.made, region.program.called_from(graph), branch)
    context = region.context | outputs
    if pending.fallback_from is not None and region.frame.graph is not None and region.frame.graph.signature:
        context = fill_outputs(region.frame.graph.signature, context)
    region.change(graph.path, context)
    returned(run, region, pending)


def _entered(region: Region, pending: PendingCall, inputs: JsonObject) -> Region:
    """The region of the graph, before it runs. Raises NodeError if it may not run here."""
    frame, graph = region.frame, pending.callee.graph
    if frame.depth >= DEEPEST:
        text = f"calls are nested deeper than {DEEPEST}: does a graph call itself without end?"
        raise NodeError(Code.BUDGET_EXCEEDED, text, {"scope": "part", "path": graph.path})
    if len(graph.nodes) > 1:  # a node that is alone asks for itself, so that its own `on_error` can stand in
        for permission in graph.permissions:
            frame.grant.require(permission)
    inner = Frame(
        graph,
        frame.grant.narrowed(graph.permissions),
        frame.scope.child(graph.budget) if graph.budget else frame.scope,
        frame.depth + 1,
        frame.policy | pending.caller.graph.context_merge_policy | pending.caller.node.context_merge_policy,
        frame.generated + (namespace(graph.path) == "dynamic"),
        pending.fallback_from or frame.stands_in_for,
    )
    context = region.context | inputs | ({INPUTS: inputs} if inputs else {})
    if graph.signature is not None and STAGE not in inputs:  # what lies there is no output of this call
        context = {key: value for key, value in context.items() if key != STAGE}
    return region.inner(inner, context)


def _outputs(child: Region, graph: Graph, inputs: JsonObject) -> JsonObject:
    """What is written to the caller's context. A graph that declares nothing gives all that it has changed."""
    context = child.context
    written = {key: context[key] for key in child.writers if key in context and key not in child.local}
    given = {} if child.output_keys is None else {key: context[key] for key in child.output_keys if key in context}
    if graph.signature is None:
        return written if child.output_keys is None else given
    own = {key: context[key] for key in inputs if key in context} | written
    return given | collect_outputs(graph.signature, fill_outputs(graph.signature, own) if child.fell_back else own)


def _key(run: RunState, child: Region, graph: Graph, inputs: JsonObject) -> CallKey | None:
    """All that the call depends on; None if that cannot be told."""
    program = child.program
    fields = program.reads(program.reach.onwards([graph.first.path]))
    if graph.signature is None or fields is None or fields & VOLATILE:
        return None
    besides = sorted(key for key in fields if key in child.context and key not in inputs and key != INPUTS)
    return CallKey.of(
        graph.path,
        graph_version(graph),
        program.content_hash(graph.path),
        run.fingerprint,
        inputs,
        {key: child.context[key] for key in besides},
        child.frame.grant.digest,
    )
