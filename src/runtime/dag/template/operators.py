"""Operators of templates, on JSON values."""

import math
from collections.abc import Callable

from runtime.dag.json_value import Json
from runtime.dag.template.format_text import format_text
from runtime.dag.template.meter import Meter, TemplateFault
from runtime.dag.template.values import as_integer, as_number, check_comparable, contains, equal

_MAX_BITS = 1024  # of integers


def checked_number(value: int | float | complex) -> int | float:
    """Raises TemplateFault if it is no number of JSON, or a very large one."""
    if isinstance(value, int) and value.bit_length() <= _MAX_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise TemplateFault("a number grows too large, or is none")


def add(left: Json, right: Json, meter: Meter) -> Json:
    if isinstance(left, str) and isinstance(right, str):
        meter.build(len(left) + len(right))
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        meter.spend(len(left) + len(right))
        return left + right
    return checked_number(as_number(left, "`+`") + as_number(right, "`+`"))


def subtract(left: Json, right: Json, _: Meter) -> Json:
    return checked_number(as_number(left, "`-`") - as_number(right, "`-`"))


def multiply(left: Json, right: Json, meter: Meter) -> Json:
    if isinstance(left, str):
        meter.build(len(left) * max(0, times := as_integer(right, "a text `*`")))
        return left * times
    return checked_number(as_number(left, "`*`") * as_number(right, "`*`"))


def divide(left: Json, right: Json, _: Meter) -> Json:
    return checked_number(as_number(left, "`/`") / as_number(right, "`/`"))


def divide_whole(left: Json, right: Json, _: Meter) -> Json:
    return checked_number(as_number(left, "`//`") // as_number(right, "`//`"))


def remainder(left: Json, right: Json, meter: Meter) -> Json:
    """Or, of a text, the text with the value filled in."""
    if isinstance(left, str):
        return format_text(left, right if isinstance(right, list) else [right], meter)
    return checked_number(as_number(left, "`%`") % as_number(right, "`%`"))


def power(left: Json, right: Json, _: Meter) -> Json:
    base, exponent = as_number(left, "a power"), as_number(right, "a power")
    if isinstance(base, int) and isinstance(exponent, int) and (base.bit_length() - 1) * exponent > _MAX_BITS:
        raise TemplateFault("a power grows too large")
    return checked_number(base**exponent)


def compare(operator: str, left: Json, right: Json, meter: Meter) -> bool:
    """operator: Jinja's name of it ("lteq", "notin")."""
    meter.spend()
    if operator in ("eq", "ne"):
        return equal(left, right, meter) == (operator == "eq")
    if operator in ("in", "notin"):
        return contains(right, left, meter) == (operator == "in")
    check_comparable((left, right), f"`{_ORDER_SIGNS[operator]}`")
    if isinstance(left, str):
        meter.read(left)
    return _ORDERS[operator](left, right)


_ORDER_SIGNS = {"gt": ">", "gteq": ">=", "lt": "<", "lteq": "<="}
_ORDERS: dict[str, Callable[[Json, Json], bool]] = {
    "gt": lambda left, right: left > right,
    "gteq": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lteq": lambda left, right: left <= right,
}
