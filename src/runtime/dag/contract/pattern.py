"""Patterns of JSON Schemas: strangers' programs, run in time linear in the text."""

import re
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema

_MOST = 1000
# As ECMA-262 has them; the engine's own are Unicode's, which take long to build.
_CLASSES = {"d": "[0-9]", "D": "[^0-9]", "w": "[A-Za-z0-9_]", "W": "[^A-Za-z0-9_]"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_GROUP = re.compile(r"\(\?(?!:|<[A-Za-z_])")
_COUNT = re.compile(r"(\)?)\{(\d*),?(\d*)\}", re.ASCII)
_UNICODE_CLASS = 30  # as large as so many others


def check_pattern(pattern: str) -> None:
    """Raises ValueError, one line, if it is no pattern of ECMA-262, has look-around or back references, or would be
    large to build."""
    shown = repr(pattern if len(pattern) <= 60 else pattern[:57] + "...")
    if _GROUP.search(pattern):
        raise ValueError(f"the pattern {shown} cannot be used: write it without look-around, flags and back references")
    if _size(pattern) > _MOST:
        raise ValueError(f"the pattern {shown} is too large; shorten it, or use minLength and maxLength for counts")
    try:
        _built(pattern)
    except SchemaError as error:
        raise ValueError(f"{shown} is no pattern, or one with back references") from error


def matches(pattern: str, text: str) -> bool:
    """Whether a checked pattern is found in a text."""
    return _built(pattern).isinstance_python(text)


@lru_cache(256)
def _built(pattern: str) -> SchemaValidator:
    """pydantic's engine for patterns never goes back in the text."""
    ecma = _ESCAPE.sub(lambda escape: _CLASSES.get(escape[1], escape[0]), pattern)
    return SchemaValidator(core_schema.str_schema(pattern=ecma, regex_engine="rust-regex"))


def _size(pattern: str) -> int:
    """How many characters and classes it has at most when repetitions are written out."""
    if len(pattern) > _MOST:
        return len(pattern)
    items, groups = len(pattern), 1
    for of_group, least, most in _COUNT.findall(pattern):
        count = max(int(least or 1), int(most or 1), 1)
        if of_group:
            groups *= count
        else:
            items += count
    return items * groups * (_UNICODE_CLASS if re.search(r"\\[pP]", pattern) else 1)
