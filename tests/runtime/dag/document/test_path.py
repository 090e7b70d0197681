"""Paths, references and versions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.contract.signature import Signature
from runtime.dag.document.library import Versions, graph_version
from runtime.dag.document.node import Graph, Node, Start
from runtime.dag.document.path import (
    LATEST,
    Reference,
    namespace,
    parse_block_path,
    parse_reference,
    split_version,
    version_key,
    version_matches,
)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("prepare", Reference("/main/prepare")),
        ("/lib/x", Reference("/lib/x")),
        (" /lib/x@v1 ", Reference("/lib/x", "1")),
        ("/lib/x@1.2.3", Reference("/lib/x", "1.2.3")),
        ("/lib/x@^1.0", Reference("/lib/x", "^1.0")),
        ("/lib/x@^v1", Reference("/lib/x", "^1")),
        ("/lib/x@latest", Reference("/lib/x", LATEST)),
        ("/self/x", Reference("/main/x")),
        ("/self/known", Reference("/self/known")),
        ("verify?index=0&name=a b", Reference("/main/verify", "", (("index", "0"), ("name", "a b")))),
        ("/lib/x@1/start", Reference("/lib/x@v1/start")),
        ("/a-b/c_d/1", Reference("/a-b/c_d/1")),
    ],
)
def test_references(text: str, means: Reference) -> None:
    assert parse_reference(text, "/main", {"/self/known"}) == means
    assert parse_reference(str(means), "/other", {"/self/known"}) == means


@pytest.mark.parametrize(
    "text",
    ["", "/", "//", "/a//b", "/a/", "/a/../b", "../b", "/a b", "/a@", "/a@x", "/a@v1.2.3.4.5", "/a@^", "/a@^latest",
     "/a@1@2", "/a?b", "/a?b=1&", "/a?b=\n1", "/a.md", "/a\\b", "/a\0", "/a%2e", "/~", "/a/*", "/a\n/b",
     "/" + "a" * 600, "/a@v" + "9" * 30],
)  # fmt: skip
def test_no_paths(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_reference(text, "/main")
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300


def test_block_paths() -> None:
    assert parse_block_path("/lib/x@1.2") == "/lib/x@v1.2"
    for text in ("main", "/lib/x@^1", "/lib/x@latest", "", "/a b"):
        with pytest.raises(ValueError):
            parse_block_path(text)


def test_namespaces() -> None:
    assert [namespace(path) for path in ("/lib/a", "/lib@v1/a", "/library/a", "/__meta__", "/topics/x")] == [
        "lib", "lib", "", "__meta__", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("have", "wanted", "matches"),
    [
        ("1", "1", True), ("1.0", "1", True), ("1", "1.0", True), ("1.10", "1.1", False), ("2", "1", False),
        ("", "1", False), ("", "", True), ("1", LATEST, True), ("1.9", "^1.10", False), ("1.10", "^1.9", True),
        ("2.0", "^1.9", False), ("0.2.5", "^0.2.3", True), ("0.3", "^0.2.3", False), ("0.0.3", "^0.0.3", True),
        ("0.0.4", "^0.0.3", False), ("1", "^1.0", True), ("0", "^0.0", True), ("0.1", "^0.0", False),
        ("0.1", "^0", True),
    ],
)  # fmt: skip
def test_what_versions_a_reference_can_mean(have: str, wanted: str, matches: bool) -> None:
    assert version_matches(have, wanted) == matches


numbers = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda some: ".".join(map(str, some)))
wishes = numbers | numbers.map("^{}".format) | st.sampled_from(["", LATEST])


def graph(path: str, signed: str | None = None) -> Graph:
    return Graph(path, (Node(path, "start", Start()),), signature=Signature(version=signed) if signed else None)


@given(st.lists(numbers, max_size=12, unique=True), st.booleans(), wishes)
def test_the_newest_that_matches_is_found(have: list[str], has_plain: bool, wanted: str) -> None:
    graphs = [graph(f"/lib/x@v{version}") for version in have] + ([graph("/lib/x")] if has_plain else [])
    if not graphs:
        return
    found = Versions(graphs).find(wanted)
    matching = [one for one in graphs if version_matches(graph_version(one), wanted)]
    if not wanted and has_plain:
        assert found is not None and found.path == "/lib/x"
    elif not matching:
        assert found is None
    else:
        assert found in matching
        assert version_key(graph_version(found)) == max(version_key(graph_version(one)) for one in matching)


def test_signatures_say_versions_with_more_numbers() -> None:
    said = [("/x@v1", "1.4"), ("/x", "1.4"), ("/x@v1", "2.0"), ("/x@v1", "no"), ("/x", "v3"), ("/x@v1", "1")]
    assert [graph_version(graph(path, signed)) for path, signed in said] == ["1.4", "1.4", "1", "1", "3", "1"]


segments = st.text("abc_-1é", min_size=1, max_size=5)


@given(st.lists(segments, min_size=1, max_size=4), numbers | st.just(""))
def test_versions_are_split_off(names: list[str], version: str) -> None:
    base = "/" + "/".join(names)
    assert split_version(base + (f"@v{version}" if version else "")) == (base, version)
    assert split_version(f"{base}@v1/start") == (f"{base}@v1/start", "")


@given(st.text(max_size=40) | st.text("/ab@v1.^?=&", max_size=20))
def test_any_text_is_a_reference_or_a_value_error(text: str) -> None:
    try:
        reference = parse_reference(text, "/main")
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert reference.path.startswith("/") and ".." not in reference.path
        assert parse_reference(str(reference), "/elsewhere") == reference
