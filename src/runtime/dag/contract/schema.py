"""JSON Schemas of documents: strangers' programs, so they are bounded in size, and their use in steps."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from runtime.dag.context.size import json_size
from runtime.dag.contract.pattern import check_pattern, matches
from runtime.dag.contract.signature import Field, Signature
from runtime.dag.errors import one_line
from runtime.dag.json_value import Json, JsonObject, identity

MAX_BYTES = 64 * 1024
_MOST_SHOWN = 200  # characters of an error
_MAX_NESTING = 32
_MAX_PATTERNS = 64
_MAX_STEPS = 50_000  # some microseconds for each
_BYTES_A_STEP = 32  # of values that are compared or shown as a whole
_FORMATS = FormatChecker(
    formats=[name for name in Draft202012Validator.FORMAT_CHECKER.checkers if name not in ("regex", "json-pointer")]
)


def check_schema(schema: Json) -> None:
    """Raises ValueError, one line, if it is no JSON Schema (2020-12) or one that is too large to be used."""
    if not isinstance(schema, dict | bool):
        raise ValueError("a JSON Schema has to be an object")
    if _nesting(schema) > _MAX_NESTING:
        raise ValueError(f"the JSON Schema is nested deeper than {_MAX_NESTING}")
    if len(json.dumps(schema)) > MAX_BYTES:
        raise ValueError(f"the JSON Schema is larger than {MAX_BYTES // 1024} KiB")
    try:
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        raise ValueError(f"no JSON Schema: {error.json_path}: {one_line(error.message, _MOST_SHOWN)}") from error
    patterns: set[str] = set()
    for keywords in _objects(schema):
        if isinstance(reference := keywords.get("$ref"), str) and not reference.startswith("#"):
            raise ValueError(f"the JSON Schema refers to {reference[:60]!r}; name a schema within it, as #/$defs/..")
        of_names = keywords.get("patternProperties")
        patterns |= {*(of_names if isinstance(of_names, dict) else ()), keywords.get("pattern")} - {None}
        if of_names and "unevaluatedProperties" in keywords:
            raise ValueError("the JSON Schema has `unevaluatedProperties` beside `patternProperties`; leave one out")
    if len(patterns) > _MAX_PATTERNS:
        raise ValueError(f"the JSON Schema has {len(patterns)} patterns; at most {_MAX_PATTERNS} can be used")
    for pattern in sorted(patterns):
        check_pattern(pattern)


def violation(value: Json, schema: JsonObject) -> str | None:
    """Why a value is not what a schema says, in one line that points at the place; None if it is.

    As many steps as are sensible, and no more: where a schema needs more, that is told as a violation.
    """
    steps = _Steps()
    validator = steps.dialect(schema, registry=Registry(), format_checker=_FORMATS)
    try:
        error = best_match(validator.iter_errors(value))
    except (Unresolvable, RecursionError, _TooManySteps, ValueError, ArithmeticError) as failure:
        return f"cannot be checked: {one_line(str(failure) or 'its schema leads back to itself', _MOST_SHOWN)}"
    return None if error is None else f"{error.json_path}: {one_line(error.message, _MOST_SHOWN)}"


def inputs_schema(signature: Signature) -> JsonObject:
    """JSON Schema of the inputs, an object."""
    return _object(signature.inputs)


def outputs_schema(signature: Signature) -> JsonObject:
    """JSON Schema of the outputs, an object."""
    return _object(signature.outputs)


def field_schema(field: Field) -> JsonObject:
    """JSON Schema of one input or output."""
    schema: JsonObject = {} if field.type == "any" else {"type": field.type}
    if field.description:
        schema["description"] = field.description
    if field.has_default:
        schema["default"] = field.default
    if field.enum is not None:
        schema["enum"] = list(field.enum)
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    return schema | ({"allOf": [field.schema]} if field.schema is not None else {})


def _object(fields: tuple[Field, ...]) -> JsonObject:
    schema: JsonObject = {"type": "object", "properties": {field.name: field_schema(field) for field in fields}}
    required = [field.name for field in fields if field.required and not field.has_default]
    return schema | ({"required": required} if required else {})


class _TooManySteps(Exception):
    def __init__(self) -> None:
        super().__init__(f"its schema takes more than {_MAX_STEPS} steps")


class _Steps:
    """Validators that count what they do."""

    def __init__(self) -> None:
        self._left = _MAX_STEPS
        own = {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
            "uniqueItems": _unique_items,
        }
        keywords = {**Draft202012Validator.VALIDATORS, **own}
        counted = {name: self._counted(name, check) for name, check in keywords.items()}
        self.dialect = extend(Draft202012Validator, counted)

    def _counted(self, name: str, check: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
        def counted(validator: Any, keyword: Json, value: Json, schema: JsonObject) -> Iterator[ValidationError]:
            self._take(1 + sum(len(each) // 8 for each in (keyword, value) if isinstance(each, list | dict | str)))
            if name in ("patternProperties", "additionalProperties") and isinstance(value, dict):
                self._take(len(value) * len(schema.get("patternProperties", ())))
            elif name in ("const", "enum"):
                self._take_bytes(keyword)
            elif name == "uniqueItems":
                self._take_bytes(value)
            for error in check(validator, keyword, value, schema) or ():
                if not isinstance(error.validator, str):  # it is new, and shows the value
                    self._take_bytes(value)
                yield error

        return counted

    def _take_bytes(self, value: Json) -> None:
        self._take(json_size(value, self._left * _BYTES_A_STEP) // _BYTES_A_STEP)

    def _take(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise _TooManySteps


def _pattern(_: Any, pattern: str, value: Json, __: JsonObject) -> Iterator[ValidationError]:
    if isinstance(value, str) and not matches(pattern, value):
        yield ValidationError(f"the text does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Json], value: Json, _: JsonObject
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    for pattern, subschema in patterns.items():
        for name, member in value.items():
            if matches(pattern, name):
                yield from validator.descend(member, subschema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, subschema: Json, value: Json, schema: JsonObject
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, member in value.items():
        if name in named or any(matches(pattern, name) for pattern in patterns):
            continue
        if subschema is False:
            yield ValidationError(f"there may be no {name!r}")
        else:
            yield from validator.descend(member, subschema, path=name)


def _unique_items(_: Any, wanted: bool, value: Json, __: JsonObject) -> Iterator[ValidationError]:
    if wanted and isinstance(value, list) and len({identity(item) for item in value}) < len(value):
        yield ValidationError("there are equal items")


def _nesting(value: Json) -> int:
    depth, level = 0, [value]
    while level and depth <= _MAX_NESTING:
        level = [child for each in level for child in _children(each)]
        depth += 1
    return depth


def _objects(value: Json) -> Iterator[JsonObject]:
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            yield each
        todo += _children(each)


def _children(value: Json) -> list[Json]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
