"""Types of inputs and outputs: what values are of them, and which texts stand for such values."""

import json
import math
import re
from typing import NamedTuple

from runtime.dag.context.size import json_size
from runtime.dag.contract.signature import FieldType
from runtime.dag.json_value import Json, JsonObject

# As JSON writes numbers; at most so long that reading one takes no time.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,308})(\.\d{1,400})?([eE][+-]?\d{1,400})?", re.ASCII)
_NAMES: dict[str, FieldType] = {
    **{"string": "string", "str": "string", "text": "string"},
    **{"integer": "integer", "int": "integer"},
    **{"number": "number", "float": "number", "double": "number"},
    **{"boolean": "boolean", "bool": "boolean"},
    **{"array": "array", "list": "array"},
    **{"object": "object", "map": "object", "dict": "object"},
    **{"any": "any", "json": "any"},
}
_PYTHON = {"string": str, "boolean": bool, "array": list, "object": dict}
_MOST_TEXT = 1 << 20
_MOST_SIZE = 4 << 20


class Kind(NamedTuple):
    """A type as it is written: `array<string>` is an array with a schema of its own."""

    type: FieldType
    schema: JsonObject | None = None


def read_type(value: Json) -> Kind:
    """A name (`integer`, `array<string>`, `array_number`, `null`) or a list of names. Raises ValueError, one line."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        kinds = [read_type(each) for each in value]
        return kinds[0] if len(kinds) == 1 else Kind("any", {"anyOf": [_as_schema(kind) for kind in kinds]})
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError("a type has to be a name, such as string or array<string>")
    text = value.strip()
    if text in _NAMES:
        return Kind(_NAMES[text])
    if text == "null":
        return Kind("any", {"type": "null"})
    items = _items(text)
    if items is None:
        known = ", ".join(dict.fromkeys(_NAMES.values()))
        raise ValueError(f"there is no type {text!r}; write one of {known}, array<..>")
    return Kind("array", {"type": "array", "items": _as_schema(read_type(items))})


def _items(text: str) -> str | None:
    """What is in the array that a type names."""
    for name in ("array", "list"):
        if text.startswith(name + "<") and text.endswith(">"):
            return text[len(name) + 1 : -1]
    if text.startswith("array_"):
        return text.removeprefix("array_")
    return text[:-2] if text.endswith("[]") else None


def _as_schema(kind: Kind) -> JsonObject:
    if kind.schema is not None:
        return kind.schema
    return {} if kind.type == "any" else {"type": kind.type}


def is_of(value: Json, type: FieldType) -> bool:
    """Whether a value is of a type. 2.0 is an integer, true no number."""
    if type == "any":
        return True
    if type in ("integer", "number"):
        if isinstance(value, float):
            return value.is_integer() if type == "integer" else math.isfinite(value)
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, _PYTHON[type])


def converted(value: Json, type: FieldType) -> Json:
    """The value of a type that a text stands for, as `assign` stores scalars as texts, and the text of a scalar; else
    the value as it is."""
    if type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if type == "string" and is_of(value, "number" if not isinstance(value, bool) else "boolean"):
        return json.dumps(value)
    if not isinstance(value, str) or type in ("string", "any"):
        return value
    text = value.strip()
    if type in ("integer", "number"):
        number = number_of(text)
        return value if number is None or not is_of(number, type) else converted(number, type)
    if type == "boolean":
        return {"true": True, "false": False}.get(text, value)
    found = _parsed(text)
    return found if is_of(found, type) else value


def number_of(text: str) -> int | float | None:
    """The number that a text is, as JSON writes numbers; None if it is none."""
    if len(text) > 400 or not _NUMBER.fullmatch(text):
        return None
    if not any(c in ".eE" for c in text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None


def _parsed(text: str) -> Json:
    if not text.startswith(("{", "[")) or len(text) > _MOST_TEXT:
        return None
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return found if json_size(found, _MOST_SIZE) <= _MOST_SIZE else None


def _refuse(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")
