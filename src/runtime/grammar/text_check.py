"""Whether a finished text is what a JSON Schema says, checked after the fact."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from runtime.grammar.pointer import pointer

_MOST = 8  # violations that are told


def violations(text: str, schema: dict[str, Any]) -> tuple[str, ...]:
    """What is wrong with the text, a line each; empty if nothing is.

    Not checked are patterns, of texts and of names: those that can be enforced have been, and Python's engine may take
    for ever over the others.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return (f"the answer is not JSON: {error}",)
    dialect = extend(validator_for(schema, default=Draft202012Validator), {"pattern": _nothing})
    validator = dialect(_without_name_patterns(schema), registry=Registry(), format_checker=dialect.FORMAT_CHECKER)
    found: list[str] = []
    try:
        for violation in islice(validator.iter_errors(value), _MOST):
            place, rule = pointer(violation.absolute_path), pointer(violation.absolute_schema_path)
            found.append(f"the answer's {place} fails {rule}")
    except (Unresolvable, RecursionError) as failure:
        found.append(f"the answer cannot be checked: {type(failure).__name__}")
    return tuple(found)


def _nothing(*_: Any) -> Iterator[ValidationError]:
    return iter(())


def _without_name_patterns(value: Any) -> Any:
    """The schema without patternProperties, and without what says which names they leave over."""
    if isinstance(value, list):
        return [_without_name_patterns(part) for part in value]
    if not isinstance(value, dict):
        return value
    dropped = {"patternProperties"} if "patternProperties" in value else set()
    dropped |= {"additionalProperties", "unevaluatedProperties"} if dropped else set()
    return {key: _without_name_patterns(part) for key, part in value.items() if key not in dropped}
