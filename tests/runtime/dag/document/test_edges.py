"""What leads to what, and what can be reached."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.document.edges import ANYWHERE, Edge, is_called, reachable, static_edges
from runtime.dag.document.library import shipped_library
from runtime.dag.document.parser import parse_document

LIBRARY = shipped_library()
NOOP = "/lib/utils/noop"


def block(path: str, yaml: str) -> str:
    return f"### AgenticDSL `{path}`\n```yaml\n{yaml}\n```\n"


def edges_of(text: str, path: str) -> set[Edge]:
    return set(static_edges(parse_document(text), LIBRARY)[path])


def one(fields: str) -> set[Edge]:
    """The edges of a node beside which there are b and c."""
    return edges_of(
        block("/g", f"nodes:\n- {{id: a, {fields}}}\n- {{id: b, type: end}}\n- {{id: c, type: end}}"), "/g/a"
    )


def test_kinds() -> None:
    assert one("type: start, next: [b, c]") == {Edge("next", "/g/b"), Edge("next", "/g/c")}
    assert one("type: start, on_error: b") == {Edge("error", "/g/b")}
    assert one("type: start, on_success: b") == {Edge("next", "/g/b")}
    assert one("type: start, on_success: archive_to('/lib/b')") == set()
    assert one("type: fork, branches: [b, 'c?x=1']") == {Edge("branch", "/g/b"), Edge("branch", "/g/c")}
    assert one("type: assert, condition: x, on_failure: b") == {Edge("failure", "/g/b")}
    assert one("type: start, next: '{{ $.x }}'") == {Edge("next", ANYWHERE)}
    assert one('type: start, next: \'{{ "b" if $.x else "c" }}\'') == {Edge("next", "/g/b"), Edge("next", "/g/c")}
    assert one("type: start, next: none") == set()
    assert one(f"type: start, next: {NOOP}") == {Edge("call", NOOP)}
    assert one("type: start, next: /__system__/end_soft") == {Edge("call", "/__system__/end_soft")}
    assert one("type: start, next: /__system__/budget_exceeded") == {Edge("next", "/__system__/budget_exceeded")}


def test_waits_lead_from_what_is_waited_for() -> None:
    text = block("/g", "nodes: [{id: a, type: start}, {id: b, type: end, wait_for: [a, /h]}]") + block(
        "/h", "nodes: [{id: c, type: start}, {id: d, type: end}]"
    )
    edges = static_edges(parse_document(text), LIBRARY)
    assert edges["/g/a"] == (Edge("wait", "/g/b"),)
    for path in ("/h/c", "/h/d"):  # any of them may be the last
        assert "/g/b" in reachable(edges, path) and "/g/a" not in reachable(edges, path)


def test_a_graphs_on_error_is_that_of_all_its_nodes() -> None:
    text = block(
        "/g", "on_error: c\nnodes: [{id: a, type: start}, {id: b, type: start, on_error: a}, {id: c, type: end}]"
    )
    assert edges_of(text, "/g/a") == {Edge("error", "/g/c")}
    assert edges_of(text, "/g/b") == {Edge("error", "/g/a")}


def test_own_graphs_come_before_the_library() -> None:
    text = block("/main/a", f"type: start\nnext: {NOOP}") + block(NOOP, "nodes: [{id: x, type: end}]")
    assert edges_of(text, "/main/a") == {Edge("call", f"{NOOP}/x")}
    assert is_called(parse_document(text).by_path[NOOP])


def test_versions() -> None:
    libraries = "".join(block(f"/lib/x@v{version}", "type: end") for version in ("1.2", "1.10", "2.0"))
    for wanted, meant in (("@v1", "1.10"), ("@^1.3", "1.10"), ("@1.2", "1.2"), ("@latest", "2.0"), ("", "2.0")):
        assert edges_of(libraries + block("/main/a", f"type: start\nnext: /lib/x{wanted}"), "/main/a") == {
            Edge("call", f"/lib/x@v{meant}")
        }


graphs = st.integers(1, 9).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, n - 1), max_size=3), min_size=n, max_size=n)
)


@given(graphs)
def test_reachable_is_the_closure(leads: list[list[int]]) -> None:
    edges = {str(i): [Edge("next", str(j)) for j in targets] for i, targets in enumerate(leads)}
    closure = {(i, j) for i, targets in enumerate(leads) for j in targets}
    for middle in range(len(leads)):
        closure |= {(i, j) for i, k in closure if k == middle for m, j in closure if m == middle}
    for i in range(len(leads)):
        assert reachable(edges, str(i)) == {str(j) for k, j in closure if k == i}
    assert reachable(edges, *edges) == {str(j) for _, j in closure}
    anywhere = {**edges, "0": [Edge("next", ANYWHERE)]}
    assert reachable(anywhere, "0") == set(anywhere)
