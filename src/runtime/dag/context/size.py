"""How large a context is."""

import math
from json.encoder import encode_basestring

from runtime.dag.json_value import Json

MAX_NESTING = 100  # objects and lists in one another: deep enough for documents, and safe for all that recurses
_MAX_BITS = 4300 * 3  # of integers: Python writes those of up to 4300 digits


def json_size(value: Json, most: int) -> int:
    """Bytes of a value as compact JSON (UTF-8); some number above `most` if they are more.

    Counts no further than that, however often a value shares its parts. A value that is nested deeper than MAX_NESTING
    or cannot be written as JSON (vast integers, NaN) is larger than any limit.
    """
    size: float = 0
    level = [value]
    for _ in range(MAX_NESTING + 1):
        below: list[Json] = []
        for each in level:
            size += _own_size(each)
            if size > most:
                return most + 1
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        if not below:
            return int(size)
        level = below
    return most + 1


def _own_size(value: Json) -> int | float:
    """Without its members."""
    if isinstance(value, str):
        return _text_size(value)
    if isinstance(value, dict):
        return 1 + max(1, 2 * len(value)) + sum(map(_text_size, value))
    if isinstance(value, list):
        return 1 + max(1, len(value))
    if value is None or value is True:
        return 4
    if value is False:
        return 5
    if isinstance(value, int):
        return len(str(value)) if value.bit_length() < _MAX_BITS else math.inf
    return len(repr(value)) if math.isfinite(value) else math.inf


def _text_size(text: str) -> int:
    return len(encode_basestring(text).encode("utf-8", "surrogatepass"))
