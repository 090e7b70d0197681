"""The schemas inside a JSON Schema that the grammar library follows, and how much work that makes."""

from collections.abc import Iterator
from decimal import Decimal
from math import lcm
from typing import Any

from runtime.grammar.pointer import Path

_NAMED = ("properties", "patternProperties", "$defs", "definitions")  # of schemas by name
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLE = ("items", "additionalItems", "additionalProperties")


def is_container(key: str, value: Any) -> bool:
    """Whether the keyword has schemas in it, not counting those that the library leaves alone, as it does `not`."""
    return (
        (key in _NAMED and isinstance(value, dict))
        or (key in _LISTED and isinstance(value, list))
        or (key in _SINGLE and isinstance(value, dict))
    )


def children(schema: Any) -> Iterator[tuple[Path, Any]]:
    """The schemas directly inside, with their paths from it."""
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if not is_container(key, value):
            continue
        if key in _NAMED:
            yield from (((key, name), child) for name, child in value.items())
        elif isinstance(value, list):
            yield from (((key, i), child) for i, child in enumerate(value))
        else:
            yield (key,), value


def nesting(value: Any) -> int:
    """How many lists and objects of a JSON value are inside of each other at most."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        part, level = stack.pop()
        if isinstance(part, dict | list):
            deepest = max(deepest, level)
            stack += [(inside, level + 1) for inside in (part.values() if isinstance(part, dict) else part)]
    return deepest


def reach(root: Any) -> int:
    """How many schemas a reader may be inside of at most, who follows each reference when it is first met.

    An upper bound, whatever the order: no reference is followed twice, and none leads deeper than what it names.
    """
    return _height(root) + sum(_height(_referred(root, reference)) for reference in _references(root))


def _height(schema: Any) -> int:
    deepest, stack = 0, [(schema, 1)]
    while stack:
        part, level = stack.pop()
        deepest = max(deepest, level)
        stack += [(child, level + 1) for _, child in children(part)]
    return deepest


def common_multiple(root: Any) -> int:
    """Of all that numbers are to be multiples of, trailing zeros and decimal points left out: a machine that checks for
    several has about so many states."""
    factors = [part["multipleOf"] for part in _objects(root) if type(part.get("multipleOf")) in (int, float)]
    digits = (Decimal(str(factor)).normalize().as_tuple().digits for factor in factors)
    return lcm(*(int("".join(map(str, some))) for some in digits))


def _references(root: Any) -> set[str]:
    return {part["$ref"] for part in _objects(root) if isinstance(part.get("$ref"), str)}


def _objects(root: Any) -> Iterator[dict[str, Any]]:
    """All objects of a JSON value."""
    stack = [root]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield part
            stack += part.values()
        elif isinstance(part, list):
            stack += part


def _referred(root: Any, reference: str) -> Any:
    """What a reference by pointer names; the whole document, which is never less, for others."""
    place = root
    for part in reference.partition("#")[2].split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(place, dict) and part in place:
            place = place[part]
        elif isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        else:
            return root
    return place
