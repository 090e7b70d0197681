"""Types of fields, and texts that stand for their values."""

import json
import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.contract.field_type import Kind, converted, is_of, number_of, read_type
from runtime.dag.contract.schema import violation
from runtime.dag.contract.signature import FieldType
from runtime.dag.json_value import Json, same

TYPES: tuple[FieldType, ...] = get_args(FieldType)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
texts = st.text(max_size=8) | st.from_regex(r"\s?-?[0-9.eE+-]{1,6}\s?", fullmatch=True) | values.map(json.dumps)


@given(values, st.sampled_from(TYPES))
def test_types_are_those_of_json_schema(value: Json, type: FieldType) -> None:
    assert is_of(value, type) == (type == "any" or violation(value, {"type": type}) is None)


@given(values | texts, st.sampled_from(TYPES))
def test_converts_what_is_not_of_the_type_or_nothing(value: Json, type: FieldType) -> None:
    after = converted(value, type)
    assert is_of(after, type) or after is value
    assert same(converted(after, type), after)
    if is_of(value, type):
        assert same(after, value)


@given(values)
def test_what_a_context_stores_as_text_is_read_back(value: Json) -> None:
    kinds = [type for type in TYPES if type not in ("any", "string") and is_of(value, type)]
    for type in kinds:
        assert same(converted(json.dumps(value), type), value)
        assert same(converted(f" {json.dumps(value)}\n", type), value)
    if isinstance(value, bool | int | float):
        assert converted(value, "string") == json.dumps(value)


@given(texts)
def test_numbers_are_those_of_json(text: str) -> None:
    try:
        wanted = json.loads(text) if text == text.strip(" \t\n\r") else None
    except (ValueError, RecursionError):
        wanted = None
    is_number = isinstance(wanted, int | float) and not isinstance(wanted, bool) and abs(wanted) < float("inf")
    assert same(number_of(text), wanted if is_number else None)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "0x10", "1_000", "٣", "1" * 401, "", "+1", "01", "1."])
def test_no_numbers(text: str) -> None:
    assert number_of(text) is None
    assert converted(text, "number") == text


@pytest.mark.parametrize(
    "text", ["[" * 10**5, '{"a":' * 10**5, "[" * 900 + "]" * 900, "[NaN]", "[1]" + " " * 2**20 + "x"]
)
def test_hostile_texts_stay_texts(text: str) -> None:
    began = time.process_time()
    assert converted(text, "array") == text and converted(text, "object") == text
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("str", Kind("string")),
        (" int ", Kind("integer")),
        ("float", Kind("number")),
        ("array<string>", Kind("array", {"type": "array", "items": {"type": "string"}})),
        ("array_number", Kind("array", {"type": "array", "items": {"type": "number"}})),
        ("object[]", Kind("array", {"type": "array", "items": {"type": "object"}})),
        ("list<any>", Kind("array", {"type": "array", "items": {}})),
        ("null", Kind("any", {"type": "null"})),
        (["string"], Kind("string")),
        (["string", "null"], Kind("any", {"anyOf": [{"type": "string"}, {"type": "null"}]})),
    ],
)
def test_reads_types(written: Json, kind: Kind) -> None:
    assert read_type(written) == kind


@pytest.mark.parametrize(
    "written", [None, 1, [], [1], {}, "strin", "array<", "array<strin>", "", "array_" * 1000, [["string"]]]
)
def test_refuses_types_in_one_line(written: Json) -> None:
    with pytest.raises(ValueError) as refused:
        read_type(written)
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 400
