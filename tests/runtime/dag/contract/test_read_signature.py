"""Signatures as texts and as objects."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.contract.read_signature import read_signature
from runtime.dag.contract.signature import Field, Signature
from runtime.dag.json_value import Json

names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
types = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "any", "array<string>"])
defaults = {"string": "a, b -> (c", "integer": 3, "number": 0.5, "boolean": True, "array": [1, 2], "object": {"k": [1]}}


@st.composite
def entries(draw: st.DrawFn) -> list[dict[str, Json]]:
    """Fields as an object has them."""
    found = []
    for name in draw(st.lists(names, unique=True, max_size=4)):
        entry: dict[str, Json] = {"name": name, "type": draw(types), "required": draw(st.booleans())}
        if not entry["required"] and entry["type"] in defaults and draw(st.booleans()):
            entry["default"] = defaults[entry["type"]]
        found.append(entry)
    return found


def as_text(entries: list[dict[str, Json]]) -> str:
    parts = []
    for entry in entries:
        mark = "" if entry["required"] or "default" in entry else "?"
        default = f" = {json.dumps(entry['default'])}" if "default" in entry else ""
        parts.append(f"{entry['name']}{mark}: {entry['type']}{default}")
    return ", ".join(parts)


@given(entries(), entries())
def test_texts_and_objects_mean_the_same(inputs: list[dict[str, Json]], outputs: list[dict[str, Json]]) -> None:
    signature = read_signature({"inputs": inputs, "outputs": outputs})
    assert [field.name for field in signature.inputs] == [entry["name"] for entry in inputs]
    by_name = {
        side: {e.pop("name"): e for e in map(dict, each)} for side, each in (("inputs", inputs), ("outputs", outputs))
    }
    assert read_signature(by_name) == signature
    assert read_signature(json.dumps(by_name)) == signature
    if all("->" not in str(entry.get("default")) for entry in (*inputs, *outputs)):
        for form in ("({}) -> {}", " ( {} )->({}) ", "{} -> {{{}}}"):
            assert read_signature(form.format(as_text(inputs), as_text(outputs))) == signature


@pytest.mark.parametrize(
    ("text", "inputs", "outputs"),
    [
        ("-> {result: number}", (), (Field("result", "number"),)),
        ("() -> string", (), (Field("result", "string"),)),
        (
            "(a: number, b: number) -> sum: number",
            (Field("a", "number"), Field("b", "number")),
            (Field("sum", "number"),),
        ),
        ("(a?, b) -> x", (Field("a", required=False), Field("b")), None),
        (
            "(a: string = 'x, y') -> ok: boolean",
            (Field("a", "string", False, True, "x, y"),),
            (Field("ok", "boolean"),),
        ),
        ("(a: integer = null) ->", (Field("a", "integer", False, True, None),), ()),
    ],
)
def test_texts(text: str, inputs: tuple[Field, ...], outputs: tuple[Field, ...] | None) -> None:
    if outputs is None:
        with pytest.raises(ValueError, match="there is no type 'x'"):
            read_signature(text)
    else:
        assert read_signature(text) == Signature(inputs, outputs)


def test_all_that_an_entry_says() -> None:
    entry = {
        "name": "a", "type": "integer", "required": True, "default": "5", "description": "what", "enum": ["5", 6],
        "minimum": "1", "maximum": 10, "schema": '{"multipleOf": 5}', "unknown": 1,
    }  # fmt: skip
    signature = read_signature({"inputs": [entry], "version": 1.0, "stability": "stable"})
    field = Field("a", "integer", True, True, 5, "what", (5, 6), 1, 10, {"multipleOf": 5})
    assert signature == Signature((field,), (), "1.0", "stable")
    assert read_signature(None) == Signature()
    assert read_signature({"inputs": ["a"]}).inputs == (Field("a", required=False),)


def test_all_schemas_of_an_entry_count() -> None:
    entry = {
        "name": "a",
        "type": "array<string>",
        "items": {"maxLength": 3},
        "schema": {"minItems": 1},
        "format": "date",
    }
    (field,) = read_signature({"outputs": [entry]}).outputs
    assert field.schema == {
        "allOf": [
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "items": {"maxLength": 3}},
            {"minItems": 1},
            {"format": "date"},
        ]
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "has to be an object"),
        ("a: number", "one `->`"),
        ("a -> b -> c", "one `->`"),
        ("(a: number -> b: number", "brackets or quotes"),
        ("(a: array<number) -> b: number", "brackets or quotes"),
        ("(a: string = 'x) -> b: number", "brackets or quotes"),
        ("(: number) -> b: number", "is no field"),
        ("(a: ) -> b: number", "is no field"),
        ("(a: number,) -> b: number", "is no field"),
        ("(a: number = x) -> b: number", "is no JSON value"),
        ("(a b: number) ->", "needs a `name`"),
        ("{broken", "begins like JSON"),
        ({"inputs": 5}, "have to be a list"),
        ({"inputs": [5]}, "needs a `name`"),
        ({"inputs": [{"type": "string"}]}, "needs a `name`"),
        ({"inputs": ["a", {"name": "a"}]}, "two inputs named 'a'"),
        ({"inputs": ["a" * 101]}, "needs a `name`"),
        ({"inputs": ["1a"]}, "needs a `name`"),
        ({"inputs": [f"a{i}" for i in range(257)]}, "at most 256"),
        ({"outputs": [{"name": "a", "type": "text?"}]}, "output 'a' of the signature: there is no type"),
        ({"outputs": [{"name": "a", "required": "yes"}]}, "`required` has to be"),
        ({"outputs": [{"name": "a", "enum": []}]}, "`enum` has to be"),
        ({"outputs": [{"name": "a", "minimum": "low"}]}, "`minimum` has to be a number"),
        ({"outputs": [{"name": "a", "minimum": True}]}, "`minimum` has to be a number"),
        ({"outputs": [{"name": "a", "minimum": 2, "maximum": 1}]}, "lies above"),
        ({"outputs": [{"name": "a", "type": "integer", "default": "x"}]}, "`default` has to be of type integer"),
        ({"outputs": [{"name": "a", "schema": [1]}]}, "`schema` has to be a JSON Schema"),
        ({"outputs": [{"name": "a", "schema": {"type": "strin"}}]}, "no JSON Schema"),
        ({"outputs": [{"name": "a", "items": 5}]}, "a type has to be a name"),
        ({"version": []}, "`version` of the signature has to be a text"),
        ("(" * 65537 + "->", "characters long"),
    ],
)  # fmt: skip
def test_refuses_in_one_line(value: Json, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        read_signature(value)
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 400


@given(st.text(alphabet="ab:?=,->(){}[]<>\"' 1", max_size=30) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        signature = read_signature(text)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert isinstance(signature, Signature)


@pytest.mark.parametrize(
    "value",
    [
        "(" * 60_000 + "->",
        "(a: number = " + "[" * 60_000 + ") ->",
        "(" + ",".join(f"a{i}" for i in range(10_000)) + ") ->",
        '{"inputs":' * 6_000,
        '{"inputs": ' + "[" * 900 + "]" * 900 + "}",
        {"inputs": [{"name": "a", "type": "array<" * 30 + ">" * 30}]},
        {"inputs": [{"name": "a", "schema": '{"not":' * 900 + "{}" + "}" * 900}]},
        {"inputs": [{"name": "a", "default": "[" * 900 + "]" * 900, "type": "array"}]},
    ],
)
def test_hostile_signatures_are_refused_soon(value: Json) -> None:
    began = time.process_time()
    with pytest.raises(ValueError) as refused:
        read_signature(value)
    assert len(str(refused.value)) < 400
    assert time.process_time() - began < 1
