"""Fields of a context by path: `a.b` is the member `b` of the field `a`. Contexts are never changed in place."""

from runtime.dag.json_value import Json, JsonObject

FieldPath = tuple[str, ...]
_MAX_SEGMENTS = 32
_MAX_LENGTH = 1000


def parse_field_path(text: str) -> FieldPath:
    """`a.b` and `$.a.b` are ("a", "b"); "" and `$` are (), the whole context. Raises ValueError, one line."""
    path = text.strip()
    if path in ("", "$"):
        return ()
    path = path.removeprefix("$.")
    segments = tuple(path.split("."))
    if len(path) > _MAX_LENGTH or len(segments) > _MAX_SEGMENTS:
        raise ValueError(f"the field path {path[:40]!r}.. is too long; write at most {_MAX_SEGMENTS} names")
    if not all(segment and segment == segment.strip() and segment.isprintable() for segment in segments):
        raise ValueError(f"{text.strip()!r} is no field path; write names with dots between them, as a.b")
    return segments


def get(context: JsonObject, path: FieldPath) -> Json:
    """The value of a field. Raises KeyError if there is none."""
    value: Json = context
    for segment in path:
        if isinstance(value, dict) and segment in value:
            value = value[segment]
        elif isinstance(value, list) and (index := _index(segment, value)) is not None:
            value = value[index]
        else:
            raise KeyError(".".join(path))
    return value


def put(context: JsonObject, path: FieldPath, value: Json) -> JsonObject:
    """A context with another value of one field. Objects on the way to it are made where nothing is (or null).

    The path () merges the fields of an object into the context. Raises ValueError, one line, where the path leads
    through a value that has no such member.
    """
    if path:
        return _put(context, path, value, 0)
    if not isinstance(value, dict):
        raise ValueError("only an object can be the whole context; name a field for other values")
    return context | value


def _put(inside: Json, path: FieldPath, value: Json, at: int) -> Json:
    if at == len(path):
        return value
    segment = path[at]
    if inside is None:
        inside = {}
    if isinstance(inside, dict):
        return inside | {segment: _put(inside.get(segment), path, value, at + 1)}
    if isinstance(inside, list) and (index := _index(segment, inside)) is not None:
        return [*inside[:index], _put(inside[index], path, value, at + 1), *inside[index + 1 :]]
    kind = f"list of {len(inside)}" if isinstance(inside, list) else "value without members"
    raise ValueError(f"cannot write field {'.'.join(path)!r}: {'.'.join(path[:at])!r} is a {kind}, not an object")


def _index(segment: str, items: list[Json]) -> int | None:
    """As 0, 1, 2, ..., of an item that is there."""
    if not segment.isascii() or not segment.isdecimal() or len(segment) > 9 or str(int(segment)) != segment:
        return None
    index = int(segment)
    return index if index < len(items) else None
