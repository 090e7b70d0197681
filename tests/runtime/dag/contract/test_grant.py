"""Grants: rights are lost on the way down, never gained, and equal rights have equal digests."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.contract.capability import ResourceEntry
from runtime.dag.contract.grant import ANY, Grant, root_grant, shown
from runtime.dag.contract.permission import Permission
from runtime.dag.errors import Code, NodeError

extras = st.sampled_from([(), (("scope", "read_only"),), (("domains", '["a"]'), ("scope", "all"))])
named = st.builds(
    Permission, st.sampled_from(["tool", "reasoning", "network"]), st.sampled_from(["", "x", "y"]), st.none(), extras
)
deep = st.builds(Permission, st.just("generate_subgraph"), st.just(""), st.none() | st.integers(0, 3), extras)
permissions = named | deep
lists = st.lists(permissions, max_size=6).map(tuple)
grants = lists.map(Grant.of) | st.just(Grant.everything())
wanted = permissions | st.builds(Permission, st.sampled_from(["kg", ANY]), st.sampled_from(["", "x"]))


def allowed_by_one_of(held: tuple[Permission, ...], asked: Permission) -> bool:
    """What a list of permissions means."""
    for each in held:
        names = each.kind == asked.kind and each.name in ("", asked.name)
        if names and (
            each.max_depth is None or (asked.max_depth if asked.max_depth is not None else 1) <= each.max_depth
        ):
            return True
    return False


@given(lists, wanted)
def test_means_what_its_permissions_mean(held: tuple[Permission, ...], asked: Permission) -> None:
    assert Grant.of(held).allows(asked) == allowed_by_one_of(held, asked)
    assert Grant.everything().allows(asked)


@given(grants, lists, wanted)
def test_narrowed_is_what_both_allow(grant: Grant, listed: tuple[Permission, ...], asked: Permission) -> None:
    both = grant.allows(asked) and (not listed or allowed_by_one_of(listed, asked))
    assert grant.narrowed(listed).allows(asked) == both


@given(grants, st.lists(lists, max_size=4), wanted)
def test_rights_are_only_lost(grant: Grant, levels: list[tuple[Permission, ...]], asked: Permission) -> None:
    for level in levels:
        inner = grant.narrowed(level)
        assert grant.allows(asked) or not inner.allows(asked)
        deepest, inner_deepest = grant.max_generate_depth, inner.max_generate_depth
        assert deepest is None or (inner_deepest is not None and inner_deepest <= deepest)
        grant = inner


@given(grants, lists, lists)
def test_the_order_of_narrowing_does_not_matter(
    grant: Grant, one: tuple[Permission, ...], other: tuple[Permission, ...]
) -> None:
    assert grant.narrowed(one).narrowed(other).digest == grant.narrowed(other).narrowed(one).digest
    again = grant.narrowed(one)
    assert again.narrowed(one) == again
    assert again.narrowed(()) is again


@given(lists, lists, st.randoms(use_true_random=False))
def test_digests_are_equal_if_the_rights_are(
    one: tuple[Permission, ...], other: tuple[Permission, ...], order: random.Random
) -> None:
    shuffled = [*one, *one]
    order.shuffle(shuffled)
    assert Grant.of(shuffled).digest == Grant.of(one).digest
    asked = {Permission(each.kind, each.name, each.max_depth) for each in (*one, *other)}
    asked |= {Permission("generate_subgraph", "", 10**6)}
    alike = all(Grant.of(one).allows(each) == Grant.of(other).allows(each) for each in asked)
    unlimited = [Grant.of(each).max_generate_depth for each in (one, other)]
    assert (Grant.of(one).digest == Grant.of(other).digest) == (alike and unlimited[0] == unlimited[1])


def test_refuses_in_one_line_that_names_the_permission() -> None:
    with pytest.raises(NodeError, match="`tool: y` is denied") as refused:
        Grant.of([Permission("tool", "x")]).require(Permission("tool", "y"))
    assert refused.value.code == Code.PERMISSION_DENIED
    assert refused.value.details == {"permission": "tool: y", "granted": ["tool: x"]}
    Grant.of([Permission("tool")]).require(Permission("tool", "y"))


@pytest.mark.parametrize(
    ("permission", "text"),
    [
        (Permission("network"), "network"),
        (Permission("tool", "x"), "tool: x"),
        (Permission("generate_subgraph", "", 2), "generate_subgraph: {max_depth: 2}"),
    ],
)
def test_shows_permissions_as_documents_write_them(permission: Permission, text: str) -> None:
    assert shown(permission) == text


@pytest.mark.parametrize(
    ("entry", "held"),
    [
        (("tool", "web", (), {}), {"tool: web"}),
        (("tool", "native_infer", (), {}), {"tool: native_infer", "reasoning: llm_generate"}),
        (
            ("tool", "native_infer", ("structured_generate",), {}),
            {"tool: native_infer", "reasoning: structured_generate"},
        ),
        (
            ("reasoning", "", ("text_generation", "stream_output"), {}),
            {"reasoning: llm_generate", "reasoning: stream_output"},
        ),
        (("reasoning", "", ("kv_continuation",), {}), {"reasoning: llm_generate"}),
        (("reasoning", "", ("mind_reading",), {}), set()),
        (("reasoning", "", (), {}), {"reasoning"}),
        (
            ("native_inference_core", "", ("compile_grammar",), {}),
            {"tool: native_inference_core", "reasoning: structured_generate"},
        ),
        (("generate_subgraph", "", (), {"max_depth": 2}), {"generate_subgraph: {max_depth: 2}"}),
        (("generate_subgraph", "", (), {"max_depth": "many"}), {"generate_subgraph: {max_depth: 0}"}),
        (("generate_subgraph", "", (), {}), {"generate_subgraph"}),
        (("network", "", (), {"outbound": {"domains": ["a"]}}), {"network: outbound"}),
        (("knowledge_graph", "", ("subgraph_query",), {}), {"kg: subgraph_query"}),
        (("memory", "", (), {"backends": ["x"]}), {"memory"}),
        (("runtime", "python3", (), {}), {"runtime: python3"}),
    ],
)
def test_prod_grants_what_is_declared(entry: tuple, held: set[str]) -> None:
    tools = {"native_infer": frozenset({"text_generation"}), "other": frozenset({"stream_output"})}
    grant = root_grant("prod", (ResourceEntry(*entry),), tools)
    assert {shown(permission) for permission in grant.permissions} == held
    assert root_grant("dev", (ResourceEntry(*entry),), tools) == Grant.everything()


def test_prod_without_resources_grants_nothing() -> None:
    grant = root_grant("prod", (), {"x": frozenset({"text_generation"})})
    assert not grant.permissions and grant.max_generate_depth == 0
