"""A JSON Schema from outside: read, bounded, and cut down to what can be enforced if that was asked for."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

from runtime.errors import RequestError
from runtime.grammar.offender import find_offender, like, without
from runtime.grammar.pointer import Path, pointer
from runtime.grammar.subschemas import common_multiple, nesting, reach

MAX_BYTES = 64 * 1024
_MAX_NESTING = 64  # of lists and objects; the library refuses 127
_MAX_REACH = 1000  # of schemas; the library recurses, some kilobytes of stack for each
_MAX_MULTIPLE = 50_000  # states of a machine, some microseconds for each
_MAX_RELAXED = 8  # kinds of keywords
_REQUIRED = frozenset(("type", "$ref", "$schema", "const", "enum", "properties", "items", "prefixItems", "required"))
_PLAIN = {  # beginnings of what the library says
    "Unimplemented keys": "not supported",
    "oneOf constraints": "the alternatives may overlap",
    "Resource ": "it leads out of the document",
}
_FIXES = {
    "oneOf": "write anyOf, or set the alternatives apart by types or by constants",
    "$ref": "name a schema of this document",
    "format": "describe it by a pattern, or leave it out",
    "pattern": "write it without look-around and back references, or leave it out",
}


class Enforceable(NamedTuple):
    """schema: what a grammar can be made of. whole: all that was asked for, as JSON. warnings: what is missing between
    the two."""

    schema: Any
    whole: Any
    warnings: tuple[str, ...]


def enforceable_schema(source: str, lenient: bool, refusal: Callable[[Any], str]) -> Enforceable:
    """Read a schema. refusal: why a schema cannot be enforced, empty if it can.

    Raises RequestError, which points at the keyword, if the text is no schema, or too large, or cannot be enforced as
    it is (lenient: not even without the keywords that a finished text can be checked for).
    """
    whole = schema = _read(source)
    if lenient or refusal(schema):  # for the check of the text and for the reason; it takes longer than to compile
        _check_form(schema)
    warnings: list[str] = []
    while reason := refusal(schema):
        path = find_offender(schema, lambda part: refusal(part) != "")
        can_relax = path is not None and path[-1] not in _REQUIRED and not reason.startswith("Unsatisfiable")
        if path is None or not lenient or not can_relax or len(warnings) == _MAX_RELAXED:
            _refuse(path or (), reason, can_relax and not lenient)
        alike = like(schema, path, in_value=not reason.startswith("Unimplemented keys"))
        others = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
        warnings.append(f"{pointer(path)}{others} is not enforced: {_plain(reason)}")
        for path in reversed(alike):  # those inside first
            schema = without(schema, path)
    return Enforceable(schema, whole, tuple(warnings))


def _read(source: str) -> Any:
    if len(source.encode(errors="surrogatepass")) > MAX_BYTES:
        raise RequestError(f"the JSON Schema is larger than {MAX_BYTES} bytes: make it smaller")
    try:
        schema = json.loads(source, parse_constant=_no_constant)
    except ValueError as error:
        raise RequestError(f"the JSON Schema is not JSON: {error}") from error
    except RecursionError as error:
        raise RequestError(f"the JSON Schema nests deeper than {_MAX_NESTING} levels: flatten it") from error
    if schema is True:
        schema = {}  # the same, and takes options
    if not isinstance(schema, dict):
        raise RequestError("the JSON Schema is no object: write one, {} for any JSON")
    if nesting(schema) > _MAX_NESTING:
        raise RequestError(f"the JSON Schema nests deeper than {_MAX_NESTING} levels: flatten it")
    if reach(schema) > _MAX_REACH:
        raise RequestError(f"the JSON Schema leads through more than {_MAX_REACH} schemas: use fewer references")
    if common_multiple(schema) > _MAX_MULTIPLE:
        raise RequestError(f"the JSON Schema's multipleOf have a common multiple above {_MAX_MULTIPLE}: round them")
    if "x-guidance" in schema:
        raise RequestError("the JSON Schema's #/x-guidance would change how JSON is written: leave it out")
    return schema


def _check_form(schema: dict[str, Any]) -> None:
    """Raises RequestError where a schema is not what its dialect says that a schema is."""
    if not isinstance(schema.get("$schema", ""), str):
        raise RequestError("the JSON Schema's #/$schema is no text: leave it out, or name a dialect")
    dialect = validator_for(schema, default=Draft202012Validator)
    error = best_match(dialect(dialect.META_SCHEMA).iter_errors(schema))
    if error is not None:
        message = error.message if len(error.message) <= 200 else f"{error.validator} fails"
        raise RequestError(f"the JSON Schema's {pointer(error.absolute_path)} is malformed: {message}")


def _refuse(path: Path, reason: str, could_relax: bool) -> NoReturn:
    fix = _FIXES.get(str(path[-1]), "leave it out") if path else "make it simpler"
    if reason.startswith("Unsatisfiable"):
        fix = "correct it"
    fix += ", or make the grammar lenient" if could_relax else ""
    raise RequestError(f"the JSON Schema's {pointer(path)} cannot be enforced ({_plain(reason)}): {fix}")


def _plain(reason: str) -> str:
    known = (plain for start, plain in _PLAIN.items() if reason.startswith(start))
    return next(known, reason)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
