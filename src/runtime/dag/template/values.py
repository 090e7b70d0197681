"""JSON values as templates see them."""

import json
from collections.abc import Sequence

from runtime.dag.json_value import Json
from runtime.dag.template.meter import MAX_NESTING, MAX_TEXT, Meter, TemplateFault

MISSING: Json = object()  # what a look-up gives where there is nothing
_KINDS = {bool: "a boolean", int: "an integer", float: "a number", str: "a text", list: "a list", dict: "an object"}


def kind(value: Json) -> str:
    """For messages: "a list"."""
    return _KINDS.get(type(value), "null")


def shown(value: Json) -> str:
    """For messages: a text in quotes, cut where it is long; else its kind."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return str(value) if is_number(value) and abs(value) < 1e15 else kind(value)


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_text(value: Json, user: str) -> str:
    """The value, a text. Raises TemplateFault, naming who uses it, if it is none. So do the other `as_` functions."""
    if not isinstance(value, str):
        raise TemplateFault(f"{user} needs a text, not {kind(value)}")
    return value


def as_integer(value: Json, user: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TemplateFault(f"{user} needs an integer, not {kind(value)}{_conversion(value, 'int')}")
    return value


def as_number(value: Json, user: str) -> int | float:
    if not is_number(value):
        raise TemplateFault(f"{user} needs a number, not {kind(value)}{_conversion(value, 'float')}")
    number: int | float = value
    return number


def as_list(value: Json, user: str) -> list[Json]:
    if not isinstance(value, list):
        raise TemplateFault(f"{user} needs a list, not {kind(value)}")
    return value


def as_object(value: Json, user: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TemplateFault(f"{user} needs an object, not {kind(value)}")
    return value


def member(container: Json, key: Json) -> Json:
    """Of a list, a text or an object; MISSING if there is none. Nothing but JSON can be reached."""
    if isinstance(container, dict) and isinstance(key, str):
        return container.get(key, MISSING)
    is_index = isinstance(key, int) and not isinstance(key, bool)
    if isinstance(container, list | str) and is_index and -len(container) <= key < len(container):
        return container[key]
    return MISSING


def in_text(value: Json, meter: Meter) -> str:
    """As it stands in the text that a template gives: true, 42.0, null as nothing, objects as JSON."""
    if isinstance(value, str):
        meter.read(value)
        return value
    return "" if value is None else json_text(value, meter)


def json_text(value: Json, meter: Meter, indent: int | None = None) -> str:
    """Compact unless `indent` is given, with sorted keys."""
    check_size(value, meter, indent or 0)
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=separators, indent=indent)
    meter.build(len(text))  # escapes make it longer
    return text


def check_size(value: Json, meter: Meter, indent: int = 0) -> None:
    """Raises TemplateFault if its JSON is too long or nested too deep: parts that it shares count each time."""
    length, depth, level = 0, 0, [value]
    while level:
        meter.spend(len(level))
        if depth > MAX_NESTING:
            raise TemplateFault(f"the template makes a value that is nested deeper than {MAX_NESTING}")
        below: list[Json] = []
        for each in level:
            length += 1 + depth * indent
            if isinstance(each, str):
                length += len(each)
            elif isinstance(each, int):
                length += each.bit_length() // 3
            elif isinstance(each, dict):
                length += sum(len(key) + 4 for key in each)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
            if length + len(below) > MAX_TEXT:
                raise TemplateFault(f"the template makes a value longer than {MAX_TEXT} characters of JSON")
        depth, level = depth + 1, below
    meter.build(length)


def equal(left: Json, right: Json, meter: Meter) -> bool:
    """Whether they are the same JSON: 1 and 1.0 are, 1 and true are not."""
    pairs = [(left, right)]
    while pairs:
        a, b = pairs.pop()
        meter.spend()
        if is_number(a) and is_number(b):
            if a != b:
                return False
        elif type(a) is not type(b):
            return False
        elif isinstance(a, list):
            if len(a) != len(b):
                return False
            meter.spend(len(a))
            pairs.extend(zip(a, b, strict=True))
        elif isinstance(a, dict):
            if a.keys() != b.keys():
                return False
            meter.spend(len(a))
            pairs.extend((member, b[key]) for key, member in a.items())
        else:
            if isinstance(a, str):
                meter.read(a)
            if a != b:
                return False
    return True


def contains(container: Json, item: Json, meter: Meter) -> bool:
    """Whether a list has the item, an object the member, a text the part."""
    if isinstance(container, list):
        return any(equal(each, item, meter) for each in container)
    if isinstance(container, dict):
        return isinstance(item, str) and item in container
    if isinstance(container, str):
        meter.read(container)
        return as_text(item, "`in` a text") in container
    raise TemplateFault(f"`in` needs a list, an object or a text, not {kind(container)}")


def check_comparable(values: Sequence[Json], user: str) -> None:
    """Raises TemplateFault unless they are all numbers or all texts."""
    if all(map(is_number, values)) or all(isinstance(value, str) for value in values):
        return
    kinds = ", ".join(sorted({kind(value) for value in values}))
    raise TemplateFault(f"{user} needs numbers only or texts only, not {kinds}; int(x) and float(x) read texts")


def _conversion(value: Json, function: str) -> str:
    return f"; {function}(x) reads one" if isinstance(value, str) else ""
