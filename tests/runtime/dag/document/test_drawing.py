"""Drawings: all nodes and edges are on them, nothing lies over another, and texts stay texts."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.document.drawing import draw_svg, draw_text
from runtime.dag.document.edges import static_edges
from runtime.dag.document.layout import BOX_HEIGHT, BOX_WIDTH, lay_out, layers
from runtime.dag.document.library import shipped_library
from runtime.dag.document.parser import parse_document

LIBRARY = shipped_library()
SVG = "{http://www.w3.org/2000/svg}"
REAL = sorted((Path(__file__).parents[1] / "documents").glob("*.md"))
SAMPLE = """
### AgenticDSL `/__meta__`
```yaml
mode: dev
entry_point: /main/start
```
### AgenticDSL `/main`
```yaml
signature: "(question: string) -> answer: string"
nodes:
  - {id: start, type: fork, branches: [a, b, none]}
  - {id: a, type: assign, assign: {x: 1}, next: /lib/reasoning/generate_text@v1, on_error: oops}
  - {id: b, type: tool_call, tool: "<script>&\\"x", output_keys: r, next: "{{ $.z }}"}
  - {id: join, type: join, wait_for: [a, b], next: start}
  - {id: oops, type: end}
```
### AgenticDSL `/app/one`
```yaml
type: "\\e[31m\\nred"
next: /app/two
```
### AgenticDSL `/app/two`
```yaml
type: end
```
"""


def drawn(text: str, statuses: dict[str, str] | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(draw_svg(parse_document(text), LIBRARY, statuses))


def test_lines() -> None:
    assert draw_text(parse_document(SAMPLE), LIBRARY).split("\n") == [
        "/__meta__  mode dev, begins at /main/start",
        "",
        "/main  (question: string) → answer: string",
        "▶ start  fork 3 branches        forks a, b, none ?",
        "  a      assign x               → /lib/reasoning/generate_text@v1  on error → oops",
        '  b      tool_call <script>&"x  → {{ $.z }}',
        "  join   join                   → start  waits for a, b",
        "  oops   end",
        "",
        "/app/one  [31m red is not run  → /app/two",
        "/app/two  end",
    ]


def test_all_nodes_are_groups_that_the_viewer_finds() -> None:
    svg = drawn(SAMPLE)
    paths = [group.get("data-node") for group in svg.iter(f"{SVG}g") if group.get("data-node")]
    called = ["/lib/reasoning/generate_text@v1", "/lib/reasoning/fallback_text@v1"]
    assert sorted(paths) == sorted([*parse_document(SAMPLE).nodes, *called])
    assert not list(svg.iter(f"{SVG}script")) and 'tool_call <script>&"x' in "".join(svg.itertext())


def test_statuses_are_classes() -> None:
    svg = drawn(SAMPLE, {"/main/start": "success", "/main/a": "failed", "/main/b": 'x" onload="y'})
    classes = {group.get("data-node"): (group.get("class") or "").split() for group in svg.iter(f"{SVG}g")}
    assert [classes[f"/main/{name}"] for name in ("start", "a", "b", "join")] == [
        ["node", "flow", "success"], ["node", "assign", "failed"], ["node", "tool"], ["node", "flow", "idle"],
    ]  # fmt: skip


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_documents(path: Path) -> None:
    document = parse_document(path.read_text("utf-8"))
    svg = ElementTree.fromstring(draw_svg(document, LIBRARY))
    paths = {group.get("data-node") for group in svg.iter(f"{SVG}g")}
    assert set(document.nodes) <= paths
    edges = [
        edge for node in document.nodes for edge in static_edges(document, LIBRARY)[node] if "/*" not in edge.target
    ]
    assert len([one for one in svg.iter(f"{SVG}path") if "edge" in (one.get("class") or "")]) >= len(edges)
    text = draw_text(document, LIBRARY)
    assert all(node.path.rpartition("/")[2] in text for node in document.nodes.values())
    assert all(line.isprintable() for line in text.split("\n"))


@settings(max_examples=30)
@given(st.text(max_size=60), st.text(max_size=60))
def test_texts_stay_texts(tool: str, condition: str) -> None:
    node = parse_document("### AgenticDSL `/main/a`\n```yaml\ntype: tool_call\ntool: x\noutput_keys: r\n```\n")
    graph = node.graphs[0]
    body = replace(graph.first.body, tool=tool)
    changed = replace(node, graphs=(replace(graph, nodes=(replace(graph.first, body=body, type=condition),)),))
    svg = ElementTree.fromstring(draw_svg(changed, LIBRARY))
    assert len(list(svg.iter())) == len(list(ElementTree.fromstring(draw_svg(node, LIBRARY)).iter()))
    assert "\n" not in draw_text(changed, LIBRARY)


shapes = st.integers(1, 30).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, n - 1), max_size=4), min_size=n, max_size=n)
)


@given(shapes)
def test_layers_are_longest_paths(leads: list[list[int]]) -> None:
    nodes = [str(i) for i in range(len(leads))]
    forward = {str(i): [str(j) for j in targets if j > i] for i, targets in enumerate(leads)}
    found = layers(nodes, forward)
    assert sorted(path for layer in found for path in layer) == sorted(nodes)
    depth = {path: i for i, layer in enumerate(found) for path in layer}
    before: dict[str, list[str]] = {path: [] for path in nodes}
    for path, targets in forward.items():
        for target in targets:
            before[target].append(path)
    for path in nodes:
        assert depth[path] == max((depth[one] + 1 for one in before[path]), default=0)


@given(shapes, shapes)
def test_boxes_do_not_overlap_and_lie_in_their_frames(one: list[list[int]], other: list[list[int]]) -> None:
    groups = {name: [f"{name}{i}" for i in range(len(leads))] for name, leads in (("a", one), ("b", other))}
    successors = {
        f"{name}{i}": [f"{name}{j}" for j in leads[i]]
        for name, leads in (("a", one), ("b", other))
        for i in range(len(leads))
    }
    layout = lay_out(groups, successors)
    corners = sorted((y, x) for x, y in layout.boxes.values())
    assert len(layout.boxes) == len(one) + len(other)
    for (y1, x1), (y2, x2) in pairwise(corners):
        assert y2 >= y1 + BOX_HEIGHT or x2 >= x1 + BOX_WIDTH
    for name, paths in groups.items():
        frame = layout.frames[name]
        for path in paths:
            x, y = layout.boxes[path]
            assert frame.x <= x and x + BOX_WIDTH <= frame.x + frame.width <= layout.width
            assert frame.y <= y and y + BOX_HEIGHT <= frame.y + frame.height <= layout.height
