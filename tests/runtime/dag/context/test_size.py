"""Sizes of contexts: exact below the limit, and no work above it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.context.size import MAX_NESTING, json_size
from runtime.dag.json_value import Json

texts = st.text(max_size=6) | st.sampled_from(['"', "\n", "\x01", "\\", "\ud800", "é", "😀"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values, st.integers(0, 100))
def test_counts_the_bytes_of_compact_json(value: Json, most: int) -> None:
    exact = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    assert json_size(value, 10**9) == exact
    assert json_size(value, exact) == exact
    assert (json_size(value, most) > most) == (exact > most)


def test_stops_at_the_limit() -> None:
    """It would never come to an end of this one."""
    vast: Json = ["x"] * 10
    for _ in range(90):
        vast = [vast] * 10
    assert json_size(vast, 100_000) > 100_000


@pytest.mark.parametrize(("nesting", "is_small"), [(MAX_NESTING, True), (MAX_NESTING + 1, False), (10**5, False)])
def test_what_is_nested_too_deep_is_too_large(nesting: int, is_small: bool) -> None:
    value: Json = 0
    for _ in range(nesting):
        value = [value]
    assert (json_size(value, 10**9) == 2 * nesting + 1) == is_small
    assert (json_size(value, 10**9) <= 10**9) == is_small


@pytest.mark.parametrize("value", [[10**5000], [float("nan")], [float("-inf")], {"a": [float("inf")]}])
def test_what_json_cannot_hold_is_too_large(value: Json) -> None:
    assert json_size(value, 10**9) > 10**9
