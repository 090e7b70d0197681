"""Signatures as documents write them."""

import json
import re

from runtime.dag.contract.field_type import converted, is_of, number_of, read_type
from runtime.dag.contract.schema import check_schema
from runtime.dag.contract.signature import Field, FieldType, Signature
from runtime.dag.contract.signature_text import read_signature_text
from runtime.dag.json_value import Json, JsonObject

_NAME = re.compile(r"[^\W\d][\w\-]*")
_MOST_FIELDS = 256
_MOST_TEXT = 64 * 1024


def read_signature(value: Json) -> Signature:
    """A signature as an object {inputs, outputs, version, stability}, or as a text `(a: number, b?: string) -> sum:
    number`.

    Inputs and outputs are lists of {name, type, required, default, description, enum, minimum, maximum, items, schema,
    format} or of bare names, or objects from names to such entries or to types. In objects a field is required only
    where it says so, in texts unless its name ends with `?` or it has a default.
    Raises ValueError, one line, which names the field.
    """
    if value is None:
        return Signature()
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _MOST_TEXT:
            raise ValueError(f"the signature is {len(text)} characters long; at most {_MOST_TEXT} are read")
        value = _from_json(text) if text.startswith("{") else read_signature_text(text)
    if not isinstance(value, dict):
        raise ValueError("a signature has to be an object {inputs, outputs}, or a text `(a: number) -> b: number`")
    return Signature(
        inputs=_fields(value.get("inputs"), "input"),
        outputs=_fields(value.get("outputs"), "output"),
        version=_text(value, "version"),
        stability=_text(value, "stability"),
    )


def _from_json(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the signature begins like JSON and is none: {error}") from error


def _text(value: JsonObject, key: str) -> str | None:
    """A version that was written as a number is text, too."""
    found = value.get(key)
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, bool | list | dict):
        raise ValueError(f"`{key}` of the signature has to be a text")
    return str(found)


def _fields(value: Json, side: str) -> tuple[Field, ...]:
    if value is None:
        return ()
    if isinstance(value, dict):
        value = [_with_name(name, entry, side) for name, entry in value.items()]
    if not isinstance(value, list):
        raise ValueError(f"`{side}s` of the signature have to be a list of fields")
    if len(value) > _MOST_FIELDS:
        raise ValueError(f"the signature has {len(value)} {side}s; at most {_MOST_FIELDS} are read")
    fields = tuple(_field({"name": entry} if isinstance(entry, str) else entry, side) for entry in value)
    names = [field.name for field in fields]
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise ValueError(f"the signature has two {side}s named {twice!r}; take one away")
    return fields


def _with_name(name: Json, entry: Json, side: str) -> JsonObject:
    if entry is None or isinstance(entry, str):
        return {"name": name, "type": entry or "any"}
    if isinstance(entry, dict):
        return {**entry, "name": name}
    raise ValueError(f"{side} {name!r} of the signature has to be a type or an object")


def _field(entry: Json, side: str) -> Field:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or len(name) > 100 or not _NAME.fullmatch(name):
        raise ValueError(f"each {side} of a signature needs a `name`: a letter or _, then letters, digits, _ and -")
    try:
        return _checked(_read_field(name, entry))
    except ValueError as error:
        raise ValueError(f"{side} {name!r} of the signature: {error}") from error


def _read_field(name: str, entry: JsonObject) -> Field:
    kind = read_type(entry.get("type", "any"))
    has_default = "default" in entry
    required = entry.get("required", False)
    if not isinstance(required, bool):
        raise ValueError("`required` has to be true or false")
    enum = entry.get("enum")
    if enum is not None and (not isinstance(enum, list) or not enum):
        raise ValueError("`enum` has to be a list of values")
    description = entry.get("description")
    return Field(
        name=name,
        type=kind.type,
        required=required,
        has_default=has_default,
        default=converted(entry.get("default"), kind.type),
        description="" if description is None else str(description),
        enum=None if enum is None else tuple(converted(each, kind.type) for each in enum),
        minimum=_bound(entry, "minimum"),
        maximum=_bound(entry, "maximum"),
        schema=_schema(kind.schema, kind.type, entry),
    )


def _bound(entry: JsonObject, key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    number = number_of(value) if isinstance(value, str) else value
    if not is_of(number, "number"):
        raise ValueError(f"`{key}` has to be a number")
    return number


def _schema(own: JsonObject | None, type: FieldType, entry: JsonObject) -> JsonObject | None:
    """What the type, `items`, `schema` and `format` say, all of it."""
    parts = [] if own is None else [own]
    if (items := entry.get("items")) is not None:
        inner = items if isinstance(items, dict) else read_type(items)
        if not isinstance(inner, dict):
            inner = inner.schema or ({} if inner.type == "any" else {"type": inner.type})
        parts.append({"type": "array", "items": inner})
    if (schema := entry.get("schema")) is not None:
        schema = _from_json(schema) if isinstance(schema, str) else schema
        if not isinstance(schema, dict):
            raise ValueError("`schema` has to be a JSON Schema, an object")
        parts.append(schema)
    if (form := entry.get("format")) is not None:
        parts.append({"format": form})
    if not parts:
        return None
    whole = parts[0] if len(parts) == 1 else {"allOf": parts}
    check_schema(whole)
    return whole


def _checked(field: Field) -> Field:
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        raise ValueError(f"`minimum` {field.minimum} lies above `maximum` {field.maximum}")
    if field.has_default and field.default is not None and not is_of(field.default, field.type):
        raise ValueError(f"`default` has to be of type {field.type}")
    return field
