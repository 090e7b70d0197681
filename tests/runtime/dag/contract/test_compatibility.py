"""Compatible contracts: what old callers give is taken, what they get is what they know."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime.dag.contract.binding import bind_inputs, collect_outputs
from runtime.dag.contract.compatibility import incompatibilities
from runtime.dag.contract.read_signature import read_signature
from runtime.dag.contract.signature import Field, Signature
from runtime.dag.errors import NodeError
from runtime.dag.json_value import Json, JsonObject

values = st.sampled_from([0, 1, 2, 0.5, 2.0, True, [1], {"k": 1}, "x", None])
bounds = st.none() | st.integers(0, 2)
schemas = st.sampled_from([None, None, {"enum": [1, "x"]}, {"enum": [1]}])
fields = st.builds(
    Field,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["integer", "number", "boolean", "array", "any"]),
    required=st.booleans(),
    has_default=st.booleans(),
    default=st.just(1),
    description=st.sampled_from(["", "what it is"]),
    enum=st.none() | st.sets(st.sampled_from([0, 1, 2]), min_size=1).map(tuple),
    minimum=bounds,
    maximum=bounds,
    schema=schemas,
)
sides = st.lists(fields, max_size=2, unique_by=lambda field: field.name).map(tuple)
signatures = st.builds(Signature, sides, sides)


@st.composite
def versions(draw: st.DrawFn) -> tuple[Signature, Signature]:
    """Two that differ in a few attributes of fields."""
    old = draw(signatures)
    old = replace(old, outputs=tuple(replace(field, has_default=False) for field in old.outputs))
    changes = st.sampled_from(["type", "required", "enum", "minimum", "maximum", "schema"])

    def changed(field: Field) -> Field:
        other = draw(fields)
        return replace(field, **{name: getattr(other, name) for name in draw(st.sets(changes, max_size=1))})

    return old, Signature(tuple(map(changed, old.inputs)), tuple(map(changed, old.outputs)))


contexts = st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2)


def succeeds(check: object, signature: Signature, context: JsonObject) -> bool:
    try:
        check(signature, context)  # type: ignore[operator]
    except NodeError:
        return False
    return True


@given(versions(), contexts)
def test_what_is_compatible_serves_old_callers(pair: tuple[Signature, Signature], context: JsonObject) -> None:
    old, new = pair
    assume(not incompatibilities(old, new))
    known = {key: value for key, value in context.items() if key in {field.name for field in old.inputs}}
    if succeeds(bind_inputs, old, known):
        assert succeeds(bind_inputs, new, known)
    if succeeds(collect_outputs, new, context):
        assert succeeds(collect_outputs, old, collect_outputs(new, context))


@given(signatures, st.lists(fields, max_size=1))
def test_a_contract_may_gain_fields(signature: Signature, more: list[Field]) -> None:
    assert incompatibilities(signature, signature) == []
    gained = tuple(replace(field, name="new", required=False) for field in more)
    grown = replace(signature, inputs=(*gained, *signature.inputs), outputs=(*signature.outputs, *gained))
    assert incompatibilities(signature, grown) == []
    assert len(incompatibilities(grown, signature)) == 2 * len(more)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("(a: integer) -> b: string", "() -> b: string", "input 'a' is gone"),
        ("(a: integer) -> b: string", "(a: integer) ->", "output 'b' is gone"),
        ("(a: integer) ->", "(a: string) ->", "input 'a' was of type integer and is of type string"),
        ("(a: number) ->", "(a: integer) ->", "input 'a' was of type number and is of type integer"),
        ("-> b: integer", "-> b: number", "output 'b' was of type integer and is of type number"),
        ("-> b: integer", "-> b: any", "output 'b' was of type integer and is of type any"),
        ("(a?: integer) ->", "(a: integer) ->", "input 'a' has become required"),
        ("-> b: integer", "-> b?: integer", "output 'b' has become optional"),
        ("() ->", "(a: integer) ->", "input 'a' is new and required; give it a default or make it optional"),
        ("(a: array) ->", "(a: array<string>) ->", "input 'a' has another schema"),
        ("-> b: array<string>", "-> b: array", "output 'b' has another schema"),
        ({"inputs": [{"name": "a"}]}, {"inputs": [{"name": "a", "enum": [1]}]}, "input 'a' takes fewer values"),
        ({"outputs": [{"name": "a", "enum": [1]}]}, {"outputs": ["a"]}, "output 'a' may have more values"),
        ({"inputs": [{"name": "a"}]}, {"inputs": [{"name": "a", "minimum": 0}]}, "input 'a' takes a smaller range"),
        ({"inputs": [{"name": "a", "maximum": 2}]}, {"inputs": [{"name": "a", "maximum": 1}]},
         "input 'a' takes a smaller range"),
        ({"outputs": [{"name": "a", "maximum": 2}]}, {"outputs": ["a"]}, "output 'a' may lie outside the old range"),
    ],
)  # fmt: skip
def test_names_what_is_lost(old: Json, new: Json, line: str) -> None:
    assert incompatibilities(read_signature(old), read_signature(new)) == [line]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(a: integer) -> b: number", "(a: number) -> b: integer"),
        ("(a: string) -> b?: any", '(a: any, c: string = "x") -> b: array<string>'),
        ("(a: array<string>) ->", "(a?: array) ->"),
        ({"inputs": [{"name": "a", "minimum": 1}]}, {"inputs": [{"name": "a", "minimum": 0}]}),
        ({"inputs": [{"name": "a", "enum": [1]}]}, {"inputs": [{"name": "a", "enum": [2, 1.0]}]}),
    ],
)
def test_takes_more_and_gives_less(old: Json, new: Json) -> None:
    assert incompatibilities(read_signature(old), read_signature(new)) == []
    assert incompatibilities(read_signature(new), read_signature(old)) != []
