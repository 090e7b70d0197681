"""Differences: enough to get from one context to the other, and nothing more."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.context.difference import REMOVED, Removed, delta, writes
from runtime.dag.context.field_path import FieldPath, get, put
from runtime.dag.json_value import Json, JsonObject, same

names = st.sampled_from("abc")
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
contexts = st.dictionaries(names, values, max_size=3)


def applied(context: JsonObject, changes: dict[FieldPath, Json | Removed]) -> JsonObject:
    context = copy.deepcopy(context)
    for path, value in changes.items():
        if value is REMOVED:
            del get(context, path[:-1])[path[-1]]
        else:
            context = put(context, path, value)
    return context


@given(contexts, contexts)
def test_writes_lead_from_one_to_the_other(before: JsonObject, after: JsonObject) -> None:
    changes = writes(before, after)
    assert same(applied(before, changes), after)
    assert all(value is REMOVED or get(after, path) is value for path, value in changes.items())


@given(contexts, contexts)
def test_no_write_can_be_spared_or_lie_in_another(before: JsonObject, after: JsonObject) -> None:
    changes = writes(before, after)
    for path in changes:
        others = {other: value for other, value in changes.items() if other != path}
        assert not same(applied(before, others), after)
        assert not any(path[:length] in changes for length in range(len(path)))
        is_object = all(isinstance(get(state, path[:-1]), dict) for state in (before, after))
        assert is_object


@given(contexts)
def test_equal_contexts_differ_in_nothing(context: JsonObject) -> None:
    reordered = dict(reversed(copy.deepcopy(context).items()))
    assert writes(context, reordered) == {}
    assert delta(context, reordered) == {}


@given(contexts, contexts)
def test_delta_names_the_fields_that_differ(before: JsonObject, after: JsonObject) -> None:
    absent = object()
    expected = {
        key: after.get(key)
        for key in before.keys() | after.keys()
        if not (key in before and key in after and same(before.get(key, absent), after.get(key, absent)))
    }
    assert delta(before, after) == expected


def test_tells_truth_from_one() -> None:
    assert writes({"a": 1, "b": [0]}, {"a": True, "b": [False]}) == {("a",): True, ("b",): [False]}
    assert writes({"a": 1, "b": [0]}, {"a": 1.0, "b": [0.0]}) == {}


def test_shared_structure_is_not_looked_into() -> None:
    """A value of 2^200 parts, as contexts share them."""
    vast: Json = {"x": 1}
    for _ in range(200):
        vast = {"left": vast, "right": vast}
    assert writes({"vast": vast, "a": 1}, {"vast": vast, "a": 2}) == {("a",): 2}
