"""Inputs and outputs: where their values come from, and what is checked."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.contract.binding import bind_inputs, collect_outputs, fill_outputs
from runtime.dag.contract.field_type import converted, is_of
from runtime.dag.contract.read_signature import read_signature
from runtime.dag.contract.schema import inputs_schema, violation
from runtime.dag.contract.signature import Field, FieldType, Signature
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import Json, JsonObject, same

NAMES = ["a", "b", "c"]
types = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "any"])
values = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([0.5, 2.0]), st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.just("k"), st.integers(0, 1)), st.sampled_from(["15", "true", "[1]", '{"k":1}', "text", ""]),
)  # fmt: skip
sources = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)


@st.composite
def fields(draw: st.DrawFn) -> tuple[Field, ...]:
    found = []
    for name in draw(st.sets(st.sampled_from(NAMES))):
        type: FieldType = draw(types)
        default = draw(values.map(lambda value, type=type: converted(value, type)))
        found.append(
            Field(
                name,
                type,
                required=draw(st.booleans()),
                has_default=draw(st.booleans()) and (default is None or is_of(default, type)),
                default=default,
                minimum=draw(st.none() | st.integers(-3, 3)),
                maximum=draw(st.none() | st.integers(-3, 3)),
                enum=draw(st.none() | st.just(("15", 1, 2, 0.5, True, "text"))),
            )
        )
    return tuple(found)


@settings(max_examples=300)
@given(fields(), sources, sources, st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["15", "x"])), st.booleans())
def test_each_value_comes_from_the_first_that_has_one(
    inputs: tuple[Field, ...], context: JsonObject, nested: JsonObject, query: dict[str, str], as_text: bool
) -> None:
    whole = context | {"inputs": json.dumps(nested) if as_text else nested}
    before = copy.deepcopy(whole)
    try:
        bound = bind_inputs(Signature(inputs), whole, tuple(query.items()))
    except NodeError as error:
        assert error.code == Code.SIGNATURE_VIOLATION
        bound = None
    assert same(whole, before)
    expected: JsonObject | None = {}
    for field in inputs:
        present = [s[field.name] for s in (query, context, nested) if field.name in s]
        present = [value for value in present if value is not None or field.type == "any"]
        if present:
            value = converted(present[0], field.type)
            # JSON Schema is an independent judge of types, enums and bounds.
            keywords: JsonObject = {} if field.type == "any" else {"type": field.type}
            keywords |= {} if field.minimum is None else {"minimum": field.minimum}
            keywords |= {} if field.maximum is None else {"maximum": field.maximum}
            keywords |= {} if field.enum is None else {"enum": list(field.enum)}
            expected = None if expected is None or violation(value, keywords) else expected | {field.name: value}
        elif field.has_default:
            expected = None if expected is None else expected | {field.name: field.default}
        elif field.required:
            expected = None
    assert (bound is None) == (expected is None)
    assert same(bound, expected)


@given(fields(), sources, sources)
def test_outputs_are_collected_as_inputs_are_bound(
    outputs: tuple[Field, ...], context: JsonObject, staged: JsonObject
) -> None:
    def outcome(take: object, signature: Signature, where: JsonObject) -> Json:
        try:
            return take(signature, where)  # type: ignore[operator]
        except NodeError as error:
            return error.details["field"]

    collected = outcome(collect_outputs, Signature((), outputs), context | {"result": staged})
    assert same(collected, outcome(bind_inputs, Signature(outputs), context | {"inputs": staged}))


@pytest.mark.parametrize(
    ("written", "context", "field", "problem"),
    [
        ("(a: integer) ->", {}, "a", "is missing"),
        ("(a: integer) ->", {"a": None}, "a", "is missing"),
        ("(a: integer) ->", {"a": "x"}, "a", "has to be of type integer, and is 'x'"),
        ("(a: integer) ->", {"a": 1.5}, "a", "has to be of type integer, and is 1.5"),
        ("(a: number) ->", {"a": True}, "a", "has to be of type number, and is true"),
        ("(a: string) ->", {"a": {"b": 1}}, "a", "has to be of type string, and is an object of 1 members"),
        ("(a: array<integer>) ->", {"a": [1, "x"]}, "a", r"is not what its schema says: \$\[1\]"),
        ({"inputs": [{"name": "a", "enum": ["x", "y"]}]}, {"a": "z"}, "a", "has to be one of 'x', 'y', and is 'z'"),
        ({"inputs": [{"name": "a", "minimum": 1}]}, {"a": 0}, "a", "has to be at least 1, and is 0"),
        (
            {"inputs": [{"name": "a", "type": "integer", "maximum": 1}]},
            {"a": "2"},
            "a",
            "has to be at most 1, and is 2",
        ),
        ({"inputs": [{"name": "a", "type": "string"}]}, {"a": ["x" * 1000]}, "a", "a list of 1 items"),
        ({"inputs": [{"name": "a", "type": "integer"}]}, {"a": "x\n" * 1000}, "a", "has to be of type integer"),
    ],
)
def test_names_the_input_and_its_problem(written: Json, context: JsonObject, field: str, problem: str) -> None:
    with pytest.raises(NodeError, match=problem) as refused:
        bind_inputs(read_signature(written), context)
    error = refused.value
    assert error.message == f"input `{field}` {error.details['problem']}" and error.details["field"] == field
    assert len(error.message.splitlines()) == 1 and len(error.message) < 300


def test_numbers_may_be_texts_and_texts_numbers() -> None:
    signature = read_signature("(n: integer, p: number, b: boolean, s: string, o: object, l: array) ->")
    context = {"n": "15", "p": "0.5", "b": "true", "s": 15, "o": '{"a": [1]}', "l": "[1, 2]"}
    assert bind_inputs(signature, context) == {"n": 15, "p": 0.5, "b": True, "s": "15", "o": {"a": [1]}, "l": [1, 2]}


def test_the_query_goes_before_the_field_and_that_before_inputs() -> None:
    signature = read_signature("(a: integer, b: integer, c: integer, d: integer = 4, e?: integer) ->")
    context = {"a": 2, "b": 2, "inputs": {"a": 3, "b": 3, "c": 3}}
    assert bind_inputs(signature, context, (("a", "1"),)) == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_null_is_a_value_where_the_type_has_it() -> None:
    signature = read_signature("(a: any, b: integer = 1, c?: string) ->")
    assert bind_inputs(signature, {"a": None, "b": None, "c": None}) == {"a": None, "b": 1}
    assert bind_inputs(signature, {"a": 1, "b": None, "inputs": {"b": 2}}) == {"a": 1, "b": 2}


def test_an_input_may_be_called_inputs() -> None:
    assert bind_inputs(read_signature("(inputs: object) ->"), {"inputs": '{"a": 1}'}) == {"inputs": {"a": 1}}


def test_what_is_bound_is_what_the_schema_of_the_inputs_says() -> None:
    signature = read_signature(
        {"inputs": [{"name": "a", "type": "integer", "required": True}, {"name": "b", "default": 1}]}
    )
    schema = inputs_schema(signature)
    assert violation(bind_inputs(signature, {"a": "3"}), schema) is None
    assert violation({"b": 1}, schema) is not None and violation({"a": "3"}, schema) is not None


SPECULATIVE = read_signature(
    {
        "outputs": [
            {"name": "verified_output", "type": "string", "required": True},
            {"name": "acceptance_rate", "type": "number", "required": True},
            {"name": "kv_handle", "type": "string"},
            {"name": "updated_kv_handle", "type": "string"},
        ]
    }
)


@pytest.mark.parametrize(
    "context", [{"text": "sorry"}, {"result": {"text": "sorry"}}, {"result": {"text": "x"}, "text": "sorry"}]
)
def test_a_fallback_leaves_what_is_owed(context: JsonObject) -> None:
    handles = {"kv_handle": "h", "result": {**context.get("result", {}), "updated_kv_handle": "h"}}
    filled = fill_outputs(SPECULATIVE, context | handles)
    assert collect_outputs(SPECULATIVE, filled) == {"verified_output": "sorry", "acceptance_rate": 0}


def test_a_fallback_leaves_what_is_there_alone() -> None:
    context = {"verified_output": "good", "result": {"acceptance_rate": 0.5, "text": "sorry"}}
    assert fill_outputs(SPECULATIVE, context) == context
    with pytest.raises(NodeError, match="output `verified_output` is missing"):
        collect_outputs(SPECULATIVE, fill_outputs(SPECULATIVE, {"other": 1}))


def test_a_fallback_for_objects() -> None:
    signature = read_signature({"outputs": [{"name": "answer", "type": "object", "required": True}]})
    filled = fill_outputs(signature, {"result": {"parsed_output": {}, "text": "sorry"}})
    assert collect_outputs(signature, filled) == {"answer": {}}
