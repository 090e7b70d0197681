"""Functions of templates about numbers. Each takes the meter first, and raises TemplateFault for what it cannot use."""

import math

from runtime.dag.json_value import Json
from runtime.dag.template.meter import Meter, TemplateFault
from runtime.dag.template.operators import checked_number
from runtime.dag.template.values import MISSING, as_integer, as_number, is_number, shown

_MAX_RANGE = 100_000
_MAX_DIGITS = 15  # that round keeps
_MAX_NUMERAL = 400  # characters of a text that is read as a number


def to_integer(_: Meter, value: Json, default: Json = MISSING) -> Json:
    """Rounds towards 0."""
    if is_number(value):
        return int(value)
    try:
        return int(_numeral(value))
    except ValueError:
        return _or_default(value, default, "an integer")


def to_float(_: Meter, value: Json, default: Json = MISSING) -> Json:
    if is_number(value):
        return float(value)
    try:
        return checked_number(float(_numeral(value)))
    except ValueError:
        return _or_default(value, default, "a number")


def round_number(_: Meter, value: Json, precision: Json = 0) -> Json:
    """Halves away from 0, as C does; an integer where no digits are left."""
    number = as_number(value, "round")
    if not 0 <= as_integer(precision, "round") <= _MAX_DIGITS:
        raise TemplateFault(f"round keeps 0 to {_MAX_DIGITS} digits")
    if isinstance(number, int):
        return number
    scale = 10**precision
    rounded = math.floor(abs(number) * scale + 0.5) * (-1 if number < 0 else 1)
    return rounded if precision == 0 else checked_number(rounded / scale)


def absolute(_: Meter, value: Json) -> Json:
    return abs(as_number(value, "abs"))


def even(_: Meter, value: Json) -> bool:
    return as_integer(value, "even") % 2 == 0


def odd(_: Meter, value: Json) -> bool:
    return as_integer(value, "odd") % 2 == 1


def divisible_by(_: Meter, value: Json, divisor: Json) -> bool:
    return as_integer(value, "divisibleBy") % as_integer(divisor, "divisibleBy") == 0


def number_range(meter: Meter, start: Json, end: Json = None, step: Json = 1) -> list[Json]:
    start, end = (0, start) if end is None else (start, end)
    values = range(*(as_integer(bound, "range") for bound in (start, end, step)))
    if values and abs(values[-1] - values[0]) // abs(step) >= _MAX_RANGE:
        raise TemplateFault(f"a range has more than {_MAX_RANGE} numbers")
    meter.spend(len(values))
    return list(values)


def _numeral(value: Json) -> str:
    """Raises ValueError if it is no text that may be a number."""
    if not isinstance(value, str) or len(value) > _MAX_NUMERAL:
        raise ValueError
    return value


def _or_default(value: Json, default: Json, wanted: str) -> Json:
    if default is MISSING:
        raise TemplateFault(f"{shown(value)} is not {wanted}")
    return default
