"""What a context holds."""

from collections.abc import Hashable, Iterator
from typing import Any

Json = Any  # None, bool, int, float, str, list of these, dict from str to these
JsonObject = dict[str, Json]


def identity(value: Json) -> Hashable:
    """Equal for values that are the same JSON: 1 and 1.0 are, 1 and true are not, nor does the order of keys count."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, list):
        return "list", tuple(map(identity, value))
    if isinstance(value, dict):
        return "dict", frozenset((key, identity(member)) for key, member in value.items())
    return value


def same(a: Json, b: Json) -> bool:
    """Whether two values have one identity. Where they share structure, it is not looked into."""
    if a is b:
        return True
    if isinstance(a, dict):
        return isinstance(b, dict) and len(a) == len(b) and all(key in b and same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def texts_in(value: Json) -> Iterator[str]:
    """All texts in a value, in their order, but for keys. Does not recurse."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, list):
            waiting.extend(reversed(inner))
        elif isinstance(inner, dict):
            waiting.extend(reversed(inner.values()))
