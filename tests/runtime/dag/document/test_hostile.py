"""Documents that are written to take long or to take much: each is dealt with at once, and in little memory."""

import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest

from runtime.dag.document.drawing import draw_svg, draw_text
from runtime.dag.document.library import shipped_library
from runtime.dag.document.parser import MOST_BYTES, parse_document
from runtime.dag.document.validator import validate

LIBRARY = shipped_library()
SECONDS = 2.0  # of processor time, for each step: twice what a quiet machine may take
MEGABYTES = 100
MANY = 3_000  # nodes; what is quadratic in them takes longer than that


def block(path: str, yaml: str) -> str:
    return f"### AgenticDSL `{path}`\n```yaml\n{yaml}\n```\n"


def nodes(count: int, line: Callable[[int], str]) -> str:
    meta = block("/__meta__", "mode: prod\nentry_point: /main/n0")
    return meta + block("/main", "nodes:\n" + "\n".join(f"- {{id: n{i}, {line(i)}}}" for i in range(count)))


def blocks(count: int, path: str, yaml: str) -> str:
    return "".join(block(path.format(i=i), yaml.format(i=i, j=i + 1)) for i in range(count))


LIST = ", ".join(f"n{j}" for j in range(1, MANY))
HOSTILE = {
    "lists in lists": block("/a", "a: " + "[" * 1_000_000),
    "items in items": block("/a", "- " * 500_000),
    "objects in objects": block("/a", "{a: " * 250_000),
    "deep block": block("/a", "\n".join(" " * i + "a:" for i in range(1_000))),
    "aliases": block("/a", "a: &a [x, x, x]\n" + "\n".join(f"b{i}: &b{i} [*a, *a]" for i in range(9_000))),
    "a chain": nodes(MANY, lambda i: f"type: assign, assign: {{x: '{{{{ $.y{i} }}}}'}}, next: n{i + 1}"),
    "a ring": nodes(MANY, lambda i: f"type: start, next: n{(i + 1) % MANY}"),
    "all wait for the next": nodes(MANY, lambda i: f"type: start, wait_for: n{(i + 1) % MANY}"),
    "all wait for two": nodes(MANY, lambda i: f"type: join, wait_for: [n{i * 7 % MANY}, n{i * 31 % MANY}]"),
    "all wait for all": nodes(MANY, lambda i: "type: start, wait_for: /main"),
    "all lead to the graph": nodes(MANY, lambda i: "type: start, next: /main"),
    "a wide fork": nodes(MANY, lambda i: "type: start" if i else f"type: fork, branches: [{LIST}]"),
    "many edges": nodes(600, lambda i: f"type: start, next: [{', '.join(f'n{(i + j) % 600}' for j in range(60))}]"),
    "all misspelt": nodes(MANY, lambda i: f"type: start, next: nodenodenodenodenode{i}"),
    "misspelt fields": nodes(2_000, lambda i: "type: start, " + ", ".join(f"wait_fo{j}: 1" for j in range(30))),
    "a hundred thousand nodes": block("/main", "nodes:\n" + "- {}\n" * 98_000),
    "a node too many": block("/main", "nodes:\n" + "\n".join(f"- {{id: n{i}, type: end}}" for i in range(20_000))),
    "many blocks": blocks(MANY, "/main/n{i}", "type: start\nnext: n{j}"),
    "too many blocks": blocks(25_000, "/a{i}", "a: 1"),
    "the same path": block("/main/a", "type: end") * MANY,
    "the same id": nodes(MANY, lambda i: "type: start").replace("n1", "n"),
    "versions": blocks(MANY, "/lib/x@v{i}", "type: start\nnext: /lib/x@v{j}"),
    "ranges": blocks(MANY, "/lib/x@v{i}.1", "type: start\nnext: /lib/x@^{j}.0\nrequires: /lib/x@^{j}"),
    "a circle of libraries": blocks(MANY, "/lib/x{i}", "type: start\nrequires: [/lib/x{j}, /lib/x0]"),
    "resources": block("/__meta__/resources", "resources:\n" + "- {type: memory, name: x}\n" * 30_000),
    "capabilities": block("/__meta__/resources", f"resources: [{{type: memory, capabilities: [{'a, ' * 90_000}]}}]"),
    "permissions": block("/main/a", f"type: start\npermissions: [{', '.join(f'kg{i}' for i in range(60_000))}]"),
    "templates": nodes(MANY, lambda i: f"type: assign, assign: {{x: '{{% if a{i} %}}{{{{ b }}}}{{% endif %}}'}}"),
    "choices": nodes(MANY, lambda i: f"type: start, next: \"{{{{ 'n{i}' if $.a else 'n{i + 1}' }}}}\""),
    "long choices": nodes(90, lambda i: f"type: start, next: \"{{{{ {'1 + ' * 2_400}'n{i}' }}}}\""),
    "brackets in a template": block("/main/a", "type: assign\nassign: {x: '{{ " + "(" * 900_000 + "'}"),
    "a long path": block("/" + "a/" * 400_000, "type: end") + block("/main/a", "type: start\nnext: " + "../" * 80_000),
    "a long line": "### AgenticDSL `" + "a" * 1_000_000,
    "headings": "### AgenticDSL `/a`\n" * 50_000,
    "fences": "```\n" * 250_000,
    "ticks": "`" * 1_000_000,
    "comments that never end": "<!--\n" * 200_000,
    "comments between": "### AgenticDSL `/a`\n" + "<!-- -->\n" * 100_000,
    "shorthands": block("/a", "- a: x" + "; b: y" * 150_000),
    "colons": block("/a", "a" + ": |" * 300_000 + "\n["),
    "templates that are not quoted": block("/a", "a: {{ x }}\n" * 80_000),
    "spaces": block("/a", " " * 1_000_000),
    "tabs and dashes": block("/a", "-\t" * 450_000),
    "keys": block("/main/a", "type: start\n" + "\n".join(f"k{i}: 1" for i in range(60_000))),
    "signatures": block("/main/a", "type: start\nsignature: '" + "(" * 500_000 + "'"),
    "an intent": "<!-- LLM_INTENT: " + "[" * 1_000_000 + " -->",
    "digits": block("/a", "a: " + "9" * 1_000_000),
    "too much": "a" * (MOST_BYTES + 1),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_takes_no_time(name: str) -> None:
    text = HOSTILE[name]
    assert len(text) <= MOST_BYTES + 1, len(text)
    times = [time.process_time()]
    document = parse_document(text)
    times.append(time.process_time())
    problems = validate(document, LIBRARY, {})
    times.append(time.process_time())
    draw_text(document, LIBRARY)
    times.append(time.process_time())
    assert max(after - before for before, after in pairwise(times)) < SECONDS
    assert len(problems) <= 900 and all(len(str(problem)) < 2_000 for problem in problems)


def test_a_document_of_full_size() -> None:
    text = nodes(10_000, lambda i: f"type: assign, assign: {{x: '{{{{ $.y{i} }}}}'}}, next: n{i + 1}")
    document = parse_document(text)
    assert len(document.nodes) == 10_000
    begin = time.process_time()
    problems = validate(document, LIBRARY, {})
    assert time.process_time() - begin < SECONDS
    assert [problem.node for problem in problems] == ["/main/n9999"]


@pytest.mark.parametrize("name", ["a wide fork", "many edges", "many blocks", "all wait for all"])
def test_drawings_of_thousands_of_nodes(name: str) -> None:
    document = parse_document(HOSTILE[name])
    begin = time.process_time()
    drawing = draw_svg(document, LIBRARY, {})
    assert time.process_time() - begin < 1.5 * SECONDS
    assert len(drawing) < 10_000_000


@pytest.mark.parametrize("name", ["lists in lists", "aliases", "many edges"])
def test_takes_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        parse_document(HOSTILE[name])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < MEGABYTES * 1_000_000
