"""Functions of templates about lists and objects, whose members come in the order of their keys. Each takes the meter
first, and raises TemplateFault for values that are not what it needs."""

from runtime.dag.json_value import Json
from runtime.dag.template.meter import Meter, TemplateFault, TextBuilder
from runtime.dag.template.operators import add
from runtime.dag.template.values import (
    MISSING,
    as_list,
    as_object,
    as_text,
    check_comparable,
    equal,
    in_text,
    kind,
    member,
    shown,
)


def length(_: Meter, value: Json) -> int:
    if not isinstance(value, str | list | dict):
        raise TemplateFault(f"length needs a text, a list or an object, not {kind(value)}")
    return len(value)


def at(_: Meter, container: Json, key: Json) -> Json:
    if (found := member(container, key)) is MISSING:
        raise TemplateFault(f"{kind(container)} has no item {shown(key)}")
    return found


def first(meter: Meter, value: Json) -> Json:
    return at(meter, value, 0)


def last(meter: Meter, value: Json) -> Json:
    return at(meter, value, -1)


def join(meter: Meter, items: Json, separator: Json = "", attribute: Json = None) -> str:
    between = as_text(separator, "join")
    builder = TextBuilder(meter)
    for i, item in enumerate(members(meter, items, attribute, "join")):
        if i and between:
            builder.add(between)
        builder.add(in_text(item, meter))
    return builder.text()


def sort(meter: Meter, items: Json, reverse: Json = False, attribute: Json = None) -> list[Json]:
    keys = members(meter, items, attribute, "sort")
    meter.spend(2 * len(keys))
    check_comparable(keys, "sort")
    for key in keys:
        meter.read(key) if isinstance(key, str) else None
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=bool(reverse))
    return [items[i] for i in order]


def unique(meter: Meter, items: Json) -> list[Json]:
    kept: list[Json] = []
    for item in _spent(meter, items, "unique"):
        if not any(equal(item, each, meter) for each in kept):
            kept.append(item)
    return kept


def reverse_items(meter: Meter, items: Json) -> Json:
    if isinstance(items, str):
        meter.build(len(items))
        return items[::-1]
    return _spent(meter, items, "reverse")[::-1]


def largest(meter: Meter, items: Json) -> Json:
    return sort(meter, _some(items, "max"))[-1]


def smallest(meter: Meter, items: Json) -> Json:
    return sort(meter, _some(items, "min"))[0]


def total(meter: Meter, items: Json, attribute: Json = None) -> Json:
    result: Json = 0
    for item in members(meter, items, attribute, "sum"):
        meter.spend()
        result = add(result, item, meter)
    return result


def to_list(meter: Meter, items: Json) -> list[Json]:
    if isinstance(items, dict):
        return keys(meter, items)
    if isinstance(items, str):
        meter.spend(len(items))
        return list(items)
    return as_list(items, "list")


def keys(meter: Meter, value: Json) -> list[Json]:
    meter.spend(len(as_object(value, "keys")))
    return sorted(value)


def values(meter: Meter, value: Json) -> list[Json]:
    return [value[key] for key in keys(meter, value)]


def items(meter: Meter, value: Json) -> list[Json]:
    return [[key, value[key]] for key in keys(meter, value)]


def get(_: Meter, value: Json, key: Json, default: Json = None) -> Json:
    found = member(as_object(value, "get"), key)
    return default if found is MISSING else found


def exists_in(_: Meter, value: Json, key: Json) -> bool:
    return member(value, key) is not MISSING


def _spent(meter: Meter, items: Json, user: str) -> list[Json]:
    meter.spend(len(as_list(items, user)))
    return list(items)


def _some(items: Json, user: str) -> list[Json]:
    if not as_list(items, user):
        raise TemplateFault(f"{user} of an empty list")
    return list(items)


def members(meter: Meter, items: Json, path: Json, user: str) -> list[Json]:
    """The items, or their members at a path ("a.b")."""
    found = _spent(meter, items, user)
    if path is None:
        return found
    for name in as_text(path, user).split("."):
        meter.spend(1 + len(found))
        found = [member(item, name) for item in found]
        if any(each is MISSING for each in found):
            raise TemplateFault(f"{user}: not all items have {shown(path)}")
    return found
