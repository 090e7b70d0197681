"""Fields by path: what is put is got, and nothing else changes."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.context.field_path import FieldPath, get, parse_field_path, put
from runtime.dag.json_value import Json, JsonObject

names = st.sampled_from(["a", "b", "c", "0", "1"])
paths = st.lists(names, min_size=1, max_size=4).map(tuple)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
contexts = st.dictionaries(names, values, max_size=4)


def is_put(context: JsonObject, path: FieldPath, value: Json) -> JsonObject | None:
    try:
        return put(context, path, value)
    except ValueError:
        return None


@given(contexts, paths, values)
def test_what_is_put_is_got_and_the_old_context_stays(context: JsonObject, path: FieldPath, value: Json) -> None:
    before = copy.deepcopy(context)
    after = is_put(context, path, value)
    assert context == before
    if after is not None:
        assert get(after, path) is value
        assert is_put(after, path, value) == after


@given(contexts, paths)
def test_what_is_got_can_be_put_back(context: JsonObject, path: FieldPath) -> None:
    try:
        value = get(context, path)
    except KeyError as error:
        assert error.args == (".".join(path),)
    else:
        assert put(context, path, value) == context


@given(contexts, paths, values, paths)
def test_other_fields_are_the_same_objects(context: JsonObject, path: FieldPath, value: Json, other: FieldPath) -> None:
    after = is_put(context, path, value)
    common = min(len(path), len(other))
    if after is None or path[:common] == other[:common]:
        return
    try:
        untouched = get(context, other)
    except KeyError:
        with pytest.raises(KeyError):
            get(after, other)
    else:
        assert get(after, other) is untouched


@given(contexts, paths, values)
def test_fails_only_where_the_path_meets_what_has_no_members(context: JsonObject, path: FieldPath, value: Json) -> None:
    blocked = False
    for length in range(1, len(path)):
        try:
            inside = get(context, path[:length])
        except KeyError:
            break
        known_item = isinstance(inside, list) and path[length] in [str(i) for i in range(len(inside))]
        blocked = blocked or not (inside is None or isinstance(inside, dict) or known_item)
    assert (is_put(context, path, value) is None) == blocked


@given(contexts, contexts)
def test_the_root_merges_objects(context: JsonObject, other: JsonObject) -> None:
    assert put(context, (), other) == {**context, **other}
    with pytest.raises(ValueError, match="only an object"):
        put(context, (), [1])


@given(paths, st.sampled_from(["", "$."]))
def test_reads_what_it_would_write(path: FieldPath, root: str) -> None:
    assert parse_field_path(f" {root}{'.'.join(path)} ") == path


@pytest.mark.parametrize("text", ["", "$", "  ", " $ "])
def test_the_whole_context(text: str) -> None:
    assert parse_field_path(text) == ()


@pytest.mark.parametrize("text", [".", "a.", ".a", "a..b", "$.", "a. b", "a.\nb", ".".join("a" * 33), "a" * 1001])
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_field_path(text)
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 200


@pytest.mark.parametrize("index", ["3", "-1", "01", "x", "²", "9" * 30])
def test_names_the_list_that_has_no_such_item(index: str) -> None:
    with pytest.raises(ValueError, match=r"'a\.b' is a list of 3"):
        put({"a": {"b": [1, 2, 3]}}, ("a", "b", index), 0)


def test_writes_items_of_lists() -> None:
    assert put({"a": [1, {"b": 2}]}, ("a", "1", "b"), 3) == {"a": [1, {"b": 3}]}
