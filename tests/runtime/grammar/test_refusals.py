"""What cannot be enforced is refused in one line that says where; lenient grammars check it afterwards."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from experiments.schemas import schemas
from model.world_encoder import WorldEncoder
from runtime.errors import RequestError
from runtime.grammar.enforcer import GrammarEnforcer
from runtime.grammar.grammar import Grammar

ENFORCER = GrammarEnforcer(WorldEncoder([b"", *(bytes([byte]) for byte in range(256))]), 257, fast_forward=True)
UNSUPPORTED: dict[str, Any] = {
    "not": {"type": "null"},
    "if": {"type": "null"},
    "uniqueItems": True,
    "contains": {},
    "propertyNames": {"maxLength": 3},
    "dependentRequired": {"a": ["b"]},
    "unevaluatedProperties": False,
    "format": "idn-email",
    "pattern": "(?=a)b",
    "oneOf": [{"type": "integer"}, {"type": "number"}],
}


def refusal(schema: object, lenient: bool = False) -> str:
    with pytest.raises(RequestError) as error:
        ENFORCER.compile(Grammar("json_schema", json.dumps(schema), lenient))
    message = str(error.value)
    assert "\n" not in message and len(message) < 500
    return message


def chain(length: int) -> dict[str, Any]:
    """Schemas each of which refers to the next, from inside three others."""
    links = {
        f"d{i}": {"properties": {"a": {"anyOf": [{"allOf": [{"$ref": f"#/$defs/d{i + 1}"}]}]}}} for i in range(length)
    }
    return {"$ref": "#/$defs/d0", "$defs": links | {f"d{length}": {"type": "null"}}}


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"$ref": "https://example.com/schema"}, "#/$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "#/properties/a/$ref"),
        ({"properties": {"a/b~": {"items": {"not": {}}}}}, "#/properties/a~1b~0/items/not"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"format": "iri"}}}, "#/$defs/a/format"),
        ({"$ref": "#/$defs/missing"}, "#/$ref"),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "#/maximum"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "#/required"),
        ({"enum": []}, "#/enum"),
        ({"prefixItems": [{}, {"type": "string", "pattern": "["}]}, "#/prefixItems/1/pattern"),
        ({"properties": {"a": {}}, "minProperties": 1, "additionalProperties": False, "maxProperties": 3}, "axProp"),
        ({"properties": {"a": {"type": "text"}}, "uniqueItems": True}, "#/properties/a/type is malformed"),
        ({"minLength": -1, "not": {}}, "#/minLength is malformed"),
        ({"patternProperties": {"^a": {}, "b$": {}}}, "#/patternProperties"),
        ({"x-guidance": {"lenient": True}, "not": {}}, "#/x-guidance"),
        (False, "{} for any JSON"),
        (chain(400), "more than 1000 schemas"),
        ({"allOf": [{"multipleOf": 0.97}, {"multipleOf": 89}, {"multipleOf": 83}]}, "have a common multiple"),
        ({"type": "object", "properties": {f"p{i}": {} for i in range(1500)}}, "too complex"),
    ],
)
def test_a_refusal_says_where(schema: object, where: str) -> None:
    assert where in refusal(schema)


@settings(deadline=None, max_examples=40)
@given(schema=st.sampled_from(schemas()[20:]), keyword=st.sampled_from(sorted(UNSUPPORTED)), data=st.data())
def test_an_unsupported_keyword_is_found_wherever_it_is(
    schema: dict[str, Any], keyword: str, data: st.DataObject
) -> None:
    copy = json.loads(json.dumps(schema))
    places = list(inner_schemas(copy, "#", keyword))
    assume(places)
    pointer, place = data.draw(st.sampled_from(places))
    place[keyword] = UNSUPPORTED[keyword]
    assert f" {pointer}/{keyword} cannot be enforced" in refusal(copy)
    compiled = ENFORCER.compile(Grammar("json_schema", json.dumps(copy), lenient=True))
    assert len(compiled.warnings) == 1 and compiled.warnings[0].startswith(f"{pointer}/{keyword} is not enforced: ")


def inner_schemas(schema: dict[str, Any], pointer: str, keyword: str) -> Any:
    """Schemas inside `schema` that a keyword can be put in without a contradiction to what is there, with pointers."""
    types = {"pattern": "string", "format": "string", "oneOf": "integer"}
    has_place = keyword not in schema and schema.get("type") == types.get(keyword, schema.get("type"))
    if has_place and "$ref" not in schema:
        yield pointer, schema
    for key in ("properties", "patternProperties", "$defs"):
        for name, child in schema.get(key, {}).items():
            yield from inner_schemas(child, f"{pointer}/{key}/{name}", keyword)
    for key in ("allOf", "anyOf", "prefixItems"):
        for i, child in enumerate(schema.get(key, [])):
            yield from inner_schemas(child, f"{pointer}/{key}/{i}", keyword)
    if isinstance(schema.get("items"), dict):
        yield from inner_schemas(schema["items"], f"{pointer}/items", keyword)


@pytest.mark.parametrize(
    ("kind", "source", "why"),
    [
        ("json_schema", "{", "is not JSON"),
        ("json_schema", '{"minimum": NaN}', "NaN is no number"),
        ("json_schema", "[" * 60000, "nests deeper"),
        ("json_schema", '{"items":' * 70 + "{}" + "}" * 70, "nests deeper"),
        ("json_schema", f'{{"title": "{"x" * 70000}"}}', "larger than 65536 bytes"),
        ("regex", "[", "unclosed character class"),
        ("regex", "a(?=b)", "look-around"),
        ("regex", "", "the empty answer only"),
        ("regex", "(" * 1000 + ")" * 1000, "nested"),
        ("regex", "[^\\s\\S]", "no token may come next"),
        ("lark", "", "Empty grammar"),
        ("lark", "start: nothing", "unknown name"),
        ("lark", "start: start", "no token may come next"),
        ("lark", "start: <|unknown|>", "unknown special token"),
        ("lark", 'start: %json {"multipleOf": 7}', "use no multipleOf"),
        ("lark", "start: a0\n" + "\n".join(f'a{i}: a{i + 1} "b"' for i in range(2500)), "more than 2000 brackets"),
    ],
)
def test_other_refusals(kind: Any, source: str, why: str) -> None:
    with pytest.raises(RequestError) as error:
        ENFORCER.compile(Grammar(kind, source))
    assert why in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


def test_long_chains_of_references_are_no_danger() -> None:
    assert ENFORCER.compile(Grammar("json_schema", json.dumps(chain(150)))).warnings == ()


def test_a_lenient_grammar_tells_what_it_cannot_promise() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"not": {"const": 3}, "type": "integer"},
            "s": {"type": "string", "pattern": "^(a+)+(?=b)$"},
            "c": {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 3}]},
        },
        "required": ["n"],
        "patternProperties": {"^x": {"type": "null"}},
        "additionalProperties": False,
    }
    state = ENFORCER.start(Grammar("json_schema", json.dumps(schema), lenient=True))
    fine = '{"n": 4, "s": "' + "a" * 60 + '", "c": 3.5, "x": null}'
    for text, found in ((fine, []), ('{"n": 3, "c": 7}', ["c", "n"])):
        other = state.fork()
        for byte in text.encode():
            other.advance(byte + 1)
        assert other.is_complete
        warnings, rest = other.problems(text)[:3], other.problems(text)[3:]
        assert [warning.split(" ")[0] for warning in warnings] == [
            "#/properties/n/not",
            "#/properties/s/pattern",
            "#/properties/c/oneOf",
        ]
        assert sorted(line.split(" ")[2] for line in rest) == [f"#/{name}" for name in found]


def test_no_lenience_for_contradictions_and_references() -> None:
    for schema in ({"$ref": "https://example.com/"}, {"enum": []}, {"type": "integer", "minimum": 3, "maximum": 2}):
        assert refusal(schema, lenient=True) == refusal(schema)
    assert "#/$schema is no text" in refusal({"$schema": 3}, lenient=True)
    many = {f"p{i}": {"type": "string", "pattern": f"(?=a){i}"} for i in range(20)}
    assert "#/properties/p8/pattern cannot be" in refusal({"properties": many}, lenient=True)


def test_the_same_keyword_is_left_out_everywhere() -> None:
    schema = {"properties": {f"p{i}": {"not": {}, "items": {"not": {}}} for i in range(20)}}
    compiled = ENFORCER.compile(Grammar("json_schema", json.dumps(schema), lenient=True))
    assert compiled.warnings == ("#/properties/p0/not (and 39 more) is not enforced: not supported",)


def test_stop_tokens_are_control_tokens() -> None:
    grammar = Grammar("regex", "a+")
    for tokens, why in (({98}, "is part of texts"), ({257}, "is not in the vocabulary"), ({-1}, "is not in")):
        with pytest.raises(RequestError, match=why):
            ENFORCER.start(grammar, tokens)


def test_compiled_grammars_are_kept() -> None:
    assert ENFORCER.compile(Grammar("regex", "ab")) is ENFORCER.compile(Grammar("regex", "ab"))
