"""Which keyword of a JSON Schema the grammar library refuses: it tells what, but not where."""

from collections.abc import Callable, Iterator
from typing import Any

from runtime.grammar.pointer import Path
from runtime.grammar.subschemas import children, is_container

_LAST = ("additionalProperties", "required", "minProperties", "maxProperties")  # judged by what their neighbours say


def find_offender(schema: Any, refuses: Callable[[Any], bool]) -> Path | None:
    """The path of a keyword without which the schema would not be refused, were all that follow it absent too.

    Keywords join the schema one after the other, in an order in which each is judged by what it depends on; where the
    schema begins to be refused is searched by bisection, with a call of `refuses` for each doubling of their number.
    None if the schema is not refused, or is without any keyword.
    """
    keywords = sorted(_keywords(schema, ()), key=lambda path: _rank(schema, path))
    taken, refused = 0, len(keywords)
    if not refuses(schema) or refuses(_only(schema, set(), ())):
        return None
    while refused - taken > 1:
        middle = (taken + refused) // 2
        if refuses(_only(schema, set(keywords[:middle]), ())):
            refused = middle
        else:
            taken = middle
    return keywords[taken]


def like(schema: Any, path: Path, in_value: bool) -> list[Path]:
    """The paths of all keywords of the same name as that at `path`, and, if asked for, of the same value."""
    value = _at(schema, path)
    named = (other for other in _keywords(schema, ()) if other[-1] == path[-1])
    return [other for other in named if not in_value or _at(schema, other) == value]


def without(schema: Any, path: Path) -> Any:
    """The schema without the keyword at `path`; of `oneOf` it stays true that one applies."""
    *before, key = path
    if before:
        copy = schema.copy()
        copy[before[0]] = without(schema[before[0]], path[1:])
        return copy
    rest = {name: value for name, value in schema.items() if name != key}
    if key == "oneOf":
        rest["allOf"] = [*rest.get("allOf", []), {"anyOf": schema["oneOf"]}]
    return rest


def _keywords(schema: Any, path: Path) -> Iterator[Path]:
    if isinstance(schema, dict):
        yield from ((*path, key) for key in schema)
        for inside, child in children(schema):
            yield from _keywords(child, path + inside)


def _rank(root: Any, path: Path) -> tuple[int, int]:
    """First what has a place that a reference may lead to, then references, types, the rest, and at last choices, whose
    alternatives must exclude each other; a choice before those that it is in."""
    key = str(path[-1])
    if key == "oneOf":
        return 5, -len(path)
    if is_container(key, _at(root, path)):
        return 0, 0
    if key in _LAST:
        return 4, _LAST.index(key)
    return {"$ref": 1, "type": 2}.get(key, 3), 0


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def _only(schema: Any, keywords: set[Path], path: Path) -> Any:
    """The schema with some of its keywords; where `oneOf` is not yet among them, any number may apply."""
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        at = (*path, key)
        if at not in keywords and key != "oneOf":
            continue
        if not is_container(key, value):
            inside = value
        elif isinstance(value, list):
            inside = [_only(child, keywords, (*at, i)) for i, child in enumerate(value)]
        elif key in ("items", "additionalItems", "additionalProperties"):
            inside = _only(value, keywords, at)
        else:
            inside = {name: _only(child, keywords, (*at, name)) for name, child in value.items()}
        kept[key if at in keywords else "anyOf"] = inside
    return kept
