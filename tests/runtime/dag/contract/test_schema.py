"""Schemas of strangers: what they say counts, and what they cost is bounded."""

import time

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.contract.schema import check_schema, field_schema, inputs_schema, outputs_schema, violation
from runtime.dag.contract.signature import Field, Signature
from runtime.dag.json_value import Json, JsonObject

names = st.sampled_from(["a", "b", "ab"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from([1.0, 0.5, "a", "ab", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
leaves = st.one_of(
    st.booleans(),
    st.sampled_from(["string", "integer", "array", "object", "null"]).map(lambda type: {"type": type}),
    st.integers(0, 2).map(lambda n: {"minimum": n, "maxLength": n, "minItems": n, "maxProperties": n}),
    st.sampled_from(["^a", "b$", "."]).map(lambda pattern: {"pattern": pattern}),
    st.just({"uniqueItems": True}),
    st.lists(values, min_size=1, max_size=2).map(lambda each: {"enum": each}),
    st.lists(names, max_size=2, unique=True).map(lambda each: {"required": each}),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries({}, optional={"items": inner, "additionalProperties": inner, "contains": inner}),
        st.builds(
            lambda named, patterns, rest: {"properties": named, "patternProperties": patterns} | rest,
            st.dictionaries(names, inner, max_size=2),
            st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=2),
            st.just({}) | inner.map(lambda each: {"additionalProperties": each}),
        ),
        st.tuples(st.sampled_from(["allOf", "anyOf", "oneOf"]), st.lists(inner, min_size=1, max_size=2)).map(
            lambda pair: {pair[0]: pair[1]}
        ),
        inner.map(lambda each: {"not": each}),
    ),
    max_leaves=6,
).filter(lambda schema: isinstance(schema, dict))


@given(schemas, values)
def test_says_what_json_schema_says(schema: JsonObject, value: Json) -> None:
    """Our own keywords (patterns, properties, equal items) against those of the library."""
    check_schema(schema)
    found = violation(value, schema)
    assert (found is None) == jsonschema.Draft202012Validator(schema).is_valid(value)
    assert found is None or (found.startswith("$") and len(found.splitlines()) == 1)


@pytest.mark.parametrize(
    ("value", "schema", "text"),
    [
        (
            {"a": [1, "x"]},
            {"properties": {"a": {"items": {"type": "integer"}}}},
            r"$.a[1]: 'x' is not of type 'integer'",
        ),
        ({"a": 1, "b": 2}, {"properties": {"a": {}}, "additionalProperties": False}, "$: there may be no 'b'"),
        ("x", {"pattern": "^a"}, "$: the text does not match '^a'"),
        ([1, 1.0], {"uniqueItems": True}, "$: there are equal items"),
        ("2024-13-01", {"format": "date"}, "$: '2024-13-01' is not a 'date'"),
    ],
)
def test_points_at_the_place(value: Json, schema: JsonObject, text: str) -> None:
    check_schema(schema)
    assert violation(value, schema) == text


@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [
        (r"^\d{4}-\d{2}$", "2024-12", True),
        (r"^\d$", "٣", False),
        (r"^[\w-]+$", "a-b_1", True),
        (r"^\w+$", "é", False),
        (r"^\W\D$", "éé", True),
        (r"^\\d$", "\\d", True),
        (r"^\p{L}+$", "é", True),
        ("^a$", "a\n", False),
        ("b", "abc", True),
        ("^(?<year>[0-9]+)(?:x|y)$", "12y", True),
        ("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "01234567-0123-0123-0123-0123456789ab", True),
    ],
)
def test_patterns_are_those_of_ecma(pattern: str, text: str, is_found: bool) -> None:
    check_schema({"pattern": pattern})
    assert (violation(text, {"pattern": pattern}) is None) == is_found


def test_refers_within_itself_only() -> None:
    schema = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    check_schema(schema)
    assert violation([[], [[]]], schema) is None
    assert violation([[], [1]], schema) == "$[1][0]: 1 is not of type 'array'"


nested: Json = {}
for _ in range(40):
    nested = {"not": nested}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (5, "has to be an object"),
        ([], "has to be an object"),
        (nested, "nested deeper than 32"),
        ({"description": "x" * 70_000}, "larger than 64 KiB"),
        ({"type": "strin"}, "no JSON Schema: "),
        ({"properties": []}, "no JSON Schema: "),
        ({"$ref": "http://example.com/schema"}, "refers to 'http://example.com/schema'"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "refers to 'file:///etc/passwd'"),
        ({"pattern": "(?=a)"}, "without look-around"),
        ({"pattern": r"(a)\1"}, "no pattern, or one with back references"),
        ({"pattern": "(?i)a"}, "without look-around, flags"),
        ({"pattern": "(a{100}){100}"}, "too large"),
        ({"pattern": r"\p{L}{100}"}, "too large"),
        ({"pattern": "a" * 1001}, "too large"),
        ({"anyOf": [{"pattern": f"a{i}"} for i in range(65)]}, "at most 64"),
        ({"pattern": "("}, "is no pattern"),
        ({"patternProperties": {"(?!x)": {}}}, "without look-around"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "leave one out"),
    ],
)
def test_refuses_schemas_in_one_line(schema: Json, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        check_schema(schema)
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 400


doubling = {f"s{i}": {"anyOf": [{"$ref": f"#/$defs/s{i + 1}"}] * 2} for i in range(25)} | {"s25": False}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("a" * 50_000 + "b", {"pattern": "^(a+)+$"}),
        ("a" * 100_000, {"pattern": "^(a|aa|a*)*b"}),
        (1, {"$ref": "#/$defs/s0", "$defs": doubling}),  # 2^25 ways through it
        (1, {"$ref": "#"}),
        (1, {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        (
            [list(range(i, i + 50)) for i in range(5000)],
            {"uniqueItems": True, "items": {"items": {"anyOf": [False] * 50}}},
        ),
        (
            {f"k{i}": 1 for i in range(20_000)},
            {"allOf": [{"patternProperties": {f"z{i}": False for i in range(60)}}] * 20, "minProperties": 1e9},
        ),
        ([1] * 100_000, {"contains": {"const": [2] * 1000}}),
        ([[1] * 100_000], {"allOf": [{"uniqueItems": True}] * 2000}),
        ([list(range(100_000))], {"anyOf": [{"type": "string"}] * 2000}),
        (
            [[0] * 9_999],
            {"allOf": [*[{"$ref": "#/$defs/c"}] * 1000, False], "$defs": {"c": {"const": [[0] * 9_999]}}},
        ),
        (1, {"$ref": "#/$defs/nowhere"}),
        (1, {"$dynamicRef": "#nowhere"}),
        ([10**400], {"items": {"multipleOf": 0.3}}),
    ],
)
def test_hostile_schemas_end_soon_and_never_pass(value: Json, schema: JsonObject) -> None:
    check_schema(schema)
    began = time.process_time()
    found = violation(value, schema)
    assert found is not None and len(found.splitlines()) == 1 and len(found) < 300
    assert time.process_time() - began < 3


def test_schemas_of_signatures() -> None:
    fields = (
        Field("a", "integer", True, False, None, "how many", (1, 2), 1, 2, {"multipleOf": 1}),
        Field("b", required=True, has_default=True, default=None),
        Field("c", "string", required=False),
    )
    a = {"type": "integer", "description": "how many", "enum": [1, 2], "minimum": 1, "maximum": 2}
    wanted = {
        "type": "object",
        "properties": {"a": a | {"allOf": [{"multipleOf": 1}]}, "b": {"default": None}, "c": {"type": "string"}},
        "required": ["a"],
    }
    assert inputs_schema(Signature(inputs=fields)) == outputs_schema(Signature(outputs=fields)) == wanted
    assert field_schema(fields[2]) == {"type": "string"}
    check_schema(wanted)
    assert inputs_schema(Signature()) == {"type": "object", "properties": {}}
