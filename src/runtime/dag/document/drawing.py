"""A document to look at: as lines for a terminal, and as SVG."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from runtime.dag.document import svg
from runtime.dag.document.document import Document
from runtime.dag.document.edges import ANYWHERE, END_OF_GRAPH, Edge, Targeting, mentions, static_edges
from runtime.dag.document.labels import cut, detail, name, signature_line
from runtime.dag.document.layout import BOX_HEIGHT, BOX_WIDTH, Layout, lay_out
from runtime.dag.document.library import Library
from runtime.dag.document.node import Graph, Node
from runtime.dag.document.path import Reference

MOST_EDGES = 20_000  # that are drawn
MOST_NAMED = 6  # targets in a line
WIDEST = 44  # characters of a column
VERBS = {"next": "→", "branches": "forks", "wait_for": "waits for", "on_error": "on error →", "on_failure": "else →",
         "on_success": "on success →", "on_signature_violation": "on violation →"}  # fmt: skip


def draw_text(document: Document, library: Library) -> str:
    """One line for each node, with what leads where; graphs of the library that are named are not shown. What is named
    and is not there has a `?`."""
    targeting = Targeting(document, library)
    lines: list[str] = []
    if document.meta.line:
        begins = f", begins at {document.meta.entry_point}" if document.meta.entry_point else ""
        lines.append(f"/__meta__  mode {document.meta.mode}{begins}")
    for entry in document.resources:
        capabilities = f": {', '.join(entry.capabilities)}" if entry.capabilities else ""
        lines.append(cut(f"needs {entry.type} {entry.name}{capabilities}", 110))
    for are_alone, graphs in groupby(document.graphs, lambda graph: graph.nodes[0].path == graph.path):
        if are_alone:
            lines += ["", *_lines([(graph.path, graph.nodes[0], graph) for graph in graphs], targeting)]
            continue
        for graph in graphs:
            lines += ["", graph.path + _promise(graph)]
            inside = _lines([(name(node.path), node, graph) for node in graph.nodes], targeting)
            lines += [
                f"{'▶' if node is graph.first else ' '} {line}" for node, line in zip(graph.nodes, inside, strict=True)
            ]
            if graph.on_error is not None:
                lines.append(f"  on error → {_target(graph.on_error, graph, targeting)}")
    return "\n".join(lines).strip("\n")


def _lines(nodes: Sequence[tuple[str, Node, Graph]], targeting: Targeting) -> Iterator[str]:
    """Nodes and their titles, in columns."""
    whats = [cut(f"{node.type or 'contract'} {detail(node)}", WIDEST) for _, node, _ in nodes]
    first = min(max(len(title) for title, _, _ in nodes), WIDEST)
    second = max(map(len, whats))
    for (title, node, graph), what in zip(nodes, whats, strict=True):
        ways = [
            f"{VERBS[field]} {_targets(targets, graph, targeting)}" for field, _, targets in mentions(node) if targets
        ]
        promise = _promise(graph) if title == graph.path else ""
        yield f"{title:{first}}  {what:{second}}  {'  '.join(ways)}{promise}".rstrip()


def _promise(graph: Graph) -> str:
    return f"  {signature_line(graph.signature)}" if graph.signature is not None else ""


def _targets(targets: tuple[Reference, ...] | str, graph: Graph, targeting: Targeting) -> str:
    if isinstance(targets, str):
        return cut(targets, 60)
    more = f" and {len(targets) - MOST_NAMED} more" if len(targets) > MOST_NAMED else ""
    return ", ".join(_target(reference, graph, targeting) for reference in targets[:MOST_NAMED]) + more


def _target(reference: Reference, graph: Graph, targeting: Targeting) -> str:
    shown = str(reference).removeprefix(graph.path + "/")
    return shown if targeting.node(reference) is not None else shown + " ?"


def draw_svg(document: Document, library: Library, statuses: Mapping[str, str] | None = None) -> str:
    """The nodes of a document and those of the library that they lead to, in layers from top to bottom, each in a group
    `<g data-node="PATH">`.

    statuses: path → success, failed, skipped, cancelled or running, of nodes that have run; None: there was no run.
    """
    edges = static_edges(document, library)
    nodes, groups = _groups(document, library, edges)
    within = {path: [edge.target for edge in edges[path]] for path in nodes}
    layout = lay_out(groups, within)
    pieces = [svg.frame(title, frame) for title, frame in layout.frames.items()]
    lines = list(_edges(layout, edges))
    pieces += lines[:MOST_EDGES]
    for path, node in nodes.items():
        status = None if statuses is None else statuses.get(path, "idle")
        pieces.append(svg.node(node, layout.boxes[path], status))
    return svg.document(layout.width, layout.height, pieces)


def _groups(
    document: Document, library: Library, edges: Mapping[str, Sequence[Edge]]
) -> tuple[dict[str, Node], dict[str, list[str]]]:
    """All nodes to draw, and their paths by what they are drawn in: their graph, or, for those that are alone, what
    their graphs have in common."""
    graphs = (library.by_path | document.by_path).values()
    homes = {node.path: graph for graph in graphs for node in graph.nodes}
    all_nodes = {node.path: node for graph in graphs for node in graph.nodes}
    shown = dict.fromkeys(document.nodes)
    waiting = list(shown)
    while waiting:
        for edge in edges.get(waiting.pop(), ()):
            graph = homes.get(edge.target)
            if graph is not None and edge.target not in shown and edge.kind != "wait":
                shown |= dict.fromkeys(node.path for node in graph.nodes)
                waiting.extend(node.path for node in graph.nodes)
    nodes: dict[str, Node] = {}
    groups: dict[str, list[str]] = {}
    for path in shown:
        graph = homes[path]
        title = graph.path if len(graph.nodes) > 1 else path.rpartition("/")[0] or "/"
        groups.setdefault(title, []).append(path)
        nodes[path] = all_nodes[path]
    return nodes, groups


def _edges(layout: Layout, edges: Mapping[str, Sequence[Edge]]) -> Iterator[str]:
    for path, (x, y) in layout.boxes.items():
        foot = (x + BOX_WIDTH / 2, y + BOX_HEIGHT)
        yield from _edges_from(foot, edges[path], layout)
    for title, frame in layout.frames.items():
        end = edges.get(title + END_OF_GRAPH, ())
        yield from _edges_from((frame.x + frame.width / 2, frame.y + frame.height), end, layout)


def _edges_from(start: tuple[float, float], edges: Sequence[Edge], layout: Layout) -> Iterator[str]:
    for edge in edges:
        if edge.target == ANYWHERE:
            yield svg.anywhere(edge.kind, start)
        elif edge.target in layout.boxes:
            x, y = layout.boxes[edge.target]
            yield svg.edge(edge.kind, start, (x + BOX_WIDTH / 2, y))
