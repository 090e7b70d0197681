"""What templates can call: `upper(x)`, `x | upper` and, of some, `x.upper()` are the same."""

import inspect
from collections.abc import Callable

from runtime.dag.json_value import Json
from runtime.dag.template import list_functions as lists
from runtime.dag.template import number_functions as numbers
from runtime.dag.template import text_functions as texts
from runtime.dag.template.meter import Meter, TemplateFault
from runtime.dag.template.values import (
    as_integer,
    as_list,
    as_text,
    contains,
    equal,
    in_text,
    is_number,
    json_text,
    shown,
)

Function = Callable[..., Json]  # of the meter and values
_MAX_INDENT = 8


def to_json(meter: Meter, value: Json, indent: Json = None) -> str:
    if indent is not None and not 0 <= as_integer(indent, "`indent`") <= _MAX_INDENT:
        raise TemplateFault(f"`indent` has to be 0 to {_MAX_INDENT}")
    return json_text(value, meter, indent)


def to_text(meter: Meter, value: Json) -> str:
    return in_text(value, meter)


def map_items(meter: Meter, items: Json, name: Json = None, attribute: Json = None, attr: Json = None) -> list[Json]:
    """Each item's member `attribute` (or `attr`), or what the function `name` makes of it."""
    path = attr if attribute is None else attribute
    if (name is None) == (path is None):
        raise TemplateFault("map needs a function, as map('upper'), or an attribute, as map(attribute='name')")
    if name is None:
        return lists.members(meter, items, path, "map")
    function = _OF_ONE.get(as_text(name, "map"))
    if function is None:
        raise TemplateFault(f"map knows no function {shown(name)}; it knows {', '.join(_OF_ONE)}")
    meter.spend(len(as_list(items, "map")))
    return [function(meter, item) for item in items]


def _is(test: Callable[[Json], bool]) -> Function:
    return lambda _, value: test(value)


_is_integer = _is(lambda value: isinstance(value, int) and not isinstance(value, bool))
_is_text = _is(lambda value: isinstance(value, str))
_is_list = _is(lambda value: isinstance(value, list))
_is_object = _is(lambda value: isinstance(value, dict))
_is_boolean = _is(lambda value: isinstance(value, bool))
_is_float = _is(lambda value: isinstance(value, float))
_is_number = _is(is_number)

# These two look up their first argument themselves, so that it may be missing.
DEFAULT = frozenset(("default", "d"))
EXISTS = "exists"

_OF_ONE: dict[str, Function] = {
    "abs": numbers.absolute,
    "capitalize": texts.capitalize,
    "even": numbers.even,
    "first": lists.first,
    "float": numbers.to_float,
    "int": numbers.to_integer,
    "isArray": _is_list,
    "isBoolean": _is_boolean,
    "isFloat": _is_float,
    "isInteger": _is_integer,
    "isNumber": _is_number,
    "isObject": _is_object,
    "isString": _is_text,
    "items": lists.items,
    "keys": lists.keys,
    "last": lists.last,
    "length": lists.length,
    "list": lists.to_list,
    "lower": texts.lower,
    "max": lists.largest,
    "min": lists.smallest,
    "odd": numbers.odd,
    "reverse": lists.reverse_items,
    "round": numbers.round_number,
    "sort": lists.sort,
    "string": to_text,
    "sum": lists.total,
    "title": texts.title,
    "to_json": to_json,
    "trim": texts.trim,
    "unique": lists.unique,
    "upper": texts.upper,
    "values": lists.values,
}

_ALSO = {"count": "length", "len": "length", "sorted": "sort", "tojson": "to_json"}

FUNCTIONS: dict[str, Function] = {
    **_OF_ONE,
    **{name: _OF_ONE[same] for name, same in _ALSO.items()},
    "at": lists.at,
    "divisibleBy": numbers.divisible_by,
    "existsIn": lists.exists_in,
    "format": texts.fill,
    "join": lists.join,
    "map": map_items,
    "range": numbers.number_range,
    "replace": texts.replace,
    "split": texts.split,
}
# `x.upper()`: as Jinja's users write it
METHODS: dict[str, Function] = {
    **{
        name: FUNCTIONS[name] for name in ("capitalize", "items", "keys", "lower", "replace", "split", "title", "upper")
    },
    "endswith": texts.ends_with,
    "get": lists.get,
    "startswith": texts.starts_with,
    "strip": texts.trim,
    "values": lists.values,
}
# `x is even`; `is defined` and `is undefined` look `x` up themselves
TESTS: dict[str, Function] = {
    "boolean": _is_boolean,
    "divisibleby": numbers.divisible_by,
    "eq": lambda meter, left, right: equal(left, right, meter),
    "equalto": lambda meter, left, right: equal(left, right, meter),
    "even": numbers.even,
    "false": _is(lambda value: value is False),
    "float": _is_float,
    "in": lambda meter, item, container: contains(container, item, meter),
    "integer": _is_integer,
    "iterable": _is(lambda value: isinstance(value, list | dict)),
    "mapping": _is_object,
    "none": _is(lambda value: value is None),
    "number": _is_number,
    "odd": numbers.odd,
    "sequence": _is_list,
    "string": _is_text,
    "true": _is(lambda value: value is True),
}


def misuse(function: Function, count: int, keywords: set[str]) -> str | None:
    """What is wrong with a call with so many values (the first ones without keywords), None if nothing is."""
    try:
        inspect.signature(function).bind(None, *[None] * count, **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    return None
