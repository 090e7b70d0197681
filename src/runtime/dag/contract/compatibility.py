"""Whether a new version of a contract still serves those who call the old one."""

from collections.abc import Iterator

from runtime.dag.contract.signature import Field, Signature
from runtime.dag.json_value import identity, same


def incompatibilities(old: Signature, new: Signature) -> list[str]:
    """What callers of `old` would miss in `new`, one line each.

    A stable contract may gain fields, take more than before and give less than it might have: an integer input may
    become a number and an optional output a required one, not the other way round.
    """
    return [*_of_side("input", old.inputs, new.inputs), *_of_side("output", old.outputs, new.outputs)]


def _of_side(side: str, old: tuple[Field, ...], new: tuple[Field, ...]) -> Iterator[str]:
    before, after = {field.name: field for field in old}, {field.name: field for field in new}
    for name, field in before.items():
        if name not in after:
            yield f"{side} {name!r} is gone"
            continue
        # What is given may be narrower than what is taken: inputs go from old to new, outputs from new to old.
        given, taken = (field, after[name]) if side == "input" else (after[name], field)
        yield from (f"{side} {name!r} {problem}" for problem in _mismatches(given, taken, side))
    for name, field in after.items():
        if side == "input" and name not in before and field.required and not field.has_default:
            yield f"input {name!r} is new and required; give it a default or make it optional"


def _mismatches(given: Field, taken: Field, side: str) -> Iterator[str]:
    if taken.type not in (given.type, "any") and (given.type, taken.type) != ("integer", "number"):
        old, new = (given.type, taken.type) if side == "input" else (taken.type, given.type)
        yield f"was of type {old} and is of type {new}"
    if _is_needed(taken) and not _is_needed(given):
        yield "has become required" if side == "input" else "has become optional"
    if taken.enum is not None and not _is_among(given, taken):
        yield "takes fewer values" if side == "input" else "may have more values"
    if _above(taken.minimum, given.minimum) or _above(given.maximum, taken.maximum, absent=float("inf")):
        yield "takes a smaller range" if side == "input" else "may lie outside the old range"
    if taken.schema is not None and (given.schema is None or not same(given.schema, taken.schema)):
        yield "has another schema"


def _is_needed(field: Field) -> bool:
    return field.required and not field.has_default


def _is_among(given: Field, taken: Field) -> bool:
    values = set(map(identity, taken.enum or ()))
    return given.enum is not None and values.issuperset(map(identity, given.enum))


def _above(a: float | None, b: float | None, absent: float = float("-inf")) -> bool:
    """Whether a bound lies above another."""
    return (absent if a is None else a) > (absent if b is None else b)
