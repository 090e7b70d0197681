"""One context of what the branches of a fork have left."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runtime.dag.context.field_path import FieldPath
from runtime.dag.context.size import json_size
from runtime.dag.document.node import MergeStrategy
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import Json, JsonObject, identity, same

_REMOVED = object()  # in the place of a value: there is none any more
_MOST_SHOWN = 1000  # bytes of a value that an error shows
_MOST_CONFLICTS = 20
_LOOKS_INSIDE: tuple[MergeStrategy, ...] = ("deep_merge", "array_concat", "array_merge_unique")


@dataclass(frozen=True)
class BranchResult:
    """index: its place among the branches. path: of the branch. writers: top-level field -> path of the node that has
    written it last."""

    index: int
    path: str
    context: JsonObject
    writers: dict[str, str]


class _Version(NamedTuple):
    """What a branch has in the place of a field; _REMOVED: nothing any more."""

    branch: BranchResult
    value: Json


def merge(
    base: JsonObject,
    branches: Sequence[BranchResult],
    strategy: MergeStrategy,
    policy: Mapping[str, MergeStrategy],
    *,
    allows_equal: bool,
) -> JsonObject:
    """The context at the fork with what each branch has changed in it, in the order of the branches.

    Where all have objects, their members are merged, each for itself: a new object that two branches have made is one
    value, unless the strategy of its field looks into it. The strategy of a field is what `policy` says of its path,
    else of the nearest path above (`p.*` goes before `p`), else `strategy`:
    - error_on_conflict: one branch may write it; more, if they write the same and `allows_equal` is set.
    - last_write_wins: the last branch that writes it.
    - deep_merge: members of objects as in RFC 7396, so null takes a member away; all else as last_write_wins.
    - array_concat: what each branch has put behind the list of `base`, or its whole list if it has changed that one;
      members of objects likewise; all else as last_write_wins.
    - array_merge_unique: the same, with equal items once.
    Raises NodeError (CTX_MERGE_CONFLICT); details: {"conflicts": [{field, values: [{branch, source, value}]}]}.
    """
    merging = _Merging(strategy, policy, allows_equal)
    in_order = sorted(branches, key=lambda branch: branch.index)
    merged = merging.objects((), base, [_Version(branch, branch.context) for branch in in_order])
    if merging.conflicts:
        raise _conflict(merging.conflicts)
    return merged


class _Merging:
    """conflicts: fields, with what the branches have there."""

    def __init__(self, strategy: MergeStrategy, policy: Mapping[str, MergeStrategy], allows_equal: bool) -> None:
        self.conflicts: list[tuple[FieldPath, list[_Version]]] = []
        self._strategy = strategy
        self._exact = {_path(key): each for key, each in policy.items() if not _is_wildcard(key)}
        self._beneath = {_path(key): each for key, each in policy.items() if _is_wildcard(key)}
        self._allows_equal = allows_equal

    def objects(self, path: FieldPath, base: JsonObject, versions: Sequence[_Version]) -> JsonObject:
        """Members of objects, each for itself."""
        merged = {}
        for key in dict.fromkeys([*base, *(key for version in versions for key in version.value)]):
            before = base.get(key, _REMOVED)
            members = [_Version(branch, value.get(key, _REMOVED)) for branch, value in versions]
            changed = [member for member in members if not same(before, member.value)]
            value = self._field((*path, key), before, changed) if changed else before
            if value is not _REMOVED:
                merged[key] = value
        return merged

    def _field(self, path: FieldPath, before: Json, versions: list[_Version]) -> Json:
        strategy = self._strategy_of(path)
        last = versions[-1].value
        if _all_objects(versions) and (
            isinstance(before, dict) or strategy in _LOOKS_INSIDE or self._is_named_inside(path)
        ):
            return self.objects(path, before if isinstance(before, dict) else {}, versions)
        if strategy == "error_on_conflict":
            are_equal = all(same(version.value, last) for version in versions)
            if len(versions) > 1 and not (self._allows_equal and are_equal):
                self.conflicts.append((path, versions))
            return last
        if strategy == "last_write_wins":
            return last
        if isinstance(last, dict):  # an object in the place of something else: what came before that is gone
            return self.objects(path, {}, _last_objects(versions))
        if strategy == "deep_merge":
            return _REMOVED if last is None else last
        return _lists(before, [version.value for version in versions], strategy == "array_merge_unique")

    def _strategy_of(self, path: FieldPath) -> MergeStrategy:
        if path in self._exact:
            return self._exact[path]
        for length in range(len(path) - 1, -1, -1):
            for named in (self._beneath, self._exact):
                if path[:length] in named:
                    return named[path[:length]]
        return self._strategy

    def _is_named_inside(self, path: FieldPath) -> bool:
        """Whether a member of this field has a policy of its own."""
        return path in self._beneath or any(
            len(named) > len(path) and named[: len(path)] == path for named in (*self._exact, *self._beneath)
        )


def _lists(before: Json, values: Iterable[Json], is_unique: bool) -> Json:
    merged = before
    for value in values:
        if not isinstance(value, list) or not isinstance(merged, list):
            merged = value
        elif isinstance(before, list) and same(value[: len(before)], before):
            merged = merged + value[len(before) :]
        else:
            merged = merged + value
    if not is_unique or not isinstance(merged, list):
        return merged
    items: dict[Hashable, Json] = {}
    for item in merged:
        items.setdefault(identity(item), item)
    return list(items.values())


def _all_objects(versions: Iterable[_Version]) -> bool:
    return all(isinstance(version.value, dict) for version in versions)


def _last_objects(versions: Sequence[_Version]) -> Sequence[_Version]:
    """Those behind the last one that is no object."""
    return versions[
        max((i + 1 for i, version in enumerate(versions) if not isinstance(version.value, dict)), default=0) :
    ]


def _is_wildcard(key: str) -> bool:
    return key == "*" or key.endswith(".*")


def _path(key: str) -> FieldPath:
    return tuple(segment for segment in key.removesuffix("*").removesuffix(".").split(".") if segment)


def _conflict(conflicts: list[tuple[FieldPath, list[_Version]]]) -> NodeError:
    path, versions = conflicts[0]
    sources = " and ".join(dict.fromkeys(_source(path, version) for version in versions[:4]))
    others = f" (and {len(conflicts) - 1} other fields)" if len(conflicts) > 1 else ""
    message = (
        f"several branches write field {'.'.join(path)!r}{others}: {sources}; write other fields, or choose another "
        "merge_strategy or context_merge_policy"
    )
    shown = [
        {
            "field": ".".join(path),
            "values": [
                {"branch": version.branch.path, "source": _source(path, version), "value": _shown(version.value)}
                for version in versions[:_MOST_CONFLICTS]
            ],
        }
        for path, versions in conflicts[:_MOST_CONFLICTS]
    ]
    return NodeError(Code.CTX_MERGE_CONFLICT, message, {"conflicts": shown})


def _source(path: FieldPath, version: _Version) -> str:
    return version.branch.writers.get(path[0], version.branch.path)


def _shown(value: Json) -> Json:
    """Null for a field that is removed; the beginning of a value that is long."""
    if value is _REMOVED:
        return None
    if json_size(value, _MOST_SHOWN) <= _MOST_SHOWN:
        return value
    return (value if isinstance(value, str) else json.dumps(value))[:_MOST_SHOWN] + ".."
