"""Where results of tools go."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.contract.output_mapping import apply_outputs
from runtime.dag.json_value import Json, JsonObject

names = st.sampled_from(["a", "b", "c", "text"])
payloads = st.none() | st.integers() | st.lists(st.integers()) | st.dictionaries(names, st.integers(), max_size=4)
contexts = st.dictionaries(names, st.integers(), max_size=3)
keys = st.lists(names, unique=True, max_size=3).map(tuple)


@given(contexts, payloads, keys)
def test_keys(context: JsonObject, payload: Json, keys: tuple[str, ...]) -> None:
    before = copy.deepcopy((context, payload))
    if len(keys) == 1:
        written = {keys[0]: payload}
    elif isinstance(payload, dict):
        written = {key: payload[key] for key in keys if key in payload}
    else:
        written = dict.fromkeys(keys[:1], payload)
    assert apply_outputs(context, payload, keys, {}) == context | written
    assert (context, payload) == before


@given(contexts, st.dictionaries(names, st.integers(), max_size=4).map(lambda each: each | {"text": "T"}), keys)
def test_answers_of_models_stand_for_their_text(
    context: JsonObject, payload: JsonObject, keys: tuple[str, ...]
) -> None:
    written = {key: payload[key] for key in keys if key in payload}
    if keys and keys[0] not in payload:
        written[keys[0]] = "T"
    assert apply_outputs(context, payload, keys, {}, text_first=True) == context | written


@pytest.mark.parametrize("payload", [None, 1, "x", [1], {"a": 1}])
def test_what_is_no_answer_is_whole(payload: Json) -> None:
    assert apply_outputs({}, payload, ("out",), {}, text_first=True) == {"out": payload}


@pytest.mark.parametrize(
    ("payload", "mapping", "written"),
    [
        ({"response": 1}, {"response": "lib.out"}, {"lib": {"out": 1}}),  # member -> field
        ({"result": {"status": 1}, "meta": {}}, {"status": "result.status"}, {"result": {"status": 1}}),
        ({"text": 1}, {"answer": "result.text"}, {"answer": 1}),  # field <- part
        ({"result": {"text": 1}}, {"answer": "result.text"}, {"answer": 1}),
        ({"a": {"b": 1}}, {"a.b": "c"}, {"c": 1}),
        ({"a": 1, "b": 2}, {"a": "x", "b": "y", "c": "z"}, {"x": 1, "y": 2}),
        ({"a": 1}, {"other": "x"}, {"x": {"a": 1}}),  # alone: all of it
        (5, {"risk": "session.risk"}, {"session": {"risk": 5}}),
        (5, {"a": "x", "b": "result"}, {"b": 5}),
        ("x", {"a": "y", "b": "z"}, {}),
    ],
)
def test_mapping(payload: Json, mapping: dict[str, str], written: JsonObject) -> None:
    assert apply_outputs({"kept": 0}, payload, (), mapping) == {"kept": 0} | written


def test_keys_and_mapping_are_both_applied() -> None:
    assert apply_outputs({}, {"a": 1, "b": 2}, ("all",), {"a": "x"}) == {"all": {"a": 1, "b": 2}, "x": 1}
    assert apply_outputs({}, {"text": "T", "n": 1}, (), {"answer": "x"}, text_first=True) == {"x": "T"}


def test_keys_may_be_paths() -> None:
    assert apply_outputs({"o": {"k": 0}}, 1, ("$.o.x",), {}) == {"o": {"k": 0, "x": 1}}


@pytest.mark.parametrize(("keys", "mapping"), [(("a..b",), {}), (("a.b",), {}), ((), {"x": "a.b"}), ((), {"x": ".."})])
def test_paths_that_lead_nowhere(keys: tuple[str, ...], mapping: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"a\.b|a\.\.b|\.\."):
        apply_outputs({"a": 1}, {"x": 1}, keys, mapping)
