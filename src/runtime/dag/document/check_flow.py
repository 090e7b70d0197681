"""Whether nodes can run at all, and do nothing that their document may not do."""

from collections.abc import Iterator, Mapping
from itertools import islice, pairwise

from runtime.dag.document import cycles
from runtime.dag.document.check_targets import entry_node
from runtime.dag.document.document import Document
from runtime.dag.document.edges import ANYWHERE, Edge, Targeting, reachable
from runtime.dag.document.findings import Findings
from runtime.dag.document.node import Fork, GenerateSubgraph, Graph, Join, NativeCall, Node, Resource
from runtime.dag.document.path import namespace
from runtime.dag.document.system_nodes import BUDGET_EXCEEDED
from runtime.dag.errors import Code

MOST_CYCLES = 5
REASONING = "/lib/reasoning/"
CALLED_FROM_OUTSIDE = ("lib", "dynamic", "__system__")
LAST_WINS = "last_write_wins"

Edges = Mapping[str, tuple[Edge, ...]]


def check_flow(findings: Findings, targeting: Targeting, edges: Edges) -> None:
    document = findings.document
    led_to = {
        edge.target
        for path, found in edges.items()
        for edge in found
        if edge.kind != "wait" and (edge.target != ANYWHERE or path in document.nodes)
    }
    start = entry_node(document, targeting)
    if start is not None:
        led_to.add(start.path)
        _check_reach(findings, start, edges)
    for graph in document.graphs:
        for node in graph.nodes:
            _check_node(findings, graph, node, led_to)
    _check_waits(findings, targeting)
    if document.meta.is_strict:
        _check_strategies(findings)


def _check_node(findings: Findings, graph: Graph, node: Node, led_to: set[str]) -> None:
    match node.body:
        case Join() if node.wait_for is None and not led_to & {node.path, ANYWHERE}:
            text = "the join waits for nothing, and nothing leads to it: give it `wait_for`"
            findings.fault(Code.INVALID_INPUT, text, graph, node, is_error=False)
        case Fork(tuple() as branches) if len(set(branches)) < len(branches):
            text = "`branches` names a branch twice; give them arguments to tell them apart: branch?part=1"
            findings.fault(Code.INVALID_INPUT, text, graph, node, is_error=False)
        case NativeCall() if not graph.path.startswith(REASONING):
            text = f"`llm` is for graphs under {REASONING}: call one of them, or write `prompt_template`"
            findings.frown(Code.NAMESPACE_VIOLATION, text, graph, node)


def _check_reach(findings: Findings, start: Node, edges: Edges) -> None:
    """Warns of nodes that a run from `start` cannot come to."""
    document = findings.document
    nodes = document.nodes.values()
    if any(isinstance(node.body, GenerateSubgraph) for node in nodes):
        return  # what is generated may lead anywhere
    begun = [start.path, BUDGET_EXCEEDED]
    begun += [
        node.path
        for node in nodes
        if isinstance(node.body, Resource) or (node.wait_for is not None and isinstance(node.wait_for.targets, str))
    ]
    reached = reachable({**edges, **dict(_with_returns(document, edges))}, *begun).union(begun)
    for graph in document.graphs:
        if namespace(graph.path) in CALLED_FROM_OUTSIDE:
            continue
        lost = [node for node in graph.nodes if node.path not in reached]
        if len(lost) == len(graph.nodes):
            text = f"nothing leads here from {start.path}, where the document begins"
            findings.fault(Code.INVALID_INPUT, text, graph, is_error=False)
        else:
            for node in lost:
                text = f"nothing leads here from {start.path}, where the document begins"
                findings.fault(Code.INVALID_INPUT, text, graph, node, is_error=False)


def _with_returns(document: Document, edges: Edges) -> Iterator[tuple[str, tuple[Edge, ...]]]:
    """The edges of nodes that call a graph, after which what stands behind them may run."""
    behind_graph: dict[str, str] = {}
    next_of: dict[str, str] = {}  # namespace → first node of the next graph
    for graph in reversed(document.graphs):
        space = namespace(graph.path)
        if space in next_of:
            behind_graph[graph.path] = next_of[space]
        next_of[space] = graph.first.path
    for graph in document.graphs:
        paths = [node.path for node in graph.nodes]
        behind = dict(pairwise(paths))
        if graph.path in behind_graph:
            behind[paths[-1]] = behind_graph[graph.path]
        for path in paths:
            if path in behind and any(edge.kind == "call" for edge in edges[path]):
                yield path, (*edges[path], Edge("next", behind[path]))


def _check_waits(findings: Findings, targeting: Targeting) -> None:
    """Nodes that wait for each other, or for themselves, never run."""
    document = findings.document
    waits: dict[str, list[str]] = {}
    homes = {node.path: graph for graph in document.graphs for node in graph.nodes}
    for node in document.nodes.values():
        if node.wait_for is None or isinstance(node.wait_for.targets, str):
            continue
        if node.wait_for.is_any and len(node.wait_for.targets) > 1:
            continue
        targets = [reference._replace(query=()) for reference in node.wait_for.targets]
        waits[node.path] = [path for path in map(str, targets) if path in document.nodes]
        home = homes[node.path]
        if len(home.nodes) > 1 and any(targeting.graph(target) is home for target in targets):
            text = f"it waits for the end of {home.path}, which it is in itself"
            findings.frown(Code.INVALID_INPUT, text, home, node)
    for cycle in islice(cycles.cycles(waits), MOST_CYCLES):
        text = f"it waits for itself: {cycles.shown(cycle)}"
        findings.frown(Code.INVALID_INPUT, text, homes[cycle[0]], document.nodes[cycle[0]])


def _check_strategies(findings: Findings) -> None:
    text = f"{LAST_WINS} hides conflicts and is not for prod; name a strategy that merges, such as deep_merge"
    document = findings.document
    if document.meta.merge_strategy == LAST_WINS:
        findings.fault_of_meta(Code.INVALID_INPUT, text)
    for graph in document.graphs:
        if LAST_WINS in graph.context_merge_policy.values():
            findings.fault(Code.INVALID_INPUT, text, graph)
        for node in graph.nodes:
            strategy = node.body.merge_strategy if isinstance(node.body, Join) else None
            if LAST_WINS in (*node.context_merge_policy.values(), strategy):
                findings.fault(Code.INVALID_INPUT, text, graph, node)
