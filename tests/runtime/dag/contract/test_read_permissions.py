"""Permissions in all the ways that documents write them."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.contract.grant import Grant, shown
from runtime.dag.contract.permission import Permission
from runtime.dag.contract.read_permissions import KINDS, read_permissions
from runtime.dag.json_value import Json

SCOPE = (("scope", "read_only"),)


@pytest.mark.parametrize(
    ("value", "permissions"),
    [
        (None, []),
        ([], []),
        ("network", [Permission("network")]),
        (["file:read", "tool: x"], [Permission("file", "read"), Permission("tool", "x")]),
        ({"tool": "x"}, [Permission("tool", "x")]),
        ([{"tool": "x", "scope": "read_only"}], [Permission("tool", "x", None, SCOPE)]),
        ([{"scope": "read_only", "tool": "x"}], [Permission("tool", "x", None, SCOPE)]),
        ([{"tool": {"name": "x", "scope": "read_only"}}], [Permission("tool", "x", None, SCOPE)]),
        ([{"reasoning": ["llm_generate", "stream_output"]}],
         [Permission("reasoning", "llm_generate"), Permission("reasoning", "stream_output")]),
        ([{"tool": "x"}, {"tool": "x"}], [Permission("tool", "x")]),
        ([{"tool": "*"}, {"network": None}], [Permission("tool"), Permission("network")]),
        ({"tool": "x", "network": "outbound"}, [Permission("tool", "x"), Permission("network", "outbound")]),
        ([{"network": {"outbound": {"domains": ["a.b"]}}}],
         [Permission("network", "outbound", None, (("domains", '["a.b"]'),))]),
        ([{"generate_subgraph": {"max_depth": 2}}], [Permission("generate_subgraph", "", 2)]),
        ([{"generate_subgraph": "2"}], [Permission("generate_subgraph", "", 2)]),
        (["generate_subgraph"], [Permission("generate_subgraph")]),
        ([{"generate_subgraph": None}], [Permission("generate_subgraph")]),
        ([{"knowledge_graph": "subgraph_query"}, "kg:subgraph_query"], [Permission("kg", "subgraph_query")]),
        ([{"action": "read", "resource": "file", "scope": "read_only"}], [Permission("file", "read", None, SCOPE)]),
        ([{"action": "call", "resource": "tool:x"}], [Permission("tool", "x", None, (("action", "call"),))]),
        ([{"own_kind": "x"}], [Permission("own_kind", "x")]),
    ],
)  # fmt: skip
def test_reads(value: Json, permissions: list[Permission]) -> None:
    assert list(read_permissions(value)) == permissions


@given(
    st.lists(
        st.builds(Permission, st.sampled_from(KINDS), st.sampled_from(["x", "web_search"]), st.none(), st.just(())),
        max_size=5,
    )
)
def test_ways_to_write_them_mean_the_same(permissions: list[Permission]) -> None:
    permissions = [each for each in permissions if each.kind != "generate_subgraph"]
    as_maps = [{each.kind: each.name} for each in permissions]
    as_texts = [shown(each) for each in permissions]
    read = read_permissions(as_maps)
    assert set(read) == set(permissions)
    assert read_permissions(as_texts) == read
    assert read_permissions([{"resource": each.kind, "action": each.name} for each in permissions]) == read
    assert Grant.of(read).digest == Grant.of(permissions).digest


@pytest.mark.parametrize(
    "value",
    [1, [1], [[]], [{}], [True], "", " ", ":x", "a b: c", [{"tool": 5}], [{"tool": {}}], [{"tool": False}],
     [{"generate_subgraph": {"max_depth": -1}}], [{"generate_subgraph": {"max_depth": "deep"}}],
     [{"generate_subgraph": 1.5}], [{"generate_subgraph": False}], [{"resource": 1}],
     [{"resource": "file", "action": []}], ["a\nb"], [f"tool: t{i}" for i in range(257)]],
)  # fmt: skip
def test_refuses_in_one_short_line(value: Json) -> None:
    with pytest.raises(ValueError) as refused:
        read_permissions(value)
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 250


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["tool", "tool:x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*KINDS, "name", "resource", "action", "scope", ""]), inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_any_value_is_read_or_refused(value: Json) -> None:
    try:
        permissions = read_permissions(value)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(each.kind and isinstance(each.name, str) for each in permissions)
        json.dumps(permissions)


def test_many_permissions_are_narrowed_soon() -> None:
    """As many as a document can write, at each of many levels."""
    lists = [
        tuple(Permission("tool", "x", None, (("scope", f"{level}.{i}"),)) for i in range(256)) for level in range(20)
    ]
    began = time.process_time()
    grant = Grant.everything()
    for each in lists:
        grant = grant.narrowed(each)
    assert grant.permissions == {Permission("tool", "x")}
    assert time.process_time() - began < 2
