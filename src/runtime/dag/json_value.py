"""What a context holds."""

from collections.abc import Hashable
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
