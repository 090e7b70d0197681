"""Merges of branches against references that know only flat fields, or only one rule."""

import copy
import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.context.field_path import FieldPath, get, put
from runtime.dag.context.merge import BranchResult, merge
from runtime.dag.document.node import MergeStrategy
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import Json, JsonObject, same

STRATEGIES: tuple[MergeStrategy, ...] = get_args(MergeStrategy)
FIELDS: list[FieldPath] = [("a",), ("b",), ("o", "x"), ("o", "y"), ("o", "p", "q"), ("o", "p", "r")]
Flat = dict[FieldPath, Json]

scalars = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([1.0, "s"])
lists = st.lists(st.integers(0, 3) | st.booleans(), max_size=3)
values = st.one_of(scalars, lists, lists)
names = st.sampled_from("abc")
objects = st.dictionaries(
    names,
    st.recursive(scalars | lists, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6),
    max_size=3,
)


@st.composite
def forks(draw: st.DrawFn) -> tuple[Flat, list[Flat]]:
    """What was before, and what some branches have made of it."""
    base = draw(st.fixed_dictionaries(dict.fromkeys(FIELDS, values)))
    for path in draw(st.sets(st.sampled_from(FIELDS), max_size=3)):
        del base[path]
    branches = []
    for _ in range(draw(st.integers(1, 3))):
        branch = dict(base)
        for path in FIELDS:
            change = draw(st.sampled_from(["keep", "remove", "replace", "extend", "prepend"]))
            if change == "remove":
                branch.pop(path, None)
            elif change == "replace":
                branch[path] = draw(values)
            elif change == "extend" and isinstance(base.get(path), list):
                branch[path] = base[path] + draw(lists)
            elif change == "prepend" and isinstance(base.get(path), list):
                branch[path] = draw(lists) + base[path]
        branches.append(branch)
    return base, branches


def nested(flat: Flat) -> JsonObject:
    context: JsonObject = {"o": {"p": {}}}
    for path, value in flat.items():
        context = put(context, path, value)
    return context


def results(contexts: list[JsonObject]) -> list[BranchResult]:
    return [BranchResult(i, f"/main/b{i}", context, {}) for i, context in enumerate(contexts)]


def merged(
    base: JsonObject,
    contexts: list[JsonObject],
    strategy: MergeStrategy,
    policy: dict[str, MergeStrategy] | None = None,
) -> JsonObject:
    return merge(base, results(contexts), strategy, policy or {}, allows_equal=False)


class Conflict(Exception):
    pass


def expected_field(strategy: MergeStrategy, before: list[Json], written: list[list[Json]], allows_equal: bool) -> list:
    """Fields are lists of one value, or of none. written: by the branches that have changed it."""
    if strategy == "error_on_conflict":
        if len(written) > 1 and not (allows_equal and all(same(each, written[0]) for each in written)):
            raise Conflict
        return written[-1]
    if strategy == "last_write_wins":
        return written[-1]
    if strategy == "deep_merge":
        return [] if written[-1] == [None] else written[-1]
    now = before
    for each in written:
        if all(len(side) == 1 and isinstance(side[0], list) for side in (now, each)):
            was = before[0] if isinstance(before[0] if before else None, list) else []
            is_extension = same(each[0][: len(was)], was)
            now = [now[0] + (each[0][len(was) :] if is_extension else each[0])]
        else:
            now = each
    if strategy == "array_merge_unique" and now and isinstance(now[0], list):
        now = [unique(now[0])]
    return now


def expected(base: Flat, branches: list[Flat], strategy_of: dict[FieldPath, MergeStrategy], allows_equal: bool) -> Flat:
    whole: Flat = {}
    for path in FIELDS:
        before, *after = ([flat[path]] if path in flat else [] for flat in (base, *branches))
        written = [each for each in after if not same(each, before)]
        value = expected_field(strategy_of[path], before, written, allows_equal) if written else before
        if value:
            whole[path] = value[0]
    return whole


@settings(max_examples=500)
@given(forks(), st.sampled_from(STRATEGIES), st.booleans())
def test_each_strategy_is_one_rule_for_each_field(
    fork: tuple[Flat, list[Flat]], strategy: MergeStrategy, allows_equal: bool
) -> None:
    base, branches = fork
    context, contexts = nested(base), [nested(branch) for branch in branches]
    before = copy.deepcopy((context, contexts))
    try:
        wanted = nested(expected(base, branches, dict.fromkeys(FIELDS, strategy), allows_equal))
    except Conflict:
        with pytest.raises(NodeError) as refused:
            merge(context, results(contexts), strategy, {}, allows_equal=allows_equal)
        assert refused.value.code == Code.CTX_MERGE_CONFLICT
    else:
        found = merge(context, results(contexts), strategy, {}, allows_equal=allows_equal)
        assert same(found, wanted)
    assert same([context, *contexts], [before[0], *before[1]])


def matches(key: str, path: FieldPath) -> int:
    """How closely a policy names a field; 0: not at all."""
    dotted = ".".join(path)
    if key == dotted:
        return 1000
    if key == "*":
        return 1
    if key.endswith(".*"):
        return 2 * len(key.split(".")) if dotted.startswith(key.removesuffix("*")) else 0
    return 2 * len(key.split(".")) + 1 if dotted.startswith(key + ".") else 0


@given(
    forks(),
    st.sampled_from(STRATEGIES),
    st.dictionaries(
        st.sampled_from(["*", "a", "o", "o.*", "o.x", "o.p", "o.p.*", "o.p.q", "b.*", "other"]),
        st.sampled_from(STRATEGIES),
        max_size=4,
    ),
)
def test_the_closest_policy_decides(
    fork: tuple[Flat, list[Flat]], strategy: MergeStrategy, policy: dict[str, MergeStrategy]
) -> None:
    base, branches = fork
    strategy_of: dict[FieldPath, MergeStrategy] = {}
    for path in FIELDS:
        closest = max(policy, key=lambda key: matches(key, path), default="")
        strategy_of[path] = policy[closest] if closest and matches(closest, path) else strategy
    try:
        wanted = nested(expected(base, branches, strategy_of, False))
    except Conflict:
        with pytest.raises(NodeError):
            merged(nested(base), [nested(branch) for branch in branches], strategy, policy)
    else:
        assert same(merged(nested(base), [nested(branch) for branch in branches], strategy, policy), wanted)


def rfc_7396(target: Json, patch: Json) -> Json:
    """MergePatch as the RFC's pseudocode has it."""
    if not isinstance(patch, dict):
        return patch
    whole = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            whole.pop(name, None)
        else:
            whole[name] = rfc_7396(whole.get(name), value)
    return whole


@given(st.lists(objects, max_size=4))
def test_deep_merge_of_new_fields_is_that_of_the_rfc(contexts: list[JsonObject]) -> None:
    wanted: Json = {}
    for context in contexts:
        wanted = rfc_7396(wanted, context)
    assert same(merged({}, contexts, "deep_merge"), wanted)


def concatenated(a: Json, b: Json) -> Json:
    if isinstance(a, dict) and isinstance(b, dict):
        return a | {key: concatenated(a[key], value) if key in a else value for key, value in b.items()}
    return a + b if isinstance(a, list) and isinstance(b, list) else b


def unique(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: unique(member) for key, member in value.items()}
    if not isinstance(value, list):
        return value
    return [item for i, item in enumerate(value) if not any(same(item, other) for other in value[:i])]


@given(st.lists(objects, max_size=4))
def test_arrays_in_new_objects_are_concatenated(contexts: list[JsonObject]) -> None:
    wanted: Json = {}
    for context in contexts:
        wanted = concatenated(wanted, context)
    assert same(merged({}, contexts, "array_concat"), wanted)
    assert same(merged({}, contexts, "array_merge_unique"), unique(wanted))


@given(objects, st.lists(objects, max_size=4), st.sampled_from(STRATEGIES), st.randoms())
def test_branches_count_in_their_order_not_in_that_of_the_list(
    base: JsonObject, contexts: list[JsonObject], strategy: MergeStrategy, random: object
) -> None:
    branches = results(contexts)
    shuffled = sorted(branches, key=lambda _: random.random())  # type: ignore[attr-defined]
    outcomes = []
    for each in (branches, shuffled):
        try:
            outcomes.append(json.dumps(merge(base, each, strategy, {}, allows_equal=True)))
        except NodeError as error:
            outcomes.append(str(error) + json.dumps(error.details))
    assert outcomes[0] == outcomes[1]


@given(objects, objects)
def test_one_branch_alone_leaves_what_it_has(base: JsonObject, context: JsonObject) -> None:
    assert same(merged(base, [context], "error_on_conflict"), context)
    assert same(merged(base, [context], "last_write_wins"), context)
    assert same(merged(base, [context, base, base], "error_on_conflict"), context)
    for strategy in STRATEGIES:
        assert same(merged(base, [], strategy), base)
        assert same(merged(base, [base, base], strategy), base)


@given(objects, objects, objects)
def test_no_write_is_lost_without_an_error(base: JsonObject, one: JsonObject, other: JsonObject) -> None:
    """Whatever differs from the base in a branch is in the merged context, unless there is a conflict."""
    try:
        found = merge(base, results([one, other]), "error_on_conflict", {}, allows_equal=True)
    except NodeError:
        return
    for branch, counterpart in ((one, other), (other, one)):
        for key in base.keys() | branch.keys():
            if not same(base.get(key, "none"), branch.get(key, "none")) and same(
                base.get(key, "none"), counterpart.get(key, "none")
            ):
                assert same(found.get(key, "none"), branch.get(key, "none"))


@pytest.mark.parametrize(
    ("base", "one", "other", "field"),
    [
        ({"a": {"x": 1}}, {"a": 5}, {"a": {"x": 2}}, "a"),  # whole here, a member there
        ({"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}, {}, "a"),
        ({}, {"a": {"x": 1}}, {"a": {"y": 2}}, "a"),  # both have made it
        ({"a": {"b": {}}}, {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, "a.b.c"),
        ({"a": 1}, {"a": 2}, {}, "a"),
        ({"a": 1}, {"a": 2}, {"a": 3}, "a"),
    ],
)
def test_conflicts_name_the_field(base: JsonObject, one: JsonObject, other: JsonObject, field: str) -> None:
    branches = [BranchResult(0, "/main/b0", one, {"a": "/main/b0/set"}), BranchResult(1, "/main/b1", other, {})]
    with pytest.raises(NodeError, match=f"write field '{field}': /main/b0/set and /main/b1") as refused:
        merge(base, branches, "error_on_conflict", {}, allows_equal=True)

    def at(context: JsonObject) -> Json:
        return get(context, tuple(field.split("."))) if context else None

    assert refused.value.details == {
        "conflicts": [
            {
                "field": field,
                "values": [
                    {"branch": "/main/b0", "source": "/main/b0/set", "value": at(one)},
                    {"branch": "/main/b1", "source": "/main/b1", "value": at(other)},
                ],
            }
        ]
    }


def test_equal_writes_are_conflicts_unless_they_are_allowed() -> None:
    branches = results([{"a": {"x": 1}}, {"a": {"x": 1.0}}])
    assert merge({}, branches, "error_on_conflict", {}, allows_equal=True) == {"a": {"x": 1}}
    with pytest.raises(NodeError, match="write field 'a'"):
        merge({}, branches, "error_on_conflict", {}, allows_equal=False)
    with pytest.raises(NodeError, match="write field 'a'"):
        merge({}, results([{"a": 1}, {"a": True}]), "error_on_conflict", {}, allows_equal=True)


def test_all_conflicts_are_told_and_long_values_cut() -> None:
    contexts: list[JsonObject] = [{f"f{i}": [f"{branch}"] * 1000 for i in range(100)} for branch in range(2)]
    with pytest.raises(NodeError, match="and 99 other fields") as refused:
        merged({}, contexts, "error_on_conflict")
    assert len(str(refused.value).splitlines()) == 1
    assert len(json.dumps(refused.value.details)) < 100_000


def test_a_policy_for_members_looks_into_new_objects() -> None:
    contexts: list[JsonObject] = [{"r": {"items": [1], "one": 1}}, {"r": {"items": [2], "two": 2}}]
    assert merged({}, contexts, "error_on_conflict", {"r.items": "array_concat"}) == {
        "r": {"items": [1, 2], "one": 1, "two": 2}
    }
    assert merged({}, contexts, "error_on_conflict", {"r.*": "last_write_wins"})["r"] == {
        "items": [2],
        "one": 1,
        "two": 2,
    }
    with pytest.raises(NodeError, match="write field 'r'"):
        merged({}, contexts, "error_on_conflict", {"r": "error_on_conflict", "s.items": "array_concat"})


def test_a_wildcard_goes_before_the_field_that_it_is_in() -> None:
    base: JsonObject = {"o": {"l": []}}
    policy: dict[str, MergeStrategy] = {"o": "last_write_wins", "o.*": "array_concat"}
    contexts: list[JsonObject] = [{"o": {"l": [1]}}, {"o": {"l": [2]}}]
    assert merged(base, contexts, "error_on_conflict", policy) == {"o": {"l": [1, 2]}}
    assert merged(base, contexts, "error_on_conflict", policy | {"o.l": "last_write_wins"}) == {"o": {"l": [2]}}


def test_shares_what_it_does_not_change() -> None:
    part: JsonObject = {"x": [1]}
    base: JsonObject = {"part": part, "o": {"p": part, "a": 0}}
    found = merged(base, [base | {"o": base["o"] | {"a": 1}}, base | {"b": 2}], "error_on_conflict")
    assert found == base | {"o": {"p": part, "a": 1}, "b": 2}
    assert found["part"] is part and found["o"]["p"] is part
