"""What has been written between two states of a context."""

from collections.abc import Iterator
from enum import Enum

from runtime.dag.context.field_path import FieldPath
from runtime.dag.json_value import Json, JsonObject, same


class Removed(Enum):
    """In the place of a value: there is none any more."""

    REMOVED = "removed"


REMOVED = Removed.REMOVED


def writes(before: JsonObject, after: JsonObject) -> dict[FieldPath, Json | Removed]:
    """The deepest fields that differ, with their new values. Objects that were objects before are looked into; lists,
    scalars and new objects are whole."""
    return dict(_writes(before, after, ()))


def delta(before: JsonObject, after: JsonObject) -> JsonObject:
    """The top-level fields that differ, with their new values; null for those that are gone."""
    return {path[0]: after.get(path[0]) for path in writes(before, after)}


def _writes(before: JsonObject, after: JsonObject, inside: FieldPath) -> Iterator[tuple[FieldPath, Json | Removed]]:
    for key, value in after.items():
        path = (*inside, key)
        if key not in before:
            yield path, value
        elif isinstance(value, dict) and isinstance(before[key], dict):
            if value is not before[key]:
                yield from _writes(before[key], value, path)
        elif not same(before[key], value):
            yield path, value
    for key in before:
        if key not in after:
            yield (*inside, key), REMOVED
