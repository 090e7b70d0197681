"""Differences: enough to get from one context to the other, and nothing more."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.context.difference import delta
from runtime.dag.json_value import Json, JsonObject, identity, same

names = st.sampled_from("abc")
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
contexts = st.dictionaries(names, values, max_size=3)


@given(contexts, contexts)
def test_leads_from_one_to_the_other_and_no_part_can_be_spared(before: JsonObject, after: JsonObject) -> None:
    def applied(changes: JsonObject) -> JsonObject:
        return {key: value for key, value in {**before, **changes}.items() if key in after or key not in changes}

    changes = delta(before, after)
    assert same(applied(changes), after)
    for key in changes:
        assert not same(applied({other: value for other, value in changes.items() if other != key}), after)
        assert changes[key] is after.get(key)


@given(contexts)
def test_equal_contexts_differ_in_nothing(context: JsonObject) -> None:
    assert delta(context, dict(reversed(copy.deepcopy(context).items()))) == {}


@given(values, values)
def test_the_same_values_are_those_of_one_identity(one: Json, other: Json) -> None:
    assert same(one, other) == (identity(one) == identity(other))
    assert same(one, copy.deepcopy(one))


def test_tells_truth_from_one() -> None:
    assert delta({"a": 1, "b": [0]}, {"a": True, "b": [False]}) == {"a": True, "b": [False]}
    assert delta({"a": 1, "b": [0]}, {"a": 1.0, "b": [0.0]}) == {}


def test_shared_structure_is_not_looked_into() -> None:
    """A value of 2^200 parts, as contexts share them."""
    vast: Json = {"x": 1}
    for _ in range(200):
        vast = {"left": vast, "right": vast}
    assert delta({"vast": vast, "a": 1}, {"vast": vast, "a": 2}) == {"a": 2}
